"""Comparisons of whole strings that only ``_filter`` has, https://hl7.org/fhir/R4/search_filter.html#ops (eq, ne, ew)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from psycopg.types.numeric import Int4
from sqlalchemy import ColumnElement, Integer, Text, func, select

from fhir_server.search.condition import Candidate, Scope
from fhir_server.search.string import LONGEST, comparable
from fhir_server.store.tables import string_index

StringOperator = Literal["eq", "ne", "ew"]
_IN_MEMORY: Mapping[StringOperator, Callable[[str, str], bool]] = MappingProxyType(
    {"eq": str.__eq__, "ne": str.__ne__, "ew": str.endswith}
)


@dataclass(frozen=True, slots=True)
class ComparesString:
    """One of a parameter's normalised strings is ``text`` (``eq``), isn't (``ne``), or ends in it (``ew``)."""

    parameter: int
    text: str
    operator: StringOperator

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("compares string", self.operator)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int4(self.parameter)
        yield self.text

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        columns, take = string_index.c, scope.binds.take
        found = select(columns.key).where(columns.tenant == scope.tenant, columns.parameter == take(Integer()))
        text = take(Text())
        return scope.table.c.key.in_(found.where(self._holds(columns.value, text)))

    def _holds(self, value: ColumnElement[str], text: ColumnElement[str]) -> ColumnElement[bool]:
        match self.operator:
            case "eq":
                return value == text
            case "ne":
                return value != text
            case "ew":
                return func.right(value, func.length(text)) == text

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        compare = _IN_MEMORY[self.operator]
        return any(e.parameter == self.parameter and compare(e.value, self.text) for e in candidate.entries.strings)


def compares_string(parameter: int, text: str, operator: StringOperator) -> ComparesString:
    """Return the comparison with a text, whatever its case, accents and punctuation. Raises ValueError for one that is too long."""
    compared = comparable(text)
    if len(compared) >= LONGEST:  # longer strings are only indexed by their beginning
        raise ValueError(f"it takes less than {LONGEST} characters")
    return ComparesString(parameter, compared, operator)
