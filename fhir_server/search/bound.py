"""A query whose parameters are known: what to find, in which order, and what to send along."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from conformance.issues import Issue
from fhir_server.search.condition import Condition
from fhir_server.search.registry import Parameter

SortSource = Literal["id", "last_updated", "string", "date", "number"]


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of ``_sort``: a column of the row, or a parameter's least (descending: greatest) value in a range table.

    Resources without a value come last, whichever the direction.
    """

    source: SortSource
    parameter: int | None
    descending: bool

    @property
    def shape(self) -> Hashable:
        """All that the SQL text depends on."""
        return self.source, self.parameter is None, self.descending

    def to_json(self, value: Any) -> str | int | None:
        """Return a value read from the database as JSON for a cursor."""
        if isinstance(value, datetime):
            return value.isoformat()
        return str(value) if isinstance(value, Decimal) else value

    def from_json(self, value: Any) -> Any:
        """Return a cursor's value as a parameter for the database."""
        if value is None:
            return None
        if self.source == "last_updated":
            return datetime.fromisoformat(value)
        return Decimal(value) if self.source == "number" else value


@dataclass(frozen=True, slots=True)
class Include:
    """``_include``, or with ``reverse`` ``_revinclude``: a reference parameter, perhaps the type it points to."""

    parameter: Parameter
    target: str | None
    reverse: bool


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """A search on one type for one tenant.

    ``count`` is the page size, 0 when only the total is asked for; ``total`` whether to count all matches. ``used``
    are the pairs that had effect, for the self link; ``matching`` those of them that decide which resources come in
    which order.
    """

    resource_type: str
    tenant: int
    where: Condition
    sort: tuple[SortKey, ...]
    count: int
    total: bool
    includes: tuple[Include, ...]
    cursor: str | None
    used: tuple[tuple[str, str], ...]
    matching: tuple[tuple[str, str], ...]
    issues: tuple[Issue, ...]
