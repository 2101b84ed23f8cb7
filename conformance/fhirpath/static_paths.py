"""Paths within an element of a known type, compiled down to dictionary lookups on its JSON.

Serves constraints, https://hl7.org/fhir/R4/conformance-rules.html#constraints: types, keys and whether an element repeats come from the
definitions, so no item of the general engine is made. What can't be decided from the definitions raises
:class:`NotStatic` while compiling; a value without which the answer isn't sure (a primitive that has only extensions)
raises :class:`NeedsGeneral` while running. The general engine answers then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from conformance.definitions import types
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.model import ABSTRACT_RESOURCES, SYSTEM_STRING, ancestors, is_primitive, resolve_type
from conformance.fhirpath.projection import NotStatic
from conformance.fhirpath.syntax import Expression, Invocation, Literal, Member, TypeOperation, Variable, qualified_name

if TYPE_CHECKING:
    from conformance.fhirpath.constraints import ConstraintScope

Run: TypeAlias = "Callable[[Any, ConstraintScope], Any]"
Test: TypeAlias = "Callable[[Any, ConstraintScope], bool]"
Many: TypeAlias = "Callable[[Any, ConstraintScope], list[Any]]"

TEXT_TYPES = frozenset({"string", "code", "id", "uri", "url", "canonical", "oid", "uuid", "markdown", SYSTEM_STRING})
_STATIC_RESOURCE = "DomainResource"


class NeedsGeneral(Exception):
    """This value is one for the general engine."""


@dataclass(frozen=True, slots=True)
class Path:
    """Where a path leads from ``$this``.

    ``run`` gives a value or None, or a list when ``many``. ``exists`` tells whether there is anything. ``keys`` are the
    JSON properties of ``$this`` one of which is there exactly if the path leads somewhere, where that is so. ``types``
    has several entries for a choice, whose ``steps`` are (JSON property, type) pairs below ``parent``.
    """

    types: tuple[str, ...]
    many: bool
    run: Run
    exists: Test
    keys: frozenset[str] | None = None
    parent: Path | None = None
    steps: tuple[tuple[str, str], ...] = field(default=())

    @property
    def type_name(self) -> str:
        """The only type; raises NotStatic for a choice."""
        if len(self.types) != 1:
            raise NotStatic
        return self.types[0]

    def values(self) -> Many:
        """Return a function that gives the values as a list."""
        run = self.run
        if self.many:
            return run

        def listed(v: Any, scope: ConstraintScope) -> list[Any]:
            value = run(v, scope)
            return [] if value is None else [value]

        return listed


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of ``$this`` while compiling: its type, and the type of ``%resource`` (None if unknown).

    ``strict`` asks for values whose ids and extensions matter, too.
    """

    type_name: str
    resource_type: str | None
    strict: bool = False

    def at(self, type_name: str) -> Context:
        """Return the context of another ``$this``."""
        return Context(type_name, self.resource_type, self.strict)


def this(context: Context) -> Path:
    """Return the path to ``$this`` itself."""
    return Path((context.type_name,), False, lambda v, _scope: v, lambda _v, _scope: True)


def compile_path(node: Expression, context: Context) -> Path:
    """Return the path that ``node`` is; raises NotStatic when it isn't one, or FHIRPathError for an unknown type."""
    match node:
        case Variable("$this"):
            return this(context)
        case Variable("%resource" | "%rootResource" as name):
            return _resource(name, context)
        case Member(None, name):
            here = this(context)
            if name[:1].isupper() and name in types():
                if name not in ancestors(context.type_name):
                    raise NotStatic
                return here
            return _step(here, name, context, at_this=True)
        case Member(target, name) if target is not None:
            at_this = target == Variable("$this") or (isinstance(target, Member) and _is_this(target, context))
            return _step(compile_path(target, context), name, context, at_this=at_this)
        case TypeOperation("as", operand, type_name):
            return _narrow(compile_path(operand, context), type_name, context)
        case Invocation(target, name, arguments):
            return _invoke(this(context) if target is None else compile_path(target, context), name, arguments, context)
    raise NotStatic


def _is_this(node: Member, context: Context) -> bool:
    return node.target is None and node.name[:1].isupper() and node.name in ancestors(context.type_name)


def _resource(name: str, context: Context) -> Path:
    wanted = context.resource_type
    if name == "%rootResource":

        def root(_v: Any, scope: ConstraintScope) -> Any:
            return scope.root

        return Path((_STATIC_RESOURCE,), False, root, lambda _v, _scope: True)
    if wanted is None:
        raise NotStatic

    def resource(_v: Any, scope: ConstraintScope) -> Any:
        if scope.resource.get("resourceType") != wanted:
            raise NeedsGeneral
        return scope.resource

    return Path((wanted,), False, resource, lambda _v, _scope: True)


def _step(target: Path, name: str, context: Context, *, at_this: bool = False) -> Path:
    type_name = target.type_name
    if type_name in ABSTRACT_RESOURCES:
        type_name = _STATIC_RESOURCE
    definition = types().get(type_name)
    element = definition.elements.get(name) if definition is not None else None
    if definition is None or definition.kind == "primitive" or element is None:
        raise NotStatic
    if not element.choice:
        return _child(target, name, _child_type(type_name, name, element.types[0]), context, element.is_list, at_this)
    keys = frozenset(k for key, child in element.json_names for k in _keys_of(key, child))
    return Path(
        element.types,
        target.many,
        _refuse,
        _any_key(target, keys, at_this=at_this),
        keys if at_this else None,
        target,
        element.json_names,
    )


def _child_type(type_name: str, name: str, declared: str) -> str:
    return SYSTEM_STRING if name == "id" or (name == "url" and type_name == "Extension") else declared


def _keys_of(key: str, type_name: str) -> tuple[str, ...]:
    return (key, "_" + key) if type_name == SYSTEM_STRING or is_primitive(type_name) else (key,)


def _refuse(_v: Any, _scope: ConstraintScope) -> Any:
    raise NeedsGeneral


def _any_key(target: Path, keys: frozenset[str], *, at_this: bool) -> Test:
    """Return the test whether a value of ``target`` has one of the properties ``keys``."""
    run, lacks = target.run, keys.isdisjoint
    if at_this:
        return lambda v, _scope: not lacks(v)
    if not target.many:

        def test(v: Any, scope: ConstraintScope) -> bool:
            parent = run(v, scope)
            return parent is not None and not lacks(parent)

        return test

    def test_many(v: Any, scope: ConstraintScope) -> bool:
        return any(not lacks(parent) for parent in run(v, scope))

    return test_many


def _child(target: Path, key: str, type_name: str, context: Context, is_list: bool, at_this: bool) -> Path:
    keys = frozenset(_keys_of(key, type_name))
    companion = "_" + key if len(keys) > 1 else None
    if target.many:
        run = _children_of_many(target.run, key, companion, is_list=is_list, strict=context.strict)
    elif is_list:
        run = _list_of_one(target.run, key, companion)
    else:
        run = _child_of_one(target.run, key, companion, strict=context.strict, at_this=at_this)
    exists = _any_key(target, keys, at_this=at_this)
    return Path((type_name,), target.many or is_list, run, exists, keys if at_this else None)


def _child_of_one(parent: Run, key: str, companion: str | None, *, strict: bool, at_this: bool) -> Run:
    if companion is None:
        if at_this:
            return lambda v, _scope: v.get(key)

        def get(v: Any, scope: ConstraintScope) -> Any:
            holder = parent(v, scope)
            return None if holder is None else holder.get(key)

        return get

    def get_primitive(v: Any, scope: ConstraintScope) -> Any:
        holder = parent(v, scope)
        if holder is None:
            return None
        value = holder.get(key)
        if (value is None or strict) and companion in holder:
            raise NeedsGeneral
        return value

    return get_primitive


def _list_of_one(parent: Run, key: str, companion: str | None) -> Run:
    def get(v: Any, scope: ConstraintScope) -> Any:
        holder = parent(v, scope)
        if holder is None:
            return []
        if companion is not None and companion in holder:
            raise NeedsGeneral
        return holder.get(key, [])

    return get


def _children_of_many(parents: Run, key: str, companion: str | None, *, is_list: bool, strict: bool) -> Run:
    def get(v: Any, scope: ConstraintScope) -> Any:
        found: list[Any] = []
        for holder in parents(v, scope):
            value = holder.get(key)
            if companion is not None and (value is None or strict or is_list) and companion in holder:
                raise NeedsGeneral
            if value is None:
                continue
            if is_list:
                found.extend(value)
            else:
                found.append(value)
        return found

    return get


def _narrow(path: Path, type_name: str | None, context: Context) -> Path:
    """Return the path to the one type of a choice that ``as`` or ``ofType`` asks for."""
    if type_name is None or path.parent is None:
        raise NotStatic
    namespace, wanted = resolve_type(type_name)[0]
    fitting = [(key, child) for key, child in path.steps if wanted in ancestors(child)]
    if namespace != "FHIR" or len(fitting) != 1:
        raise NotStatic
    (key, child) = fitting[0]
    return _child(path.parent, key, child, context, False, path.keys is not None)


def _invoke(target: Path, name: str, arguments: tuple[Expression, ...], context: Context) -> Path:
    match name, arguments:
        case (("as" | "ofType"), (argument,)):
            return _narrow(target, qualified_name(argument), context)
        case "extension", (Literal(str(url)),):
            return _where(_step(target, "extension", context), lambda v, _scope: v.get("url") == url)
        case "where", (criterion,):
            from conformance.fhirpath.static_logic import compile_logic  # noqa: PLC0415 (criteria hold paths)

            return _where(target, compile_logic(criterion, context.at(target.type_name)).true)
        case "select", (projection,):
            return _select(target, compile_path(projection, context.at(target.type_name)))
        case "trace", ((Literal(str()),) | (Literal(str()), _)):
            return _traced(target)
        case (("first" | "tail"), ()):
            return _part(target, name)
    raise NotStatic


def _where(target: Path, test: Test) -> Path:
    values = target.values()

    def run(v: Any, scope: ConstraintScope) -> list[Any]:
        return [value for value in values(v, scope) if test(value, scope)]

    def exists(v: Any, scope: ConstraintScope) -> bool:
        return any(test(value, scope) for value in values(v, scope))

    return Path((target.type_name,), True, run, exists)


def _select(target: Path, projection: Path) -> Path:
    values, inner = target.values(), projection.values()

    def run(v: Any, scope: ConstraintScope) -> list[Any]:
        return [found for value in values(v, scope) for found in inner(value, scope)]

    def exists(v: Any, scope: ConstraintScope) -> bool:
        return any(projection.exists(value, scope) for value in values(v, scope))

    return Path((projection.type_name,), True, run, exists)


def _traced(target: Path) -> Path:
    """Return ``target`` itself, left to the general engine when someone listens to traces."""
    run, exists = target.run, target.exists

    def silent_run(v: Any, scope: ConstraintScope) -> Any:
        if scope.hooks.trace is not None:
            raise NeedsGeneral
        return run(v, scope)

    def silent_exists(v: Any, scope: ConstraintScope) -> bool:
        if scope.hooks.trace is not None:
            raise NeedsGeneral
        return exists(v, scope)

    return Path(target.types, target.many, silent_run, silent_exists)


def _part(target: Path, name: str) -> Path:
    values, type_name = target.values(), target.type_name
    if name == "tail":
        return Path(
            (type_name,), True, lambda v, scope: values(v, scope)[1:], lambda v, scope: len(values(v, scope)) > 1
        )

    def first(v: Any, scope: ConstraintScope) -> Any:
        found = values(v, scope)
        return found[0] if found else None

    return Path((type_name,), False, first, target.exists)


def subtypes(type_name: str) -> frozenset[str]:
    """Return the FHIR types that are of a type; raises NotStatic for a type of FHIRPath's own, FHIRPathError if unknown."""
    namespace, wanted = resolve_type(type_name)[0]
    if namespace != "FHIR":
        raise NotStatic
    found = frozenset(name for name in types() if wanted in ancestors(name))
    if not found:
        raise FHIRPathError(f"there is no type {type_name!r}")
    return found
