"""Boolean expressions on an element of a known type, compiled to tests on its JSON.

N1's logic has three values (https://hl7.org/fhirpath/N1/#boolean-logic). Each expression becomes two tests, "is it surely
true" and "is it surely false", and "unknown" is when neither holds; so an ``or`` of ten parts runs as ten plain tests. What
:mod:`conformance.fhirpath.static_paths` can't follow is left to the general engine, part by part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.fhirpath.compiler import compile_expression
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Frame
from conformance.fhirpath.items import Node, resource_node
from conformance.fhirpath.model import is_primitive
from conformance.fhirpath.operands import boolean
from conformance.fhirpath.projection import NotStatic
from conformance.fhirpath.static_comparison import compare_counts, compile_comparison
from conformance.fhirpath.static_paths import Context, NeedsGeneral, Path, Test, compile_path, subtypes, this
from conformance.fhirpath.static_text import compile_text_test
from conformance.fhirpath.syntax import (
    Binary,
    Expression,
    Invocation,
    Literal,
    Member,
    TypeOperation,
    Variable,
    operands,
    qualified_name,
)

if TYPE_CHECKING:
    from conformance.fhirpath.constraints import ConstraintScope


@dataclass(frozen=True, slots=True)
class Logic:
    """An expression as two tests; ``certain`` when one of both always holds.

    ``keys`` are the JSON properties of ``$this`` one of which is there exactly if the expression is true, where that is so.
    """

    true: Test
    false: Test
    certain: bool = False
    keys: frozenset[str] | None = None


def compile_logic(node: Expression, context: Context) -> Logic:
    """Return the tests for ``node``, in the general engine where it can't be decided from the definitions.

    Raises NotStatic where even that can't be: for ``$index``, ``$total`` and, within a criterion, ``%context``.
    """
    try:
        return _compile(node, context)
    except NotStatic:
        return _guarded(node, context)


def _compile(node: Expression, context: Context) -> Logic:
    match node:
        case Literal(bool(value)):
            return _certain(lambda _v, _scope: value)
        case Binary("or" | "and" | "xor" | "implies"):
            return _connect(node, context)
        case Binary("=" | "!=" | "<" | ">" | "<=" | ">=" | "in" as operator, left, right):
            return _compare(operator, left, right, context)
        case TypeOperation("is", operand, type_name):
            return _is_of_type(compile_path(operand, context), type_name)
        case Invocation(target, name, arguments):
            return _call(target, name, arguments, context)
    return _value(compile_path(node, context))


def _certain(true: Test, keys: frozenset[str] | None = None) -> Logic:
    return Logic(true, lambda v, scope: not true(v, scope), True, keys)


def negated(logic: Logic) -> Logic:
    """Return the negation."""
    return Logic(logic.false, logic.true, logic.certain)


def _value(path: Path) -> Logic:
    """Return what a path means as a Boolean: its own value, or that there is one item of another type."""
    if path.many or path.parent is not None:
        raise NotStatic
    run = path.run
    if path.type_name == "boolean":
        return Logic(lambda v, scope: run(v, scope) is True, lambda v, scope: run(v, scope) is False)
    return Logic(path.exists, lambda _v, _scope: False)


def _flattened(operator: str, node: Expression) -> list[Expression]:
    if isinstance(node, Binary) and node.operator == operator:
        return [*_flattened(operator, node.left), *_flattened(operator, node.right)]
    return [node]


def _connect(node: Binary, context: Context) -> Logic:
    operator = node.operator
    if operator in {"or", "and"}:
        parts = [compile_logic(part, context) for part in _flattened(operator, node)]
        if operator == "and":
            return negated(_any([negated(part) for part in parts]))
        return _any(parts)
    left, right = compile_logic(node.left, context), compile_logic(node.right, context)
    if operator == "implies":
        return _any([negated(left), right])
    return _different(left, right)


def _different(left: Logic, right: Logic) -> Logic:
    a, b = left.true, right.true
    if left.certain and right.certain:
        return Logic(lambda v, s: a(v, s) is not b(v, s), lambda v, s: a(v, s) is b(v, s), True)
    not_a, not_b = left.false, right.false
    return Logic(
        lambda v, s: (a(v, s) and not_b(v, s)) or (not_a(v, s) and b(v, s)),
        lambda v, s: (a(v, s) and b(v, s)) or (not_a(v, s) and not_b(v, s)),
    )


def _any(parts: list[Logic]) -> Logic:
    """Return the disjunction; parts that only ask for properties of ``$this`` become one."""
    keys = frozenset[str]().union(*[part.keys for part in parts if part.keys is not None])
    if sum(part.keys is not None for part in parts) > 1:
        parts = [has_key(keys), *[part for part in parts if part.keys is None]]
    if len(parts) == 1:
        return parts[0]
    return Logic(
        _either([part.true for part in parts]),
        _both([part.false for part in parts]),
        all(part.certain for part in parts),
    )


def has_key(keys: frozenset[str]) -> Logic:
    """Return the test whether ``$this`` has one of some JSON properties."""
    lacks = keys.isdisjoint
    return Logic(lambda v, _scope: not lacks(v), lambda v, _scope: lacks(v), True, keys)


def _either(tests: list[Test]) -> Test:
    if len(tests) == 2:  # noqa: PLR2004 (the frequent case, without a loop)
        a, b = tests
        return lambda v, scope: a(v, scope) or b(v, scope)

    def either(v: Any, scope: ConstraintScope) -> bool:
        return any(test(v, scope) for test in tests)

    return either


def _both(tests: list[Test]) -> Test:
    if len(tests) == 2:  # noqa: PLR2004
        a, b = tests
        return lambda v, scope: a(v, scope) and b(v, scope)

    def both(v: Any, scope: ConstraintScope) -> bool:
        return all(test(v, scope) for test in tests)

    return both


def _compare(operator: str, left: Expression, right: Expression, context: Context) -> Logic:
    if operator in {"=", "!="}:
        sides = [_as_test(side, context) for side in (left, right)]
        if sides[0] is not None and sides[1] is not None:
            different = _different(sides[0], sides[1])
            return different if operator == "!=" else negated(different)
    counts = compare_counts(operator, left, right, context)
    if counts is not None:
        return _certain(counts)
    return Logic(*compile_comparison(operator, left, right, context))


def _as_test(node: Expression, context: Context) -> Logic | None:
    """Return the tests of an expression whose value is always true or false."""
    match node:
        case Invocation(_, "exists" | "empty" | "all" | "isDistinct", _):
            return compile_logic(node, context)
        case Binary("or" | "and" | "xor" | "implies" | "=" | "!="):
            return compile_logic(node, context)
    return None


def _is_of_type(path: Path, type_name: str) -> Logic:
    wanted = subtypes(type_name)
    if path.many:
        raise NotStatic
    if path.parent is not None:
        fitting = frozenset(key for key, child in path.steps if child in wanted)
        if path.keys is None or any(is_primitive(child) for _, child in path.steps):
            keys = fitting | {"_" + key for key in fitting}
        else:
            keys = fitting
        if path.keys is None:
            raise NotStatic
        true, exists = has_key(keys).true, path.exists
        return Logic(true, lambda v, scope: exists(v, scope) and not true(v, scope))
    run = path.run
    if path.type_name == "Resource":

        def is_one(v: Any, scope: ConstraintScope) -> bool:
            value = run(v, scope)
            return value is not None and value.get("resourceType") in wanted

        def is_other(v: Any, scope: ConstraintScope) -> bool:
            value = run(v, scope)
            return value is not None and value.get("resourceType") not in wanted

        return Logic(is_one, is_other)
    raise NotStatic


def _call(target: Expression | None, name: str, arguments: tuple[Expression, ...], context: Context) -> Logic:
    match name, arguments:
        case "not", ():
            if target is None:
                raise NotStatic
            return negated(compile_logic(target, context))
        case "exists" | "empty", ():
            path = this(context) if target is None else compile_path(target, context)
            exists = _certain(path.exists) if path.keys is None else has_key(path.keys)
            return exists if name == "exists" else negated(exists)
        case "exists" | "all", (criterion,):
            return _quantified(target, name, criterion, context)
        case "is", (argument,) if target is not None:
            return _is_of_type(compile_path(target, context), qualified_name(argument) or "")
        case "hasValue", ():
            return _has_value(this(context) if target is None else compile_path(target, context))
        case "isDistinct", () if target is not None:
            return _distinct(target, context)
        case (("startsWith" | "endsWith" | "contains" | "matches"), (Literal(str(text)),)):
            return Logic(*compile_text_test(target, name, text, context))
    raise NotStatic


def _quantified(target: Expression | None, name: str, criterion: Expression, context: Context) -> Logic:
    path = this(context) if target is None else compile_path(target, context)
    values, test = path.values(), compile_logic(criterion, context.at(path.type_name)).true
    if name == "all":

        def true_for_all(v: Any, scope: ConstraintScope) -> bool:
            return all(test(value, scope) for value in values(v, scope))

        return _certain(true_for_all)

    def true_for_one(v: Any, scope: ConstraintScope) -> bool:
        return any(test(value, scope) for value in values(v, scope))

    return _certain(true_for_one)


def _has_value(path: Path) -> Logic:
    if path.many or not is_primitive(path.type_name):
        raise NotStatic
    run = path.run
    return _certain(lambda v, scope: run(v, scope) is not None)


def _distinct(target: Expression, context: Context) -> Logic:
    # ids and extensions tell elements apart, so they matter here
    path = compile_path(target, Context(context.type_name, context.resource_type, strict=True))
    if not is_primitive(path.type_name):
        raise NotStatic
    values = path.values()

    def distinct(v: Any, scope: ConstraintScope) -> bool:
        found = values(v, scope)
        if not all(type(value) is str for value in found):
            raise NeedsGeneral
        return len(set(found)) == len(found)

    return _certain(distinct)


# functions that make nothing of nothing, and what the closing function says of nothing
_PRESERVING = frozenset(
    {"where", "select", "trace", "first", "last", "tail", "distinct", "descendants", "children", "as", "ofType"}
)
_OF_NOTHING = {"exists": False, "empty": True, "all": True, "isDistinct": True}


def _guarded(node: Expression, context: Context) -> Logic:
    """Return ``node`` for the general engine, which isn't asked when the path it starts with leads nowhere."""
    logic = _generally(node, context)
    if not isinstance(node, Invocation) or node.name not in _OF_NOTHING:
        return logic
    start = _static_start(node.target, context)
    if start is None:
        return logic
    exists, answer = start.exists, _OF_NOTHING[node.name]
    true, false = logic.true, logic.false

    def is_true(v: Any, scope: ConstraintScope) -> bool:
        return true(v, scope) if exists(v, scope) else answer

    def is_false(v: Any, scope: ConstraintScope) -> bool:
        return false(v, scope) if exists(v, scope) else not answer

    return Logic(is_true, is_false, True)


def _static_start(node: Expression | None, context: Context) -> Path | None:
    while node is not None:
        try:
            return compile_path(node, context)
        except (NotStatic, FHIRPathError):
            if isinstance(node, Member) or (isinstance(node, Invocation) and node.name in _PRESERVING):
                node = node.target
            else:
                return None
    return None


def _variables(node: Expression) -> set[str]:
    found = {node.name} if isinstance(node, Variable) else set()
    return found.union(*[_variables(child) for child in operands(node)])


def _generally(node: Expression, context: Context) -> Logic:
    if _variables(node) & {"$index", "$total", "%context"}:
        raise NotStatic
    find: Callable[[Any, ConstraintScope], bool | None] = general_boolean(node, context.type_name)
    return Logic(lambda v, scope: find(v, scope) is True, lambda v, scope: find(v, scope) is False)


def general_boolean(node: Expression, type_name: str) -> Callable[..., bool | None]:
    """Return the general engine's answer to ``node`` as a function of (value, scope, extra): None for an empty result."""
    run = compile_expression(node)

    def find(value: Any, scope: ConstraintScope, extra: Any = None) -> bool | None:
        is_resource = type(value) is dict and "resourceType" in value
        item = resource_node(value) if is_resource else Node(value, type_name, extra)
        frame = Frame(
            resource_node(scope.root),
            [item],
            scope.environment,
            scope.resolve,
            scope.hooks,
            as_filters=True,
            resource=resource_node(scope.resource),
            decisive=True,
        )
        try:
            return boolean(run(frame), "the result of a constraint")
        except RecursionError as error:
            raise FHIRPathError("the expression or the resource is nested too deeply") from error

    return find
