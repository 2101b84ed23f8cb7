"""Parameters of type date, https://hl7.org/fhir/R4/search.html#date: every date is a span of time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

from psycopg.types.numeric import Int4, Int8
from sqlalchemy import ColumnElement, Integer, select

from conformance.primitives import date_range
from fhir_server.search.comparison import split_prefix
from fhir_server.search.condition import INT8, Candidate, Condition, Scope, any_of
from fhir_server.search.environment import Environment
from fhir_server.search.parse import unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Slot
from fhir_server.store.entries import OPEN_HIGH, OPEN_LOW, DateEntry, IndexEntries
from fhir_server.store.tables import date_index

Span = tuple[int, int]
MODIFIERS: frozenset[str] = frozenset()


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add the span of a date, dateTime, instant, Period or Timing; of a Timing only the outer limits count."""
    if isinstance(value, str):
        span: Span | None = date_range(value)
    elif fhir_type == "Period":
        span = _period(value)
    elif fhir_type == "Timing":
        span = _timing(value)
    else:
        span = None
    if span is not None:
        entries.dates.append(DateEntry(slot.parameter, *span))


def _period(period: dict[str, Any]) -> Span | None:
    start, end = period.get("start"), period.get("end")
    if start is None and end is None:
        return None
    low = OPEN_LOW if start is None else date_range(start)[0]
    high = OPEN_HIGH if end is None else date_range(end)[1]
    return (low, high) if low < high else None


def _timing(timing: dict[str, Any]) -> Span | None:
    spans = [date_range(event) for event in timing.get("event", ()) if event is not None]
    bounds = _period(timing.get("repeat", {}).get("boundsPeriod", {}))
    return _hull([*spans, bounds] if bounds else spans)


def _hull(spans: Iterable[Span]) -> Span | None:
    lows, highs = zip(*spans, strict=True) if spans else ((), ())
    return (min(lows), max(highs)) if lows else None


# Each comparison of a resource's span [low, high) with the search value's span [start, end), for integers and for SQL
# columns alike; ``&`` and ``|`` mean the same on both. ``low < end`` in ``eq`` follows from the rest, but bounds the
# index scan.
COMPARE: Mapping[str, Callable[[Any, Any, Any, Any], Any]] = {
    "eq": lambda low, high, start, end: (low >= start) & (low < end) & (high <= end),
    "ne": lambda low, high, start, end: (low < start) | (high > end),
    "gt": lambda _, high, __, end: high > end,
    "lt": lambda low, _, start, __: low < start,
    "ge": lambda low, high, start, end: (low >= start) | (high > end),
    "le": lambda low, high, start, end: (low < start) | (high <= end),
    "sa": lambda low, _, __, end: low >= end,
    "eb": lambda _, high, start, __: high <= start,
    "ap": lambda low, high, start, end: (low < end) & (high > start),
}
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Compares:
    """One of a parameter's spans stands to [start, end) as the prefix says."""

    parameter: int
    prefix: str
    start: int
    end: int

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("date", self.prefix)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int4(self.parameter)
        yield Int8(self.start)
        yield Int8(self.end)

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        columns, take = date_index.c, scope.binds.take
        found = select(columns.key).where(columns.tenant == scope.tenant, columns.parameter == take(Integer()))
        return scope.table.c.key.in_(
            found.where(COMPARE[self.prefix](columns.low, columns.high, take(INT8), take(INT8)))
        )

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        compare = COMPARE[self.prefix]
        return any(
            compare(e.low, e.high, self.start, self.end)
            for e in candidate.entries.dates
            if e.parameter == self.parameter
        )


def condition(_: Parameter, place: Slot, __: str | None, values: Sequence[str], ___: Environment) -> Condition:
    """Return what a search for dates asks for. Raises ValueError for a bad prefix or date."""
    return any_of([Compares(place.parameter, *searched_span(unescape(value))) for value in values])


def present(place: Slot) -> Condition:
    """Return the condition that the parameter has any value."""
    return Compares(place.parameter, "ap", OPEN_LOW, OPEN_HIGH)


def searched_span(value: str) -> tuple[str, int, int]:
    """Return (prefix, start, end) of a search value; ``ap`` reaches further by a tenth of the distance from now."""
    prefix, text = split_prefix(value)
    start, end = date_range(text.replace(" ", "+"))  # a plus sign that a client failed to escape in the URL
    if prefix == "ap":
        slack = abs(int(time() * _MICROSECONDS) - start) // 10
        start, end = start - slack, end + slack
    return prefix, start, end
