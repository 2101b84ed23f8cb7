"""What a feed of messages needs from the server: a durable inbox, and effect exactly once.

The receiving side (a mapper's listener) hands over :class:`Received` messages and sends the acknowledgements it gets
back. The processing side (``fhir_server.jobs.inbox``) claims them and calls the mapper's :class:`Apply`.
Contract with a sender: docs/hl7v2.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

from fhir_server.operations.contract import Context, Resource

Status = Literal["received", "processed", "quarantined", "stored", "rejected", "ignored"]
"""received: waits for processing; processed: its effect is committed; quarantined: failed, blocks its lane; stored:
kept, no mapping covers its type; rejected: answered with an error; ignored: set aside by a person."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came in.

    ``lane`` is what it is ordered by, ``acknowledgement`` the bytes that answer it, framing included.

    ``hash`` is a digest of ``raw``; together with ``sender``, ``control_id`` and ``day`` it tells a repeated message
    from a new one. ``report`` is a JSON document; ``error`` says why it was rejected.
    """

    raw: bytes
    received_at: datetime
    sender: str
    receiver: str
    control_id: str
    message_type: str
    hash: bytes
    day: date
    lane: str
    status: Status
    acknowledgement: bytes
    report: bytes
    error: str | None = None


class Inbox(Protocol):
    """Where received messages become durable."""

    async def receive(self, batch: Sequence[Received]) -> list[bytes]:
        """Store a batch in one transaction and return, for each message, the acknowledgement to send.

        For a message that is there already that is the one stored the first time. Once this returns, the messages
        survive a crash.
        """


class ContentError(Exception):
    """A message can't be applied, now or later. ``location`` is an ERR-2 such as ``PID^1^3``."""

    def __init__(self, reason: str, location: str | None = None) -> None:
        super().__init__(f"{location}: {reason}" if location else reason)
        self.location = location


class FeedContext(Context, Protocol):
    """What applying a message may do: the contract's Context, all of it inside one transaction."""

    async def hold(self, identifiers: Sequence[tuple[str, str]]) -> None:
        """Keep anybody else from creating resources under these identifiers until the transaction ends.

        ``identifiers`` are (resource type, ``system|value`` as in a search). Conditional creates and updates by the same
        identifier wait.
        """


class Apply(Protocol):
    """Gives messages their effect through a context and returns their reports, in order; raises ContentError."""

    async def __call__(self, raws: Sequence[bytes], context: FeedContext) -> list[Resource]:
        """Read, convert and write; everything inside the caller's transaction. The messages are of different lanes.

        When several can't be applied together it raises, and the caller tries them one by one.
        """
