"""One conversion under way: what it has made so far, and what it has to say about the message."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

from mappers.hl7v2.identity import Identity, sender_name
from mappers.hl7v2.timestamps import zone_of
from mappers.hl7v2.tokenizer import Message

_MAX_WARNINGS = 200
Mode = Literal["update", "create"]


@dataclass(slots=True)
class Draft:
    """A resource being made. ``update``: what the message says replaces; ``create``: an existing one is left as it is.

    ``deleted`` are elements that the message asks to remove (``extension:url`` for one extension); ``weak`` are
    elements that only count when the stored resource has none.
    """

    resource: dict[str, Any]
    identity: Identity
    full_url: str
    mode: Mode
    deleted: set[str] = field(default_factory=set)
    weak: set[str] = field(default_factory=set)


def _full_url(resource_type: str, identity: Identity) -> str:
    """Return a UUID made from the identity (version 8 of RFC 9562), the same whenever the identity is met."""
    digits = blake2b(f"{resource_type}|{identity.system}|{identity.value}".encode(), digest_size=16).hexdigest()
    return f"urn:uuid:{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


class Run:
    """The state of one conversion: delimiters, zone, resources, warnings, fields without a mapping."""

    __slots__ = (
        "codec",
        "delimiters",
        "drafts",
        "marks",
        "message",
        "sender",
        "sending_facility",
        "unmapped",
        "warnings",
        "where",
        "zone",
    )

    def __init__(self, message: Message, zone: str) -> None:
        self.message = message
        self.delimiters = message.delimiters
        self.codec = message.codec
        # What divides a value at each depth: repetitions are dealt with before, nothing is below a subcomponent.
        self.marks = ("", message.delimiters.component, message.delimiters.subcomponent, "", "")
        self.zone = zone_of(message.header.value(7)) or zone
        self.sender = sender_name(message)
        self.drafts: dict[tuple[str, Identity], Draft] = {}
        self.warnings: list[dict[str, str]] = []
        self.unmapped: dict[str, int] = {}
        self.where = ""
        self.sending_facility: dict[str, Any] | None = None

    def warn(self, reason: str) -> None:
        """Note something about the field at hand; the reason never repeats content."""
        if len(self.warnings) < _MAX_WARNINGS:
            self.warnings.append({"location": self.where, "reason": reason})

    def draft(self, resource_type: str, identity: Identity, mode: Mode) -> Draft:
        """Return the draft of a resource, a new one for an identity not met before in this message."""
        found = self.drafts.get((resource_type, identity))
        if found is None:
            found = Draft({"resourceType": resource_type}, identity, _full_url(resource_type, identity), mode)
            self.drafts[resource_type, identity] = found
        return found
