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
from fhir_server.search.summary import View

SortSource = Literal["id", "last_updated", "string", "date", "number", "content"]
Total = Literal["none", "estimate", "accurate"]
Searched = Literal["false", "true", "both"]


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of ``_sort``; of several values of a resource the least counts, descending the greatest.

    ``source`` is a column of the row (``id``, ``last_updated``), a range table, of which ``parameter`` is the number to
    look up, or the ``content``, from which ``texts`` are the SQL expressions that yield the values (see sort_content).
    Resources without a value come last, whichever the direction.
    """

    source: SortSource
    parameter: int | None
    descending: bool
    texts: tuple[str, ...] = ()

    @property
    def shape(self) -> Hashable:
        """All that the SQL text depends on."""
        return self.source, self.descending, self.texts

    @property
    def is_column(self) -> bool:
        """Whether it is a column of the row, which always has a value."""
        return self.source in ("id", "last_updated")

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
    """``_include``, or with ``reverse`` ``_revinclude``: what to follow from a resource, or back to it.

    ``source`` is the type that holds the references, None for any; ``parameter`` is the one reference parameter to
    follow, None for all of them; ``target`` limits what they lead to. With ``iterate`` it also applies to what was
    included.
    """

    source: str | None
    parameter: Parameter | None
    target: str | None
    reverse: bool
    iterate: bool = False


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """A search on one type for one tenant.

    ``count`` is the page size, 0 when only the total is asked for; ``total`` how to count all matches; ``view`` what of
    each resource to show. ``used`` are the pairs that had effect, for the self link; ``matching`` those of them that
    decide which resources come in which order. ``contained`` says whether contained resources are searched, instead of
    the others or with them, and ``as_container`` that their containers are what is found.
    """

    resource_type: str
    tenant: int
    where: Condition
    sort: tuple[SortKey, ...]
    count: int
    total: Total
    includes: tuple[Include, ...]
    view: View
    cursor: str | None
    used: tuple[tuple[str, str], ...]
    matching: tuple[tuple[str, str], ...]
    issues: tuple[Issue, ...]
    contained: Searched = "false"
    as_container: bool = True
