"""The operators, https://hl7.org/fhirpath/N1/#operations: of two evaluated collections, or lazy for boolean logic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, DecimalException
from typing import Any

from conformance.fhirpath import equality
from conformance.fhirpath.equality import distinct, equal_collections, equivalent_collections, is_number
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Expr, Frame
from conformance.fhirpath.items import Collection, Node
from conformance.fhirpath.operands import boolean, optional, single, text, value
from conformance.fhirpath.patterns import check_length
from conformance.fhirpath.quantity import Long, Quantity, add, divide, multiply, plain_number
from conformance.fhirpath.temporal import Temporal

Operator = Callable[[Collection, Collection], Collection]
_INTEGER_LIMIT, _LONG_LIMIT = 2**31, 2**63


def equals(left: Collection, right: Collection) -> Collection:
    """``=``."""
    return optional(equal_collections(left, right))


def not_equals(left: Collection, right: Collection) -> Collection:
    """``!=``."""
    same = equal_collections(left, right)
    return [] if same is None else [not same]


def _ordered(test: Callable[[int], bool]) -> Operator:
    def compare(left: Collection, right: Collection) -> Collection:
        a, b = single(left), single(right)
        if a is None or b is None:
            return []
        order = equality.order(a, b)
        return [] if order is None else [test(order)]

    return compare


ORDERS = frozenset(("<", "<=", ">", ">="))


def member(left: Collection, right: Collection) -> Collection:
    """``in``."""
    item = single(left, "the left operand of in")
    return [] if item is None else [equality.contains(right, item)]


def fitted(result: Any, *operands: Any) -> Any:
    """Give an integer result the type of its operands: Long if one of them is; None if it overflows."""
    if isinstance(result, bool) or not isinstance(result, int):
        return result
    if any(isinstance(operand, Long) for operand in operands):
        return Long(result) if -_LONG_LIMIT <= result < _LONG_LIMIT else None
    return result if -_INTEGER_LIMIT <= result < _INTEGER_LIMIT else None


def _refuse(symbol: str, a: Any, b: Any) -> FHIRPathError:
    names = [x.type_name or "object" if isinstance(x, Node) else type(x).__name__ for x in (a, b)]
    return FHIRPathError(f"{names[0]} {symbol} {names[1]} is not defined")


def _as_quantity(found: Any) -> Quantity:
    return found if isinstance(found, Quantity) else Quantity(Decimal(found), "1", calendar=False)


def _quantities(a: Any, b: Any) -> tuple[Quantity, Quantity] | None:
    """Return both as quantities if one is a quantity and the other a quantity or a number."""
    amounts = [x for x in (a, b) if isinstance(x, Quantity) or is_number(x)]
    if len(amounts) < 2 or not (isinstance(a, Quantity) or isinstance(b, Quantity)):  # noqa: PLR2004 (both operands)
        return None
    return _as_quantity(a), _as_quantity(b)


def plus(a: Any, b: Any) -> Any:
    """Return ``a + b`` of two System values, None where the sum is empty; raises FHIRPathError for other types."""
    if type(a) is str and type(b) is str:
        check_length(len(a) + len(b))
        return a + b
    if is_number(a) and is_number(b):
        return fitted(a + b, a, b)
    if isinstance(a, Temporal) and isinstance(b, Quantity):
        return a.plus(b)
    if isinstance(b, Temporal) and isinstance(a, Quantity):
        return b.plus(a)
    quantities = _quantities(a, b)
    if quantities:
        return add(*quantities, 1)
    raise _refuse("+", a, b)


def _minus(a: Any, b: Any) -> Any:
    if is_number(a) and is_number(b):
        return fitted(a - b, a, b)
    if isinstance(a, Temporal) and isinstance(b, Quantity):
        return a.plus(b, -1)
    quantities = _quantities(a, b)
    if quantities:
        return add(*quantities, -1)
    raise _refuse("-", a, b)


def _times(a: Any, b: Any) -> Any:
    if is_number(a) and is_number(b):
        return fitted(a * b, a, b)
    quantities = _quantities(a, b)
    if quantities:
        return multiply(*quantities)
    raise _refuse("*", a, b)


def over(a: Any, b: Any) -> Any:
    """Return ``a / b`` of two System values, None where the quotient is empty; raises FHIRPathError for other types."""
    if is_number(a) and is_number(b):
        return Decimal(a) / Decimal(b) if b else None
    quantities = _quantities(a, b)
    if quantities:
        return divide(*quantities)
    raise _refuse("/", a, b)


def _plain_numbers(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the numbers that quantities without dimension stand for, and anything else as it is."""
    quantities = _quantities(a, b)
    numbers = [plain_number(quantity) for quantity in quantities or ()]
    return (numbers[0], numbers[1]) if numbers and None not in numbers else (a, b)


def _div(a: Any, b: Any) -> Any:
    a, b = _plain_numbers(a, b)
    if is_number(a) and is_number(b):
        return fitted(int(Decimal(a) / Decimal(b)), a, b) if b else None
    raise _refuse("div", a, b)


def _mod(a: Any, b: Any) -> Any:
    a, b = _plain_numbers(a, b)
    if is_number(a) and is_number(b):
        if not b:
            return None
        remainder = Decimal(a) % Decimal(b)
        return fitted(int(remainder), a, b) if isinstance(a, int) and isinstance(b, int) else remainder
    raise _refuse("mod", a, b)


def _arithmetic(compute: Callable[[Any, Any], Any]) -> Operator:
    def run(left: Collection, right: Collection) -> Collection:
        a, b = value(left), value(right)
        if a is None or b is None:
            return []
        try:
            return optional(compute(a, b))
        except DecimalException as error:
            raise FHIRPathError("the result is not a number that can be represented") from error

    return run


def concatenate(left: Collection, right: Collection) -> Collection:
    """``&``: like ``+`` for strings, but an empty operand is an empty string."""
    a, b = text(left) or "", text(right) or ""
    check_length(len(a) + len(b))
    return [a + b]


def negate(items: Collection) -> Collection:
    """Return a number or quantity with the opposite sign."""
    found = value(items, "the operand of -")
    if found is None:
        return []
    if isinstance(found, Quantity):
        return [found.scaled(-found.value)]
    if not is_number(found):
        raise FHIRPathError("- needs a number or a Quantity")
    return [Long(-found) if isinstance(found, Long) else -found]


def affirm(items: Collection) -> Collection:
    """Return a number or quantity unchanged."""
    found = value(items, "the operand of +")
    if found is not None and not is_number(found) and not isinstance(found, Quantity):
        raise FHIRPathError("+ needs a number or a Quantity")
    return items


STRICT: Mapping[str, Operator] = {
    "=": equals,
    "!=": not_equals,
    "~": lambda left, right: [equivalent_collections(left, right)],
    "!~": lambda left, right: [not equivalent_collections(left, right)],
    "<": _ordered(lambda order: order < 0),
    "<=": _ordered(lambda order: order <= 0),
    ">": _ordered(lambda order: order > 0),
    ">=": _ordered(lambda order: order >= 0),
    "|": lambda left, right: distinct(left + right),
    "in": member,
    "contains": lambda left, right: member(right, left),
    "+": _arithmetic(plus),
    "-": _arithmetic(_minus),
    "*": _arithmetic(_times),
    "/": _arithmetic(over),
    "div": _arithmetic(_div),
    "mod": _arithmetic(_mod),
    "&": concatenate,
}


def and_(left: Expr, right: Expr) -> Expr:
    """``and`` in three-valued logic."""

    def run(frame: Frame) -> Collection:
        a = boolean(left(frame))
        if a is False:
            return [False]
        b = boolean(right(frame))
        return [False] if b is False else [True] if a and b else []

    return run


def or_(left: Expr, right: Expr) -> Expr:
    """``or`` in three-valued logic."""

    def run(frame: Frame) -> Collection:
        a = boolean(left(frame))
        if a:
            return [True]
        b = boolean(right(frame))
        return [True] if b else [False] if a is False and b is False else []

    return run


def xor(left: Expr, right: Expr) -> Expr:
    """``xor``: empty unless both sides are known."""

    def run(frame: Frame) -> Collection:
        a, b = boolean(left(frame)), boolean(right(frame))
        return [] if a is None or b is None else [a != b]

    return run


def implies(left: Expr, right: Expr) -> Expr:
    """``implies`` in three-valued logic."""

    def run(frame: Frame) -> Collection:
        a = boolean(left(frame))
        if a is False:
            return [True]
        b = boolean(right(frame))
        return [True] if b else [False] if a and b is False else []

    return run


LAZY: Mapping[str, Callable[[Expr, Expr], Expr]] = {"and": and_, "or": or_, "xor": xor, "implies": implies}
