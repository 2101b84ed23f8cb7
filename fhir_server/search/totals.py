"""How many resources match in all, https://hl7.org/fhir/R4/search.html#total.

An exact number means looking at every match. It is remembered together with the state of the database it was true for,
and asked for anew as soon as anything was committed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

from fhir_server.search import sql
from fhir_server.search.rewrites import Rewritten
from fhir_server.search.session import Session

MOST_REMEMBERED = 4096
# An estimate is worth it where counting takes time.
LEAST_ESTIMATED = 10_000


class Remembered:
    """Totals by query, each with the state of the database; the oldest are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._totals: OrderedDict[Hashable, tuple[str, int]] = OrderedDict()

    def known(self, query: Rewritten) -> tuple[str, int] | None:
        """Return (state, total) as last counted, or None."""
        return self._totals.get(_asked(query))

    def remember(self, query: Rewritten, state: str | None, total: int) -> None:
        """Keep a total with the state that it was counted in; without a state nobody could tell that it still holds."""
        if state is None:
            return
        asked = _asked(query)
        self._totals[asked] = state, total
        self._totals.move_to_end(asked)
        if len(self._totals) > self._most:
            self._totals.popitem(last=False)


def _asked(query: Rewritten) -> Hashable:
    return query.tenant, query.resource_type, query.where


REMEMBERED = Remembered(MOST_REMEMBERED)


async def count(session: Session, queries: Sequence[Rewritten]) -> int:
    """Return the exact number of matches of queries on different types."""
    total: int = (await session.fetch(*sql.total(queries[0].tenant, queries)))[0][0]
    return total


async def estimate(session: Session, queries: Sequence[Rewritten]) -> int | None:
    """Return the number of matches that the planner expects; None when they are so few that counting is as well."""
    expected = 0
    for query in queries:
        rows: list[tuple[Any, ...]] = await session.fetch(*sql.estimate(query))
        expected += int(rows[0][0][0]["Plan"]["Plan Rows"])
    return expected if expected >= LEAST_ESTIMATED else None
