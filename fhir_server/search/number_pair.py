"""Two numbers that belong together, as one row of the range table: the first in ``low``, the second in ``high``.

For composites of two numbers, https://hl7.org/fhir/R4/search.html#combining.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg.types.numeric import Int4
from sqlalchemy import ColumnElement, Integer, Numeric, select

from fhir_server.search.condition import Candidate, Scope
from fhir_server.search.number import COMPARE
from fhir_server.store.tables import number_index


@dataclass(frozen=True, slots=True)
class ComparesPair:
    """A row's first and second number stand to the searched ones as the prefixes say, as in ``number.Compares``."""

    parameter: int
    prefix: str
    least: Decimal
    beyond: Decimal
    second_prefix: str
    second_least: Decimal
    second_beyond: Decimal

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("pair", self.prefix, self.second_prefix)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int4(self.parameter)
        yield from (self.least, self.beyond, self.second_least, self.second_beyond)

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        columns, take = number_index.c, scope.binds.take
        found = select(columns.key).where(columns.tenant == scope.tenant, columns.parameter == take(Integer()))
        limits = [take(Numeric()) for _ in range(4)]
        return scope.table.c.key.in_(found.where(self._compare(columns.low, columns.high, limits)))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        limits = [self.least, self.beyond, self.second_least, self.second_beyond]
        rows = (e for e in candidate.entries.numbers if e.parameter == self.parameter)
        return any(self._compare(e.low, e.high, limits) for e in rows)

    def _compare(self, first: Any, second: Any, limits: list[Any]) -> Any:
        least, beyond, second_least, second_beyond = limits
        return COMPARE[self.prefix](first, first, least, beyond) & COMPARE[self.second_prefix](
            second, second, second_least, second_beyond
        )
