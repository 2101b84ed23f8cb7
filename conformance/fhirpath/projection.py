"""Paths compiled against a known root type, down to dictionary lookups, for https://hl7.org/fhir/R4/searchparameter.html.

The elements a path can reach, and the type of each, are known from the definitions, so
``Observation.value as Quantity`` is one lookup of ``valueQuantity``. What cannot be decided that way raises
:class:`NotStatic` and is left to the general engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from conformance.definitions import types
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.model import ABSTRACT_RESOURCES, ancestors, resolve_type
from conformance.fhirpath.references import referenced_type
from conformance.fhirpath.syntax import (
    Binary,
    Expression,
    Indexer,
    Invocation,
    Literal,
    Member,
    TypeOperation,
    qualified_name,
)

Pairs: TypeAlias = list[tuple[str, Any]]
Project: TypeAlias = Callable[[dict[str, Any]], Pairs]
Test: TypeAlias = Callable[[Any, dict[str, Any]], bool]
_TEXT_TYPES = frozenset({"string", "code", "id", "uri", "url", "canonical", "oid", "uuid", "markdown"})


class NotStatic(Exception):
    """The expression needs the general engine."""


@dataclass(frozen=True, slots=True)
class Get:
    """A step to the JSON property ``key``."""

    key: str


@dataclass(frozen=True, slots=True)
class Keep:
    """A step that keeps the values which pass ``test(value, root)``."""

    test: Test


@dataclass(frozen=True, slots=True)
class Pick:
    """A step to the value at ``index``."""

    index: int


@dataclass(frozen=True, slots=True)
class Route:
    """Steps from the root to the values of one type."""

    type_name: str
    steps: tuple[Get | Keep | Pick, ...]


def routes(node: Expression, root: str) -> tuple[Route, ...]:
    """Return the routes ``node`` can take from a root of type ``root``, none when it starts at another type.

    Raises NotStatic, or FHIRPathError for an element or a type that does not exist.
    """
    match node:
        case Member(None, name):
            return _start(name, root)
        case Member(target, name) if target is not None:
            return tuple(found for route in routes(target, root) for found in _step(route, name))
        case TypeOperation("as", operand, type_name):
            return _narrow(routes(operand, root), type_name)
        case Invocation(target, "as" | "ofType", (argument,)) if target is not None:
            return _narrow(routes(target, root), qualified_name(argument))
        case Invocation(target, "where", (criterion,)) if target is not None:
            return tuple(_keep(route, _criterion(criterion, route)) for route in routes(target, root))
        case Invocation(target, "extension", (Literal(str(url)),)) if target is not None:
            return tuple(
                _keep(found, _equal_to("url", url))
                for route in routes(target, root)
                for found in _step(route, "extension")
            )
        case Indexer(target, Literal(int(index))) if not isinstance(index, bool):
            found = routes(target, root)
            if len(found) > 1:
                raise NotStatic
            return tuple(Route(route.type_name, (*route.steps, Pick(index))) for route in found)
    raise NotStatic


def _start(name: str, root: str) -> tuple[Route, ...]:
    here = Route(root, ())
    if name in ancestors(root):
        return (here,)
    definition = types().get(root)
    if definition is not None and name not in definition.elements and name in types():
        return ()
    return _step(here, name)


def _step(route: Route, name: str) -> tuple[Route, ...]:
    definition = types().get(route.type_name)
    if definition is None or route.type_name in ABSTRACT_RESOURCES:
        raise NotStatic
    if definition.kind == "primitive":
        raise NotStatic
    element = definition.elements.get(name)
    if element is None:
        raise FHIRPathError(f"{route.type_name} has no element {name!r}")
    return tuple(Route(child, (*route.steps, Get(key))) for key, child in element.json_names)


def _narrow(found: tuple[Route, ...], type_name: str | None) -> tuple[Route, ...]:
    if type_name is None:
        raise NotStatic
    namespace, wanted = resolve_type(type_name)[0]
    if namespace != "FHIR" or any(route.type_name in ABSTRACT_RESOURCES for route in found):
        raise NotStatic
    return tuple(route for route in found if wanted in ancestors(route.type_name))


def _keep(route: Route, test: Test) -> Route:
    return Route(route.type_name, (*route.steps, Keep(test)))


def _criterion(node: Expression, route: Route) -> Test:
    match node:
        case TypeOperation("is", Invocation(None, "resolve", ()), type_name):
            namespace, wanted = resolve_type(type_name)[0]
            if namespace == "FHIR" and route.type_name in {"Reference", "canonical", "uri"}:
                return _refers_to(wanted)
        case Binary("=", Member(None, name), Literal(str(text))):
            definition = types().get(route.type_name)
            element = definition.elements.get(name) if definition else None
            if element and not element.is_list and element.types[0] in _TEXT_TYPES and not element.choice:
                return _equal_to(name, text)
    raise NotStatic


def _refers_to(wanted: str) -> Test:
    prefix = wanted + "/"

    def test(value: Any, root: dict[str, Any]) -> bool:
        text = value.get("reference") if type(value) is dict else value
        # the common form decides without splitting
        if type(text) is str and text.startswith(prefix) and text.count("/") == 1:
            return True
        found = referenced_type(value, root)
        return found is not None and wanted in ancestors(found)

    return test


def _equal_to(key: str, text: str) -> Test:
    def test(value: Any, _root: dict[str, Any]) -> bool:
        return type(value) is dict and value.get(key) == text

    return test


def project(route: Route) -> Project:
    """Return the function that follows ``route``."""
    type_name, steps = route.type_name, route.steps
    if type_name in ABSTRACT_RESOURCES:
        follow = _follow(steps)

        def resources(root: dict[str, Any]) -> Pairs:
            return [(v["resourceType"], v) for v in follow(root) if type(v) is dict and "resourceType" in v]

        return resources
    if len(steps) == 1 and isinstance(steps[0], Get):
        return _property(type_name, steps[0].key)
    if len(steps) == 2 and isinstance(steps[0], Get):  # noqa: PLR2004 (a property of a property, or a filtered one)
        match steps[1]:
            case Get(key):
                return _grandchild(type_name, steps[0].key, key)
            case Keep(test):
                return _filtered(type_name, steps[0].key, test)
    follow = _follow(steps)
    return lambda root: [(type_name, v) for v in follow(root)]


def _property(type_name: str, key: str) -> Project:
    def get(root: dict[str, Any]) -> Pairs:
        value = root.get(key)
        if value is None:
            return []
        if type(value) is list:
            return [(type_name, v) for v in value if v is not None]
        return [(type_name, value)]

    return get


def _grandchild(type_name: str, key: str, inner: str) -> Project:
    def get(root: dict[str, Any]) -> Pairs:
        value = root.get(key)
        if value is None:
            return []
        found: Pairs = []
        for parent in value if type(value) is list else (value,):
            if type(parent) is not dict:
                continue
            child = parent.get(inner)
            if type(child) is list:
                found.extend([(type_name, v) for v in child if v is not None])
            elif child is not None:
                found.append((type_name, child))
        return found

    return get


def _filtered(type_name: str, key: str, test: Test) -> Project:
    def get(root: dict[str, Any]) -> Pairs:
        value = root.get(key)
        if value is None:
            return []
        if type(value) is list:
            return [(type_name, v) for v in value if v is not None and test(v, root)]
        return [(type_name, value)] if test(value, root) else []

    return get


def _follow(steps: tuple[Get | Keep | Pick, ...]) -> Callable[[dict[str, Any]], list[Any]]:
    def follow(root: dict[str, Any]) -> list[Any]:
        items: list[Any] = [root]
        for step in steps:
            if type(step) is Get:
                items = _children(items, step.key)
            elif type(step) is Keep:
                test = step.test
                items = [item for item in items if test(item, root)]
            elif type(step) is Pick:
                items = items[step.index : step.index + 1]
            if not items:
                return items
        return items

    return follow


def _children(items: list[Any], key: str) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if type(item) is not dict:
            continue
        value = item.get(key)
        if type(value) is list:
            found.extend([v for v in value if v is not None])
        elif value is not None:
            found.append(value)
    return found


def choice(found: tuple[Route, ...]) -> Project | None:
    """Return one loop for a choice element of the root (``Observation.effective``), None for other routes."""
    keys = [(step.key, route.type_name) for route in found for step in route.steps if isinstance(step, Get)]
    if any(len(route.steps) != 1 for route in found) or len(keys) != len(found):
        return None

    def get(root: dict[str, Any]) -> Pairs:
        for key, type_name in keys:
            if key in root:
                value = root[key]
                return [(type_name, value)] if value is not None else []
        return []

    return get
