"""Abstract syntax to Python closures for the general engine, https://hl7.org/fhirpath/N1/."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from conformance.definitions import types
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Expr, Frame
from conformance.fhirpath.functions import FUNCTIONS
from conformance.fhirpath.functions.factory import create, find_maker
from conformance.fhirpath.functions.registry import Function
from conformance.fhirpath.hoisting import confine, defines_variable, is_same_for_all_items, keep
from conformance.fhirpath.items import Collection, Item, Node, children
from conformance.fhirpath.model import ancestors, resolve_type
from conformance.fhirpath.operands import integer
from conformance.fhirpath.operators import LAZY, ORDERS, STRICT, affirm, negate
from conformance.fhirpath.parser import LONGEST_REMEMBERED, parse
from conformance.fhirpath.quantity import Quantity
from conformance.fhirpath.syntax import (
    Binary,
    Expression,
    Indexer,
    Invocation,
    Literal,
    Member,
    Polarity,
    TypeOperation,
    Variable,
    operands,
    qualified_name,
)

FACTORY = Variable("%factory")


def compile_expression(node: Expression, *, repeated: bool = False) -> Expr:
    """Return the closure for ``node``; raises FHIRPathError for unknown functions, types or argument counts.

    ``repeated`` says that it will run for each item of a collection: then what never changes is evaluated once.
    """
    if repeated and is_same_for_all_items(node):
        return keep(compile_expression(node))
    match node:
        case Literal(value):
            return _constant([] if value is None else [value])
        case Variable(name):
            return _variable(name)
        case Member(None, name):
            return _start(name)
        case Member(target, name) if target is not None:
            return _member(compile_expression(target, repeated=repeated), name)
        case Invocation():
            return _call(node, repeated=repeated)
    if isinstance(node, Indexer):
        return _index(compile_expression(node.target, repeated=repeated), _operand(node.index, repeated=repeated))
    parts = [_operand(operand, repeated=repeated) for operand in operands(node)]
    match node:
        case Polarity(sign):
            return _unary(negate if sign == "-" else affirm, *parts)
        case TypeOperation(operator, _, type_name):
            return _with_types(FUNCTIONS[operator], parts[0], type_name)
        case Binary(operator):
            return _binary(operator, *parts)
    raise FHIRPathError(f"cannot compile {node}")


def _operand(node: Expression, *, repeated: bool) -> Expr:
    run = compile_expression(node, repeated=repeated)
    return confine(run) if defines_variable(node) else run


def compile_text(expression: str) -> Expr:
    """Return the closure for ``expression``, cached by its text (as values, ``1`` and ``true`` would be equal)."""
    return _remembered(expression) if len(expression) <= LONGEST_REMEMBERED else compile_expression(parse(expression))


@lru_cache(maxsize=4096)
def _remembered(expression: str) -> Expr:
    return compile_expression(parse(expression))


def _constant(items: Collection) -> Expr:
    return lambda _frame: items


def _focus(frame: Frame) -> Collection:
    return frame.focus


def _variable(name: str) -> Expr:
    match name:
        case "$this":
            return _focus
        case "$index":
            return lambda frame: [] if frame.index is None else [frame.index]
        case "$total":
            return lambda frame: frame.total
    return lambda frame: frame.variable(name)


def _step(items: Collection, name: str) -> Collection:
    found: Collection = []
    for item in items:
        if isinstance(item, Node):
            children(item, name, found)
        elif isinstance(item, Quantity) and name in {"value", "unit"}:
            found.append(item.value if name == "value" else item.unit)
    return found


def _member(target: Expr, name: str) -> Expr:
    return lambda frame: _step(target(frame), name)


def _start(name: str) -> Expr:
    if not name[:1].isupper():
        return lambda frame: _step(frame.focus, name)

    def start(frame: Frame) -> Collection:
        found: Collection = []
        for item in frame.focus:
            if _is_named(item, name):
                found.append(item)
            elif isinstance(item, Node):
                children(item, name, found)
        return found

    return start


def _is_named(item: Item, name: str) -> bool:
    """Tell whether a path that starts with ``name`` means ``item`` itself: its type or one it derives from."""
    if not isinstance(item, Node):
        return False
    if item.type_name is not None and name in types():
        return name in ancestors(item.type_name)
    return type(item.value) is dict and item.value.get("resourceType") == name


def _unary(operation: Callable[[Collection], Collection], operand: Expr) -> Expr:
    return lambda frame: operation(operand(frame))


def _index(target: Expr, index: Expr) -> Expr:
    def run(frame: Frame) -> Collection:
        items, at = target(frame), integer(index(frame), "an index")
        return items[at : at + 1] if at is not None and at >= 0 else []

    return run


def _binary(operator: str, left: Expr, right: Expr) -> Expr:
    if operator in LAZY:
        return LAZY[operator](left, right)
    operation = STRICT[operator]
    if operator not in ORDERS:
        return lambda frame: operation(left(frame), right(frame))

    def compare(frame: Frame) -> Collection:
        one, other = left(frame), right(frame)
        found = operation(one, other)
        return [False] if not found and frame.decisive and one and other else found

    return compare


def _with_types(declared: Function, target: Expr, type_name: str) -> Expr:
    wanted, run = resolve_type(type_name), declared.run
    return lambda frame: run(frame, target(frame), wanted)


def _make(node: Invocation, *, repeated: bool) -> Expr:
    """Return the closure for a call of ``%factory``."""
    if node.name == "create" and len(node.arguments) == 1:
        type_name = qualified_name(node.arguments[0]) or ""
        created = create(type_name)
        return lambda _frame: created
    make = find_maker(node.name, len(node.arguments))
    arguments = [_operand(argument, repeated=repeated) for argument in node.arguments]
    return lambda frame: make(*[argument(frame) for argument in arguments])


def _call(node: Invocation, *, repeated: bool) -> Expr:
    if node.target == FACTORY:
        return _make(node, repeated=repeated)
    declared = FUNCTIONS.get(node.name)
    if declared is None:
        raise FHIRPathError(f"there is no function {node.name}()")
    if not declared.minimum <= len(node.arguments) <= declared.maximum:
        counts = sorted({declared.minimum, declared.maximum})
        raise FHIRPathError(f"{node.name}() takes {' to '.join(map(str, counts))} arguments, not {len(node.arguments)}")
    target = _focus if node.target is None else compile_expression(node.target, repeated=repeated)
    if declared.types:
        type_name = qualified_name(node.arguments[0])
        if type_name is None:
            raise FHIRPathError(f"{node.name}() needs the name of a type")
        return _with_types(declared, target, type_name)
    run = declared.run
    if declared.lazy:
        criteria = [_operand(argument, repeated=True) for argument in node.arguments]
        return lambda frame: run(frame, target(frame), *criteria)
    arguments = [_operand(argument, repeated=repeated) for argument in node.arguments]
    if not arguments:
        return lambda frame: run(frame, target(frame))
    return lambda frame: run(frame, target(frame), *[argument(frame) for argument in arguments])
