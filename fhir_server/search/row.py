"""The parameters that are columns of the resource's row, https://hl7.org/fhir/R4/search.html#all."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Text, func
from sqlalchemy.dialects.postgresql import ARRAY

from fhir_server.search.condition import Candidate, Condition, Not, Scope, any_of
from fhir_server.search.date import searched_span
from fhir_server.search.parse import unescape

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_INSTANT = DateTime(timezone=True)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
ID_MODIFIERS = frozenset(("not",))
UPDATED_MODIFIERS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HasId:
    """The resource's id is one of some."""

    ids: tuple[str, ...]

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return "id"

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield list(self.ids)

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        return scope.table.c.id == func.any(scope.binds.take(ARRAY(Text)))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        return candidate.id in self.ids


@dataclass(frozen=True, slots=True)
class Updated:
    """The instant of the last update stands to [start, end) as the prefix says; an instant has no extent."""

    prefix: str
    start: datetime
    end: datetime

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("updated", self.prefix)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield self.start
        yield self.end

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        start, end = scope.binds.take(_INSTANT), scope.binds.take(_INSTANT)
        clause: ColumnElement[bool] = _compare(self.prefix, scope.table.c.last_updated, start, end)
        return clause

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        updated = candidate.last_updated
        return updated is not None and bool(_compare(self.prefix, updated, self.start, self.end))


def _compare(prefix: str, instant: Any, start: Any, end: Any) -> Any:
    match prefix:
        case "gt" | "sa":
            return instant >= end
        case "lt" | "eb":
            return instant < start
        case "ge":
            return instant >= start
        case "le":
            return instant < end
        case "ne":
            return (instant < start) | (instant >= end)
        case _:
            return (instant >= start) & (instant < end)


def id_condition(modifier: str | None, values: Sequence[str]) -> Condition:
    """Return what ``_id`` asks for; text that can't be an id is nobody's."""
    # An id has no system: ``|ada`` means it, ``http://…|ada`` nobody's.
    ids = (unescape(value.removeprefix("|")) for value in values)
    found = HasId(tuple(text for text in ids if _ID.fullmatch(text)))
    return Not(found) if modifier == "not" else found


def updated_condition(values: Sequence[str]) -> Condition:
    """Return what ``_lastUpdated`` asks for. Raises ValueError for a bad prefix or date."""
    return any_of([_updated(unescape(value)) for value in values])


def _updated(value: str) -> Updated:
    prefix, start, end = searched_span(value)
    return Updated(prefix, _instant(start), _instant(end))


def _instant(microseconds: int) -> datetime:
    """Return an instant; those that no datetime holds become the first or last one."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return _FIRST if microseconds < 0 else _LAST
