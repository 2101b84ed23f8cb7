"""Quantities and calendar durations, https://hl7.org/fhirpath/N1/#quantity.

Durations of the calendar convert among themselves, UCUM units through :mod:`conformance.ucum`. Where units do not
compare, or a unit is unknown, the result is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from conformance import ucum

_PRECISIONS = ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
CALENDAR_UNITS = {word: unit for unit in _PRECISIONS for word in (unit, unit + "s")}
_OF_UCUM = {"a": "year", "mo": "month", "wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second"}
_OF_UCUM["ms"] = "millisecond"
_TO_UCUM = {unit: code for code, unit in _OF_UCUM.items()}
_SECONDS = {
    "week": Decimal(604800),
    "day": Decimal(86400),
    "hour": Decimal(3600),
    "minute": Decimal(60),
    "second": Decimal(1),
    "millisecond": Decimal("0.001"),
}
_CALENDAR_SECONDS = _SECONDS | {"year": Decimal(365 * 86400), "month": Decimal(30 * 86400)}
_UCUM_SECONDS = _SECONDS | {"year": Decimal(31557600), "month": Decimal(2629800)}
_MONTHS = {"year": 12, "month": 1}
# far beyond what FHIR can write; exact arithmetic would take long on such numbers
_LARGEST_EXPONENT = 400


class Long(int):
    """A 64-bit integer, written ``5L``."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit.

    ``calendar`` is True for a calendar duration (``unit`` is a word such as ``years``), False for a UCUM code. None
    marks a value that came from a FHIR Quantity in a UCUM time unit, which stands for either reading
    (https://hl7.org/fhir/R4/fhirpath.html#quantity): the other operand decides.
    """

    value: Decimal
    unit: str
    calendar: bool | None

    def __str__(self) -> str:
        """Return the form that ``toQuantity()`` reads back."""
        return f"{self.value:f} {self.unit}" if self.calendar else f"{self.value:f} '{self.unit}'"

    def precision(self) -> str | None:
        """Return the duration unit (``year`` … ``millisecond``), calendar or UCUM, or None for other units."""
        return CALENDAR_UNITS.get(self.unit) if self.calendar else _OF_UCUM.get(self.unit)

    def duration_unit(self) -> str | None:
        """Return the unit if date arithmetic accepts it: UCUM years and months are not calendar years and months."""
        unit = self.precision()
        return None if self.calendar is False and unit in _MONTHS else unit

    def scaled(self, value: Decimal) -> Quantity:
        """Return a quantity with the same unit and another value."""
        return Quantity(value, self.unit, self.calendar)


def _unit_of(precision: str, *, calendar: bool, value: Decimal) -> str:
    if calendar:
        return precision if value == 1 else precision + "s"
    return _TO_UCUM[precision]


def _read_alike(a: Quantity, b: Quantity) -> tuple[Quantity, Quantity] | None:
    """Resolve values of either reading by the other operand; None when a calendar year meets a UCUM duration."""
    calendar_a = a.calendar if a.calendar is not None else bool(b.calendar)
    calendar_b = b.calendar if b.calendar is not None else bool(a.calendar)
    a, b = _read_as(a, calendar=calendar_a), _read_as(b, calendar=calendar_b)
    if calendar_a != calendar_b and ({a.precision(), b.precision()} & _MONTHS.keys()):
        return None
    return a, b


def _read_as(quantity: Quantity, *, calendar: bool) -> Quantity:
    precision = quantity.precision()
    if quantity.calendar is not None or precision is None:
        return quantity
    return Quantity(quantity.value, _unit_of(precision, calendar=calendar, value=quantity.value), calendar)


def _factor(precision: str, to: str, *, calendar: bool) -> Decimal:
    if precision in _MONTHS and to in _MONTHS:
        return Decimal(_MONTHS[precision]) / Decimal(_MONTHS[to])
    seconds = _CALENDAR_SECONDS if calendar else _UCUM_SECONDS
    return seconds[precision] / seconds[to]


def align(a: Quantity, b: Quantity) -> tuple[Quantity, Quantity] | None:
    """Return both in one unit, the finer of the two; None when they do not compare (empty result)."""
    alike = _read_alike(a, b)
    if alike is None:
        return None
    a, b = alike
    if a.unit == b.unit and a.calendar == b.calendar:
        return a, b
    left, right = a.precision(), b.precision()
    if left is None or right is None:
        return None if a.calendar or b.calendar else _align_ucum(a, b)
    finer = max(left, right, key=_PRECISIONS.index)
    calendar = bool(a.calendar if finer == left else b.calendar)
    return _in_unit(a, left, finer, calendar=calendar), _in_unit(b, right, finer, calendar=calendar)


def _align_ucum(a: Quantity, b: Quantity) -> tuple[Quantity, Quantity] | None:
    left, right = ucum.canonical(a.unit), ucum.canonical(b.unit)
    if left is None or right is None:
        return None
    if left.factor <= right.factor:
        moved = _to_unit(b, a.unit)
        return None if moved is None else (a, moved)
    moved = _to_unit(a, b.unit)
    return None if moved is None else (moved, b)


def _to_unit(quantity: Quantity, unit: str) -> Quantity | None:
    """Return ``quantity`` in another UCUM unit, None where it has no meaning in it."""
    if abs(quantity.value.adjusted()) > _LARGEST_EXPONENT:
        return None
    try:
        found = ucum.convert(quantity.value, quantity.unit, unit)
    except ucum.UnknownUnitError:
        return None
    return None if found is None else Quantity(_decimal(found), unit, calendar=False)


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _in_unit(quantity: Quantity, precision: str, to: str, *, calendar: bool) -> Quantity:
    value = quantity.value * _factor(precision, to, calendar=bool(quantity.calendar))
    return Quantity(value, _unit_of(to, calendar=calendar, value=value), calendar)


def compare(a: Quantity, b: Quantity) -> int | None:
    """Return -1, 0 or 1, or None when the two do not compare."""
    aligned = align(a, b)
    if aligned is None:
        return None
    left, right = aligned[0].value, aligned[1].value
    return (left > right) - (left < right)


def align_equivalent(a: Quantity, b: Quantity) -> tuple[Quantity, Quantity] | None:
    """Like :func:`align`, but a calendar unit stands for the UCUM unit of its name, as ``~`` has it."""
    left, right = a.precision(), b.precision()
    if left is not None and right is not None and a.calendar != b.calendar:
        # 30 days ~ 1 'mo' but 1 month ~ 1 'mo': read both as calendar durations
        a = Quantity(a.value, _unit_of(left, calendar=True, value=a.value), True)
        b = Quantity(b.value, _unit_of(right, calendar=True, value=b.value), True)
    return align(a, b)


def convert(quantity: Quantity, unit: str) -> Quantity | None:
    """Return ``quantity`` in ``unit`` (a calendar word or a UCUM code), None when it has no meaning in it."""
    calendar = unit in CALENDAR_UNITS
    if unit == quantity.unit:
        return Quantity(quantity.value, unit, calendar)
    target = Quantity(Decimal(1), unit, calendar)
    if _read_alike(quantity, target) is None:
        return None
    here, there = quantity.precision(), target.precision()
    if here is None or there is None:
        return None if quantity.calendar or calendar else _to_unit(quantity, unit)
    read_as_calendar = calendar if quantity.calendar is None else quantity.calendar
    return Quantity(quantity.value * _factor(here, there, calendar=read_as_calendar), unit, calendar)


def _has_no_sums(quantity: Quantity) -> bool:
    """Tell whether the unit has a scale of its own, where 10 and 10 are not 20: degrees Celsius, decibels."""
    unit = None if quantity.calendar else ucum.canonical(quantity.unit)
    return unit is not None and unit.alone


def add(a: Quantity, b: Quantity, sign: int) -> Quantity | None:
    """Return ``a + sign * b`` in the finer unit, None when the units do not combine."""
    aligned = align(a, b)
    if aligned is None or _has_no_sums(a) or _has_no_sums(b):
        return None
    left, right = aligned
    value = left.value + sign * right.value
    return Quantity(value, left.unit, left.calendar)


def plain_number(quantity: Quantity) -> Decimal | None:
    """Return the number that a quantity without dimension stands for (``200 '%'`` is 2), else None."""
    if quantity.unit == "1":
        return quantity.value
    found = None if quantity.calendar else _to_unit(quantity, "1")
    return None if found is None or _has_no_sums(quantity) else found.value


def multiply(a: Quantity, b: Quantity) -> Quantity | None:
    """Return the product; durations of the calendar have no square, and units with a scale of their own no products."""
    return _combine(a, b, 1)


def divide(a: Quantity, b: Quantity) -> Quantity | None:
    """Return the quotient, a plain number where both measure the same."""
    if b.value == 0:
        return None
    if not a.calendar and not b.calendar and not _has_no_sums(a) and "1" not in {a.unit, b.unit}:
        aligned = align(a, b)
        if aligned is not None and aligned[1].value:
            return Quantity(aligned[0].value / aligned[1].value, "1", calendar=False)
    return _combine(a, b, -1)


def _combine(a: Quantity, b: Quantity, sign: int) -> Quantity | None:
    if _has_no_sums(a) or _has_no_sums(b):
        return None
    factor = plain_number(b)
    if factor is not None:
        return a.scaled(a.value * factor if sign > 0 else a.value / factor)
    factor = plain_number(a) if sign > 0 else None
    if factor is not None:
        return b.scaled(b.value * factor)
    if a.calendar or b.calendar:
        return None
    value = a.value * b.value if sign > 0 else a.value / b.value
    return _product(value, a.unit, b.unit, sign)


def _product(value: Decimal, left: str, right: str, sign: int) -> Quantity | None:
    """Return a value in the product or quotient of two units, in base units once its code gets too long."""
    if sign < 0:
        code = f"{left}/({right})" if "." in right or "/" in right else f"{left}/{right}"
    else:
        # terms are read from left to right, so a product needs no parentheses
        code = left + right if right.startswith("/") else f"{left}.{right}"
    if ucum.canonical(code) is not None:
        return Quantity(value, code, calendar=False)
    try:
        unit = ucum.parse(left).times(ucum.parse(right), sign)
    except ucum.UnknownUnitError:
        return None
    if ucum.canonical(unit.base) is None:
        return None
    return Quantity(value * _decimal(unit.factor), unit.base, calendar=False)
