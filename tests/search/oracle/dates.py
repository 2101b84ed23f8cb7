"""Dates are spans of time, https://hl7.org/fhir/R4/search.html#date.

Latitude taken as the server documents it: a date without zone is in UTC; a Timing reaches from its first to its last
limit; of a parameter's several values any may fulfil the prefix.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.search.oracle.written import prefixed

Span = tuple[float, float]
TYPES = ("date", "dateTime", "instant", "Period", "Timing")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def span(text: str) -> Span:
    """Return the half-open range of microseconds since 1970 that a date of any precision covers."""
    if "T" not in text:
        start = datetime.strptime((text + "-01-01")[:10], "%Y-%m-%d").replace(tzinfo=UTC)
        match len(text):
            case 4:
                end = start.replace(year=start.year + 1)
            case 7:
                end = (start + timedelta(days=31)).replace(day=1)
            case _:
                end = start + timedelta(days=1)
        return _micro(start), _micro(end)
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(text)
    minute, second, fraction, zone = found.groups()
    start = datetime.fromisoformat(minute + (zone or "Z").replace("Z", "+00:00"))
    if second is None:
        length = 60_000_000.0
    elif fraction is None:
        length = 1_000_000.0
    else:
        length = 10.0 ** (6 - len(fraction))
    # A leap second, :60, is the first of the next minute.
    low = _micro(start) + int(second or 0) * 1_000_000 + (int(fraction) * length if fraction else 0)
    return low, low + length


def _micro(moment: datetime) -> float:
    return (moment - _EPOCH) / timedelta(microseconds=1)


def spans(fhir_type: str, value: Any) -> list[Span]:
    """Return the span of one value of a resource, none if it has no time."""
    if fhir_type not in TYPES:
        return []
    if isinstance(value, str):
        return [span(value)]
    if fhir_type == "Period":
        return _period(value)
    if fhir_type == "Timing":
        all_spans = [span(event) for event in value.get("event", ())]
        all_spans += _period(value.get("repeat", {}).get("boundsPeriod", {}))
        return [(min(low for low, _ in all_spans), max(high for _, high in all_spans))] if all_spans else []
    return []


def _period(period: dict[str, Any]) -> list[Span]:
    if not period:
        return []
    low = span(period["start"])[0] if "start" in period else -math.inf
    high = span(period["end"])[1] if "end" in period else math.inf
    return [(low, high)]


def holds(fhir_type: str, value: Any, text: str, now: datetime) -> bool:
    """Tell whether one value of a resource fulfils one search value."""
    prefix, date = prefixed(text)
    searched = span(date)
    if prefix == "ap":
        # "10% of the gap between now and the date"
        gap = abs(_micro(now) - searched[0]) / 10
        searched = searched[0] - gap, searched[1] + gap
    return any(compare(prefix, found, searched) for found in spans(fhir_type, value))


def compare(prefix: str, target: Span, searched: Span) -> bool:
    """Compare half-open ranges by the words of https://hl7.org/fhir/R4/search.html#prefix."""
    (low, high), (start, end) = target, searched
    contains = start <= low and high <= end
    above, below = high > end, low < start
    match prefix:
        case "eq":
            return contains
        case "ne":
            return not contains
        case "gt":
            return above
        case "lt":
            return below
        case "ge":
            return above or contains
        case "le":
            return below or contains
        case "sa":
            return low >= end
        case "eb":
            return high <= start
        case _:  # ap: the ranges overlap
            return low < end and high > start
