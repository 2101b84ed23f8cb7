"""A transaction's entry on its way from request to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhir_server.auth.caller import Interaction
from fhir_server.interactions.entries import Entry
from fhir_server.interactions.request import Answer
from fhir_server.store.read import Version
from fhir_server.store.write import Change

WRITES: Mapping[str, Interaction] = {"create": "create", "update": "update", "delete": "delete"}
"""The interactions that change a resource, with the permission each takes."""

Query = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Step:
    """An entry, the id that its condition matched, the id it writes to, the version it replaces and the change it makes."""

    entry: Entry
    condition: Query | None = None
    matched: str | None = None
    id: str | None = None
    current: Version | None = None
    change: Change | None = None

    @property
    def code(self) -> str:
        """The interaction's code."""
        return self.entry.request.target.code

    @property
    def resource_type(self) -> str:
        """The type the entry is about."""
        return str(self.entry.request.target.resource_type)

    @property
    def exists(self) -> bool:
        """Whether a conditional create found its resource there already, so that nothing is written."""
        return self.code == "create" and self.matched is not None

    @property
    def absent(self) -> bool:
        """Whether a conditional delete found nothing."""
        return self.code == "delete" and self.condition is not None and self.matched is None

    @property
    def writes(self) -> bool:
        """Whether the entry makes a change."""
        return self.code in WRITES and not self.exists and not self.absent

    def answer_unwritten(self) -> Answer:
        """Answer a write that made no new content: a match that was there, or a deletion."""
        if self.exists and self.current is not None:
            found = self.current
            return Answer(200, found.content, self.resource_type, self.id, found.version, found.last_updated)
        version = self.change.version if self.change else self.current.version if self.current else None
        return Answer(204, None, self.resource_type, self.id, version)
