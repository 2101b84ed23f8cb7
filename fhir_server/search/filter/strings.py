"""Comparisons of whole strings that only ``_filter`` has, https://hl7.org/fhir/R4/search_filter.html#ops (eq, ew)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg.types.numeric import Int4
from sqlalchemy import ColumnElement, Integer, Text, func, select

from fhir_server.search.condition import Candidate, Scope
from fhir_server.search.string import LONGEST, fold
from fhir_server.store.tables import string_index


@dataclass(frozen=True, slots=True)
class ComparesString:
    """One of a parameter's normalised strings is ``text``, or with ``ends`` ends in it."""

    parameter: int
    text: str
    ends: bool

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("compares string", self.ends)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int4(self.parameter)
        yield self.text

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        columns, take = string_index.c, scope.binds.take
        found = select(columns.key).where(columns.tenant == scope.tenant, columns.parameter == take(Integer()))
        text = take(Text())
        same = func.right(columns.value, func.length(text)) == text if self.ends else columns.value == text
        return scope.table.c.key.in_(found.where(same))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        compare = str.endswith if self.ends else str.__eq__
        return any(e.parameter == self.parameter and compare(e.value, self.text) for e in candidate.entries.strings)


def compares_string(parameter: int, text: str, *, ends: bool) -> ComparesString:
    """Return the comparison with a text, whatever its case and accents. Raises ValueError for one that is too long."""
    folded = fold(text)
    if len(folded) >= LONGEST:  # longer strings are only indexed by their beginning
        raise ValueError(f"it takes less than {LONGEST} characters")
    return ComparesString(parameter, folded, ends)
