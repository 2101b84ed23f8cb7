"""Quantities in any unit of what they measure, https://hl7.org/fhir/R4/search.html#quantity.

The index holds values as they were sent. The dictionary of units says what those in use are in base units, so that
100 mg finds 0.1 g: each unit of the dimension is a range of values of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Any

from psycopg.types.numeric import Int4, Int8
from sqlalchemy import ColumnElement, Integer, Numeric, and_, func, literal_column, select

from conformance.ucum import SYSTEM, canonical
from fhir_server.search.condition import INT8, Candidate, Scope
from fhir_server.search.number import COMPARE
from fhir_server.search.token import escape
from fhir_server.store.entries import NumberEntry, UnitEntry
from fhir_server.store.hashing import value_hash
from fhir_server.store.tables import number_index, unit_dictionary


@lru_cache(maxsize=8192)
def measured_in(code: str) -> UnitEntry | None:
    """Return what the dictionary says of a UCUM unit, or None for a code that isn't UCUM."""
    known = canonical(code)
    if known is None:
        return None
    divisor = lcm(known.factor.denominator, known.offset.denominator)
    multiplier, addend = int(known.factor * divisor), int(known.offset * divisor)
    token = value_hash(f"{SYSTEM}|{escape(code)}")
    return UnitEntry(value_hash(f"{SYSTEM}#{known.unit}"), token, multiplier, addend, divisor)


@dataclass(frozen=True, slots=True)
class Measures:
    """One of a parameter's ranges, in base units, stands to the searched number as the prefix says.

    ``least`` and ``beyond`` are those of ``number.Compares`` in base units, both times ``divisor``, so that they are
    exact integers or decimals.
    """

    parameter: int
    prefix: str
    dimension: int
    least: Decimal
    beyond: Decimal
    divisor: Decimal

    @classmethod
    def compare(cls, parameter: int, prefix: str, least: Decimal, beyond: Decimal, unit: UnitEntry) -> Measures:
        """Return the condition for limits in a unit."""
        limits = [Fraction(limit) * unit.multiplier + unit.addend for limit in (least, beyond)]
        common = lcm(*(limit.denominator for limit in limits))
        low, high = (Decimal(int(limit * common)) for limit in limits)
        return cls(parameter, prefix, unit.dimension, low, high, Decimal(common * unit.divisor))

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("measures", self.prefix)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int4(self.parameter)
        yield Int8(self.dimension)
        yield self.least
        yield self.beyond
        yield self.divisor

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        number, unit, take = number_index.c, unit_dictionary.c, scope.binds.take
        found = select(number.key).where(
            number.tenant == scope.tenant,
            number.parameter == take(Integer()),
            unit.tenant == scope.tenant,
            unit.dimension == take(INT8),
            number.system_code == unit.token,
        )
        least, beyond, divisor = take(Numeric()), take(Numeric()), take(Numeric())

        def times(column: ColumnElement[Any]) -> ColumnElement[Any]:
            return (column * unit.multiplier + unit.addend) * divisor

        compared = COMPARE[self.prefix](
            times(number.low), times(number.high), least * unit.divisor, beyond * unit.divisor
        )
        if self.prefix == "eq":
            compared = and_(compared, *_bounds(least, beyond, divisor))
        return scope.table.c.key.in_(found.where(compared))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        units = {u.token: u for u in candidate.entries.units if u.dimension == self.dimension}
        numbers = candidate.entries.numbers
        return any(
            self._matches(number, units[number.system_code])
            for number in numbers
            if number.parameter == self.parameter and number.system_code in units
        )

    def _matches(self, number: NumberEntry, unit: UnitEntry) -> bool:
        low, high = (_times(limit, unit, self.divisor) for limit in (number.low, number.high))
        least, beyond = Fraction(self.least) * unit.divisor, Fraction(self.beyond) * unit.divisor
        return bool(COMPARE[self.prefix](low, high, least, beyond))


def _times(limit: Decimal, unit: UnitEntry, divisor: Decimal) -> Fraction | float:
    if limit.is_infinite():
        return float(limit)
    return (Fraction(limit) * unit.multiplier + unit.addend) * Fraction(divisor)


def _bounds(
    least: ColumnElement[Any], beyond: ColumnElement[Any], divisor: ColumnElement[Any]
) -> Iterator[ColumnElement[bool]]:
    """Yield what follows from ``eq`` about the value as sent, and bounds the index scan.

    Division rounds, so the limits are moved apart a little.
    """
    unit, value = unit_dictionary.c, number_index.c.value
    slack: ColumnElement[Any] = literal_column("1e-9")
    for limit, sign in ((least, -1), (beyond, 1)):
        raw = (limit * unit.divisor - unit.addend * divisor) / (unit.multiplier * divisor)
        apart = func.abs(raw) * slack
        yield value >= raw - apart if sign < 0 else value <= raw + apart
