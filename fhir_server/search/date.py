"""Parameters of type date, https://hl7.org/fhir/R4/search.html#date: every date is a span of time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, NamedTuple

from psycopg.types.numeric import Int4, Int8
from sqlalchemy import ColumnElement, Integer, literal_column, select

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
# columns alike; ``&`` and ``|`` mean the same on both. In ``eq``, ``le`` and ``eb`` what is said of ``low`` and the end
# follows from the rest, but bounds the index scan.
COMPARE: Mapping[str, Callable[[Any, Any, Any, Any], Any]] = {
    "eq": lambda low, high, start, end: (low >= start) & (low < end) & (high <= end),
    "ne": lambda low, high, start, end: (low < start) | (high > end),
    "gt": lambda _, high, __, end: high > end,
    "lt": lambda low, _, start, __: low < start,
    "ge": lambda low, high, start, end: (low >= start) | (high > end),
    "le": lambda low, high, start, end: (low < end) & ((low < start) | (high <= end)),
    "sa": lambda low, _, __, end: low >= end,
    "eb": lambda low, high, start, __: (low < start) & (high <= start),
    "ap": lambda low, high, start, end: (low < end) & (high > start),
}
_MICROSECONDS = 1_000_000
# A year and more: no date, dateTime or instant is longer, so that one which ends after an instant begins soon before it.
_LONGEST = 367 * 24 * 60 * 60 * _MICROSECONDS
_BEGINS_NEAR: Mapping[str, Callable[[Any, Any, Any], Any]] = {
    "gt": lambda low, _, end: low > end - literal_column(str(_LONGEST)),
    "ge": lambda low, _, end: low > end - literal_column(str(_LONGEST)),
    "ap": lambda low, start, _: low > start - literal_column(str(_LONGEST)),
}
"""What follows from a comparison about ``low`` of a short span, and bounds the index scan from below."""
_LONG_TYPES = frozenset(("Period", "Timing", "Extension"))


class Kept(NamedTuple):
    """What is known of all values of a parameter: ``short``, they are no longer than a year; ``single``, each resource has one."""

    short: bool
    single: bool


def kept(parameter: Parameter) -> Kept:
    """Return what the elements that a parameter reads tell of its values."""
    elements = [branch.element for branch in parameter.branches]
    short = all(element is not None and _LONG_TYPES.isdisjoint(element.types) for element in elements)
    return Kept(short, len(elements) == 1 and parameter.branches[0].single)


_UNKNOWN = Kept(short=False, single=False)


@dataclass(frozen=True, slots=True)
class Compares:
    """One of a parameter's spans stands to [start, end) as the prefix says."""

    parameter: int
    prefix: str
    start: int
    end: int
    kept: Kept = _UNKNOWN

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("date", self.prefix, self.kept.short)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        return _values([self])

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        return _clause([self], scope)

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        return _holds([self], candidate)


@dataclass(frozen=True, slots=True)
class ComparesOne:
    """One span of a parameter fulfils several comparisons, which read the index together."""

    comparisons: tuple[Compares, ...]

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("dates", *(comparison.shape for comparison in self.comparisons))

    def values(self) -> Iterator[Any]:
        """See Condition."""
        return _values(self.comparisons)

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        return _clause(self.comparisons, scope)

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        return _holds(self.comparisons, candidate)


def _values(comparisons: Sequence[Compares]) -> Iterator[Any]:
    yield Int4(comparisons[0].parameter)
    for comparison in comparisons:
        yield Int8(comparison.start)
        yield Int8(comparison.end)


def _clause(comparisons: Sequence[Compares], scope: Scope) -> ColumnElement[bool]:
    columns, take = date_index.c, scope.binds.take
    found = select(columns.key).where(columns.tenant == scope.tenant, columns.parameter == take(Integer()))
    for comparison in comparisons:
        start, end = take(INT8), take(INT8)
        found = found.where(COMPARE[comparison.prefix](columns.low, columns.high, start, end))
        if comparison.kept.short and comparison.prefix in _BEGINS_NEAR:
            found = found.where(_BEGINS_NEAR[comparison.prefix](columns.low, start, end))
    return scope.table.c.key.in_(found)


def _holds(comparisons: Sequence[Compares], candidate: Candidate) -> bool:
    return any(
        all(COMPARE[c.prefix](e.low, e.high, c.start, c.end) for c in comparisons)
        for e in candidate.entries.dates
        if e.parameter == comparisons[0].parameter
    )


def condition(parameter: Parameter, place: Slot, _: str | None, values: Sequence[str], __: Environment) -> Condition:
    """Return what a search for dates asks for. Raises ValueError for a bad prefix or date."""
    known = kept(parameter)
    return any_of([Compares(place.parameter, *searched_span(unescape(value)), known) for value in values])


def compare_together(conditions: Iterable[Condition]) -> list[Condition]:
    """Return a conjunction with those comparisons joined that are about the one span of a resource."""
    of_parameter: dict[int, list[Compares]] = {}
    others: list[Condition] = []
    for condition in conditions:
        if isinstance(condition, Compares) and condition.kept.single:
            of_parameter.setdefault(condition.parameter, []).append(condition)
        else:
            others.append(condition)
    joined = (found[0] if len(found) == 1 else ComparesOne(tuple(found)) for found in of_parameter.values())
    return [*others, *joined]


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
