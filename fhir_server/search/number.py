"""Parameters of type number, https://hl7.org/fhir/R4/search.html#number."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg.types.numeric import Int4, Int8
from sqlalchemy import ColumnElement, Integer, Numeric, or_, select

from fhir_server.search.comparison import split_prefix
from fhir_server.search.condition import INT8, Candidate, Condition, Scope, any_of
from fhir_server.search.environment import Environment
from fhir_server.search.parse import unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Slot
from fhir_server.store.entries import IndexEntries, NumberEntry
from fhir_server.store.tables import number_index

MODIFIERS: frozenset[str] = frozenset()
INFINITY = Decimal("Infinity")
# Beyond these a number is a mistake or an attack; PostgreSQL's numeric holds them all.
_MOST_DIGITS, _LARGEST_EXPONENT = 100, 400


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add a decimal or an integer, or the limits of a Range."""
    if fhir_type == "Range":
        limits = (value.get("low") or {}).get("value"), (value.get("high") or {}).get("value")
        add_range(slot.parameter, limits, (None, None, None), entries)
    else:
        add_range(slot.parameter, (value, value), (None, None, None), entries)


def add_range(
    parameter: int, limits: tuple[Any, Any], unit: tuple[int | None, int | None, int | None], entries: IndexEntries
) -> None:
    """Add the closed range between two JSON numbers, None for an open end; what is no usable number is left out."""
    low, high = (to_decimal(limit) for limit in limits)
    if low is None and high is None:
        return
    value = low if low is not None else high
    assert value is not None  # noqa: S101 - tells mypy what the line above says
    entries.numbers.append(
        NumberEntry(parameter, value, -INFINITY if low is None else low, INFINITY if high is None else high, *unit)
    )


def to_decimal(number: Any) -> Decimal | None:
    """Return a JSON number as a Decimal that the index can hold, else None."""
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        return None
    exact = number if isinstance(number, Decimal) else Decimal(str(number))
    return exact if storable(exact) else None


def storable(number: Decimal) -> bool:
    """Whether the index can hold a number."""
    if not number.is_finite() or len(number.as_tuple().digits) > _MOST_DIGITS:
        return False
    return max(abs(number.adjusted()), abs(int(number.as_tuple().exponent))) <= _LARGEST_EXPONENT


# Each comparison of a resource's closed range [low, high] with the search value: [least, beyond) by its precision, for
# ``eq`` and ``ne``; [least, beyond] for ``ap``; exactly ``least`` for all others. The same for Decimals and for SQL
# columns.
COMPARE: Mapping[str, Callable[[Any, Any, Any, Any], Any]] = {
    "eq": lambda low, high, least, beyond: (low >= least) & (high < beyond),
    "ne": lambda low, high, least, beyond: (low < least) | (high >= beyond),
    "gt": lambda _, high, value, __: high > value,
    "lt": lambda low, _, value, __: low < value,
    "ge": lambda _, high, value, __: high >= value,
    "le": lambda low, _, value, __: low <= value,
    "sa": lambda low, _, value, __: low > value,
    "eb": lambda _, high, value, __: high < value,
    "ap": lambda low, high, least, most: (low <= most) & (high >= least),
}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Compares:
    """One of a parameter's ranges stands to the searched number as the prefix says, in the unit if one is given.

    ``unit`` is a hash of ``system|code``, or with ``any_system`` of what is either the code or the display unit.
    """

    parameter: int
    prefix: str
    least: Decimal
    beyond: Decimal
    unit: int | None = None
    any_system: bool = False

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("number", self.prefix, self.unit is not None, self.any_system)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int4(self.parameter)
        yield self.least
        yield self.beyond
        if self.unit is not None:
            yield Int8(self.unit)

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        columns, take = number_index.c, scope.binds.take
        found = select(columns.key).where(columns.tenant == scope.tenant, columns.parameter == take(Integer()))
        least, beyond = take(Numeric()), take(Numeric())
        found = found.where(COMPARE[self.prefix](columns.low, columns.high, least, beyond))
        if self.prefix == "eq":
            # Follows from the line above, and bounds the index scan.
            found = found.where(columns.value >= least, columns.value < beyond)
        if self.unit is not None:
            unit = take(INT8)
            named = or_(columns.code == unit, columns.unit == unit)
            found = found.where(named if self.any_system else columns.system_code == unit)
        return scope.table.c.key.in_(found)

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        return any(self._matches(e) for e in candidate.entries.numbers if e.parameter == self.parameter)

    def _matches(self, entry: NumberEntry) -> bool:
        if self.unit is not None:
            units = (entry.code, entry.unit) if self.any_system else (entry.system_code,)
            if self.unit not in units:
                return False
        return bool(COMPARE[self.prefix](entry.low, entry.high, self.least, self.beyond))


def condition(_: Parameter, place: Slot, __: str | None, values: Sequence[str], ___: Environment) -> Condition:
    """Return what a search for numbers asks for. Raises ValueError for a bad prefix or number."""
    return any_of([Compares(place.parameter, *searched_range(unescape(value))) for value in values])


def present(place: Slot) -> Condition:
    """Return the condition that the parameter has any value."""
    return Compares(place.parameter, "ap", -INFINITY, INFINITY)


def searched_range(value: str) -> tuple[str, Decimal, Decimal]:
    """Return (prefix, least, beyond) of a search value.

    ``100`` means [99.5, 100.5), ``100.00`` [99.995, 100.005); ``1e2`` means [95, 105), as the specification's example
    has it.
    """
    prefix, text = split_prefix(value)
    if not _NUMBER.fullmatch(text) or not storable(Decimal(text)):
        raise ValueError(f"'{text}' is not a number that can be searched for")
    number = Decimal(text)
    if prefix in ("eq", "ne"):
        half = Decimal(5).scaleb(_last_place(number, text) - 1)
        return prefix, number - half, number + half
    if prefix == "ap":
        tenth = abs(number) / 10
        return prefix, number - tenth, number + tenth
    return prefix, number, number


def _last_place(number: Decimal, text: str) -> int:
    exponent = int(number.as_tuple().exponent)
    return exponent - 1 if "e" in text.lower() and "." not in text else exponent
