"""What a search answers with, https://hl7.org/fhir/R4/search.html#Introduction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from conformance.issues import Issue
from fhir_server.search.summary import WHOLE, View


class Match(NamedTuple):
    """A resource's current version; ``content`` is its JSON in UTF-8, ``key`` its place in the default order.

    For a contained resource ``within`` is the address of its container, ``Type/id``.
    """

    resource_type: str
    id: str
    version: int
    last_updated: datetime
    content: bytes
    key: int
    within: str | None = None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a searchset.

    ``total`` is None unless it was asked for; ``used`` are the pairs that had effect, for the self link;
    ``next_cursor`` is the value of ``_cursor`` for the next page, None on the last, ``previous_cursor`` that for the one
    before, None where none is known; ``view`` what of each resource to show.
    """

    matches: list[Match]
    included: list[Match]
    issues: list[Issue]
    total: int | None
    used: list[tuple[str, str]]
    next_cursor: str | None
    view: View = WHOLE
    previous_cursor: str | None = None
