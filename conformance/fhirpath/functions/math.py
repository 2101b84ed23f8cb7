"""Functions on numbers, https://hl7.org/fhirpath/N1/#math."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal, DecimalException
from typing import Any

from conformance.fhirpath.equality import is_number, order
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Frame
from conformance.fhirpath.functions.registry import function
from conformance.fhirpath.items import Collection, to_system
from conformance.fhirpath.operands import integer, number, optional, value
from conformance.fhirpath.operators import fitted, over, plus
from conformance.fhirpath.quantity import Quantity

_HIGHEST_PRECISION = 28


def _amount(items: Collection, name: str) -> Any:
    found = value(items, f"the input of {name}()")
    if found is not None and not is_number(found) and not isinstance(found, Quantity):
        raise FHIRPathError(f"the input of {name}() must be a number or a Quantity")
    return found


def _map(found: Any, change: Callable[[Any], Any]) -> Collection:
    """Apply ``change`` to a number, or to the value of a Quantity; a result out of range is empty."""
    if found is None:
        return []
    if isinstance(found, Quantity):
        return [found.scaled(Decimal(change(found.value)))]
    return optional(fitted(change(found), found))


@function("abs")
def abs_(_frame: Frame, items: Collection) -> Collection:
    """Return the absolute value."""
    return _map(_amount(items, "abs"), abs)


def _whole(found: Decimal, rounding: str) -> int:
    # far beyond an Integer, and turning it into digits could take for ever
    return int(found.to_integral_value(rounding)) if found.adjusted() <= _HIGHEST_PRECISION else 10**_HIGHEST_PRECISION


def _declare_rounding(name: str, rounding: str) -> None:
    def run(_frame: Frame, items: Collection) -> Collection:
        return _map(_amount(items, name), lambda found: _whole(Decimal(found), rounding))

    function(name)(run)


_declare_rounding("ceiling", ROUND_CEILING)
_declare_rounding("floor", ROUND_FLOOR)
_declare_rounding("truncate", ROUND_DOWN)


@function("round", 0, 1)
def round_(_frame: Frame, items: Collection, precision: Collection | None = None) -> Collection:
    """Return the value rounded to ``precision`` digits after the point, halves upward."""
    digits = (integer(precision, "the precision of round()") if precision is not None else None) or 0
    if not 0 <= digits <= _HIGHEST_PRECISION:
        raise FHIRPathError(f"the precision of round() must be 0 to {_HIGHEST_PRECISION}")
    step = Decimal(1).scaleb(-digits)
    try:
        return _map(_amount(items, "round"), lambda found: Decimal(found).quantize(step, ROUND_HALF_UP))
    except DecimalException as error:
        raise FHIRPathError("the input of round() has too many digits") from error


def _decimal(items: Collection, name: str) -> Decimal | None:
    found = number(items, f"an operand of {name}()")
    return None if found is None else Decimal(found)


def _calculate(compute: Callable[[], Decimal]) -> list[Decimal]:
    """Return the result, or nothing where the operation has none among the decimals."""
    try:
        result = compute()
    except DecimalException:
        return []
    return [result] if result.is_finite() else []


def _irrational(compute: Callable[[], Decimal]) -> list[Decimal]:
    """Return the result without the last digits, which stem from rounding: so ``0.3.ln().exp()`` is 0.3."""
    return [
        (round(found, 15).normalize() if found.adjusted() < _HIGHEST_PRECISION - 15 else found) + 0
        for found in _calculate(compute)
    ]


@function("exp")
def exp(_frame: Frame, items: Collection) -> Collection:
    """Return e raised to the input."""
    found = _decimal(items, "exp")
    return [] if found is None else [*_irrational(found.exp)]


@function("ln")
def ln(_frame: Frame, items: Collection) -> Collection:
    """Return the natural logarithm; there is none of zero or less."""
    found = _decimal(items, "ln")
    return [] if found is None or found <= 0 else [*_irrational(found.ln)]


@function("log", 1)
def log(_frame: Frame, items: Collection, base: Collection) -> Collection:
    """Return the logarithm to ``base``."""
    found, to = _decimal(items, "log"), _decimal(base, "log")
    if found is None or to is None or found <= 0 or to <= 0 or to == 1:
        return []
    return [*_irrational(lambda: found.log10() / to.log10())]


@function("power", 1)
def power(_frame: Frame, items: Collection, exponent: Collection) -> Collection:
    """Return the input raised to ``exponent``: an Integer for integers, unless the exponent is negative."""
    found, by = number(items, "the input of power()"), number(exponent, "the exponent of power()")
    if found is None or by is None:
        return []
    result = _calculate(lambda: Decimal(found) ** Decimal(by))
    if result and isinstance(found, int) and isinstance(by, int) and by >= 0:
        return optional(fitted(int(result[0]), found)) if result[0].adjusted() <= _HIGHEST_PRECISION else []
    return [*result]


@function("sqrt")
def sqrt(_frame: Frame, items: Collection) -> Collection:
    """Return the square root; there is none of a negative number."""
    found = _decimal(items, "sqrt")
    return [] if found is None or found < 0 else [*_calculate(found.sqrt)]


def _amounts(items: Collection) -> list[Any] | None:
    """Return the items as System values, None when there are none or one has no value."""
    values = [to_system(item) for item in items]
    return values if values and all(entry is not None for entry in values) else None


def _extreme(items: Collection, sign: int) -> Collection:
    values = _amounts(items)
    if values is None:
        return []
    best = values[0]
    for candidate in values[1:]:
        comparison = order(candidate, best)
        if comparison is None:
            return []
        if comparison * sign > 0:
            best = candidate
    return [best]


@function("min")
def min_(_frame: Frame, items: Collection) -> Collection:
    """Return the lowest item (trial use, https://hl7.org/fhirpath/#aggregates, as the next three)."""
    return _extreme(items, -1)


@function("max")
def max_(_frame: Frame, items: Collection) -> Collection:
    """Return the highest item."""
    return _extreme(items, 1)


@function("sum")
def sum_(_frame: Frame, items: Collection) -> Collection:
    """Return the sum of the items, empty when some do not add up."""
    values = _amounts(items) or []
    total = values[0] if values else None
    for entry in values[1:]:
        total = None if total is None else plus(total, entry)
    return optional(total)


@function("avg")
def avg(frame: Frame, items: Collection) -> Collection:
    """Return the mean of the items."""
    return [quotient for total in sum_(frame, items) if (quotient := over(total, len(items))) is not None]
