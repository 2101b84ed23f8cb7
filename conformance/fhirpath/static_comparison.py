"""Comparisons within an element of a known type: with constants, of counts, and of two values of one type.

https://hl7.org/fhirpath/N1/#equality, https://hl7.org/fhirpath/N1/#comparison.
"""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from conformance.fhirpath.equality import order
from conformance.fhirpath.items import Node
from conformance.fhirpath.model import ancestors
from conformance.fhirpath.projection import NotStatic
from conformance.fhirpath.static_paths import TEXT_TYPES, Context, NeedsGeneral, Run, Test, compile_path
from conformance.fhirpath.syntax import Binary, Expression, Invocation, Literal, Variable

if TYPE_CHECKING:
    from conformance.fhirpath.constraints import ConstraintScope

Tests = tuple[Test, Test]

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    ">": operators.gt,
    "<=": operators.le,
    ">=": operators.ge,
}
_UCUM = "http://unitsofmeasure.org"
_NUMBERS = frozenset({"integer", "positiveInt", "unsignedInt", "decimal"})
_MOMENTS = frozenset({"date", "dateTime", "instant"})


def compare_counts(operator: str, left: Expression, right: Expression, context: Context) -> Test | None:
    """Return the test of a comparison of counts and numbers (``a.count() + b.count() = 1``), None when it is none."""
    sides = [_count(side, context) for side in (left, right)]
    if operator not in _OPERATORS or sides[0] is None or sides[1] is None:
        return None
    compare, a, b = _OPERATORS[operator], sides[0], sides[1]
    return lambda v, scope: compare(a(v, scope), b(v, scope))


def _count(node: Expression, context: Context) -> Run | None:
    match node:
        case Literal(int(value)) if not isinstance(value, bool):
            return lambda _v, _scope: value
        case Binary("+", left, right):
            a, b = _count(left, context), _count(right, context)
            return None if a is None or b is None else lambda v, scope: a(v, scope) + b(v, scope)
        case Invocation(target, "count", ()) if target is not None:
            path = compile_path(target, context)
            if not path.many:
                exists = path.exists
                return lambda v, scope: int(exists(v, scope))
            run = path.run
            return lambda v, scope: len(run(v, scope))
    return None


def compile_comparison(operator: str, left: Expression, right: Expression, context: Context) -> Tests:
    """Return the tests whether a comparison is true and whether it is false; raises NotStatic when not decidable."""
    if operator == "in":
        return _among(left, _constants(right), context)
    constant = _constant(right)
    if constant is None:
        return _two_values(operator, left, right, context)
    path = compile_path(left, context)
    if path.many:
        raise NotStatic
    run, allowed = path.run, _comparable(path.type_name, constant, operator)
    if not allowed:
        raise NotStatic
    compare = _OPERATORS[operator]
    if operator == "=" and isinstance(constant, str):
        return (
            lambda v, scope: run(v, scope) == constant,
            lambda v, scope: run(v, scope) not in (None, constant),
        )

    def true(v: Any, scope: ConstraintScope) -> bool:
        value = run(v, scope)
        return value is not None and compare(value, constant)

    def false(v: Any, scope: ConstraintScope) -> bool:
        value = run(v, scope)
        return value is not None and not compare(value, constant)

    return true, false


def _constant(node: Expression) -> str | bool | int | Decimal | None:
    match node:
        case Literal(bool() | int() | Decimal() | str() as value):
            return value
        case Variable("%ucum"):
            return _UCUM
    return None


def _comparable(type_name: str, constant: str | bool | int | Decimal, operator: str) -> bool:
    """Tell whether JSON values of a type compare with a constant as FHIRPath's do."""
    if isinstance(constant, str):
        return type_name in TEXT_TYPES
    if isinstance(constant, bool):
        return type_name == "boolean" and operator in {"=", "!="}
    return type_name in _NUMBERS


def _constants(node: Expression) -> frozenset[str]:
    match node:
        case Binary("|", left, right):
            return _constants(left) | _constants(right)
        case Literal(str(value)):
            return frozenset({value})
    raise NotStatic


def _among(left: Expression, constants: frozenset[str], context: Context) -> Tests:
    path = compile_path(left, context)
    if path.type_name not in TEXT_TYPES:
        raise NotStatic
    values = path.values()

    def single(v: Any, scope: ConstraintScope) -> Any:
        found = values(v, scope)
        if len(found) > 1:  # an error, which the general engine reports
            raise NeedsGeneral
        return found[0] if found else None

    def false(v: Any, scope: ConstraintScope) -> bool:
        value = single(v, scope)
        return value is not None and value not in constants

    return lambda v, scope: single(v, scope) in constants, false


def _two_values(operator: str, left: Expression, right: Expression, context: Context) -> Tests:
    """Return the tests for the order of two dates or quantities."""
    a, b = compile_path(left, context), compile_path(right, context)
    name = a.type_name
    if operator in {"=", "!="} or a.many or b.many or b.type_name != name:
        raise NotStatic
    if name not in _MOMENTS and "Quantity" not in ancestors(name):
        raise NotStatic
    run_a, run_b, compare, is_moment = a.run, b.run, _OPERATORS[operator], name in _MOMENTS

    def compared(v: Any, scope: ConstraintScope) -> bool | None:
        one, other = run_a(v, scope), run_b(v, scope)
        if one is None or other is None:
            return None
        if is_moment and len(one) == len(other) and (len(one) == len("2020-01-01") or (one[-1] == other[-1] == "Z")):
            return compare(one, other)  # of one form, so their order is that of their digits
        found = order(Node(one, name), Node(other, name))
        return found is not None and compare(found, 0)

    return lambda v, scope: compared(v, scope) is True, lambda v, scope: compared(v, scope) is False
