"""A transaction's entry on its way from request to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.issues import Issue
from fhir_server.interactions.entries import Entry
from fhir_server.interactions.request import WRITES, Answer
from fhir_server.search.execute import Match
from fhir_server.store.read import Version
from fhir_server.store.write import Change

Query = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Step:
    """An entry, the matches of its condition, the ids it writes to, what it finds there and the changes it makes.

    Only a conditional delete may have several matches, and so several ids, versions and changes. ``resource`` is what
    is to be stored: what the entry sends, or what its patch makes. ``issues`` are what validation has to say about it.
    """

    entry: Entry
    condition: Query | None = None
    matches: Sequence[Match] = ()
    ids: Sequence[str] = ()
    current: Mapping[str, Version] = field(default_factory=dict)
    resource: dict[str, Any] | None = None
    changes: list[Change] = field(default_factory=list)
    issues: Sequence[Issue] = ()

    @property
    def code(self) -> str:
        """The interaction's code."""
        return self.entry.request.target.code

    @property
    def resource_type(self) -> str:
        """The type the entry is about."""
        return str(self.entry.request.target.resource_type)

    @property
    def match(self) -> Match | None:
        """The one match of the condition."""
        return self.matches[0] if self.matches else None

    @property
    def id(self) -> str:
        """The one id that the entry writes to."""
        return self.ids[0]

    @property
    def version(self) -> Version | None:
        """What is stored under the one id."""
        return self.current.get(self.ids[0]) if self.ids else None

    @property
    def exists(self) -> bool:
        """Whether a conditional create found its resource there already, so that nothing is written."""
        return self.code == "create" and bool(self.matches)

    @property
    def absent(self) -> bool:
        """Whether a conditional delete found nothing."""
        return self.code == "delete" and self.condition is not None and not self.matches

    @property
    def writes(self) -> bool:
        """Whether the entry makes a change."""
        return self.code in WRITES and not self.exists and not self.absent

    def answer_unwritten(self) -> Answer:
        """Answer a write that made no new content: a match that was there, or a deletion."""
        found = self.match
        if self.exists and found is not None:
            return Answer(200, found.content, self.resource_type, found.id, found.version, found.last_updated)
        if len(self.ids) != 1:
            return Answer(204, None, self.resource_type, deleted=len(self.changes))
        version = self.changes[0].version if self.changes else self.version.version if self.version else None
        return Answer(204, None, self.resource_type, self.id, version, deleted=len(self.changes))
