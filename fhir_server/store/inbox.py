"""The inbox of a message feed: every message as it came in, its acknowledgement, and how far it got.

docs/hl7v2.md has the contract. Lanes: messages of one ``lane`` take effect in the order of their ids; the oldest
unresolved message of a lane stands for all of it, so whoever holds its row lock holds the lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from fhir_server.store.keys import next_key
from fhir_server.store.tables import metadata

UNRESOLVED = "status IN ('received', 'quarantined')"
REPLAYABLE = ("quarantined", "rejected", "stored", "ignored")
BATCH_BYTES = 8 * 1024 * 1024

message_inbox = Table(
    "message_inbox",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("id", BigInteger, nullable=False),  # time-ordered, see store.keys
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("sender", Text(collation="C"), nullable=False),
    Column("receiver", Text(collation="C"), nullable=False),
    Column("control_id", Text(collation="C"), nullable=False),
    Column("message_type", Text(collation="C"), nullable=False),
    Column("message_hash", LargeBinary, nullable=False),
    Column("day", Date, nullable=False),
    Column("lane", Text(collation="C"), nullable=False),  # empty: ordered by nothing
    Column("status", Text(collation="C"), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("processed_at", DateTime(timezone=True)),
    Column("error", Text),
    Column("report", JSONB, nullable=False),
    Column("ack", LargeBinary, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    UniqueConstraint("tenant", "sender", "control_id", "day", "message_hash"),
    CheckConstraint(
        "status IN ('received', 'processed', 'quarantined', 'stored', 'rejected', 'ignored')",
        name="message_inbox_status",
    ),
    Index("message_inbox_lane", "tenant", "lane", "id", postgresql_where=text(UNRESOLVED)),
    Index("message_inbox_waiting", "tenant", "id", postgresql_where=text("status = 'received'")),
)


class Session(Protocol):
    """What the inbox needs of a database session."""

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement and return how many rows it touched."""


class Arrival(Protocol):
    """What is stored of an arriving message, see ``fhir_server.operations.feed.Received``."""

    @property
    def raw(self) -> bytes:
        """The message."""

    @property
    def received_at(self) -> datetime:
        """When it came."""

    @property
    def sender(self) -> str:
        """Who sent it."""

    @property
    def receiver(self) -> str:
        """To whom."""

    @property
    def control_id(self) -> str:
        """The sender's number for it."""

    @property
    def message_type(self) -> str:
        """Its type."""

    @property
    def hash(self) -> bytes:
        """A digest of ``raw``."""

    @property
    def day(self) -> date:
        """The day that scopes ``control_id``."""

    @property
    def lane(self) -> str:
        """What it is ordered by."""

    @property
    def status(self) -> str:
        """How it starts."""

    @property
    def acknowledgement(self) -> bytes:
        """What answers it."""

    @property
    def report(self) -> bytes:
        """A JSON object."""

    @property
    def error(self) -> str | None:
        """Why it was rejected."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message whose lane this transaction holds."""

    id: int
    raw: bytes
    attempts: int


_INSERT = """
INSERT INTO message_inbox (tenant, id, received_at, sender, receiver, control_id, message_type, message_hash, day, lane,
                           status, error, report, ack, raw)
SELECT %s, x.id, x.received_at, x.sender, x.receiver, x.control_id, x.message_type, x.message_hash, x.day, x.lane,
       x.status, x.error, x.report::jsonb, x.ack, x.raw
FROM unnest(%s::int8[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[], %b::bytea[], %s::date[],
            %s::text[], %s::text[], %s::text[], %s::text[], %b::bytea[], %b::bytea[])
  AS x(id, received_at, sender, receiver, control_id, message_type, message_hash, day, lane, status, error, report,
  ack, raw)
ON CONFLICT (tenant, sender, control_id, day, message_hash) DO NOTHING
RETURNING id"""

_STORED_ACKS = """
SELECT x.ordinal, i.ack
FROM unnest(%s::text[], %s::text[], %s::date[], %b::bytea[]) WITH ORDINALITY
  AS x(sender, control_id, day, message_hash, ordinal)
JOIN message_inbox i ON i.tenant = %s AND i.sender = x.sender AND i.control_id = x.control_id
  AND i.day = x.day AND i.message_hash = x.message_hash"""

_HEADS = f"""
SELECT i.id, octet_length(i.raw)
FROM message_inbox i
WHERE i.tenant = %s AND i.status = 'received'
  AND (i.lane = '' OR NOT EXISTS (
    SELECT FROM message_inbox e WHERE e.tenant = i.tenant AND e.lane = i.lane AND e.id < i.id AND e.{UNRESOLVED}))
ORDER BY i.id LIMIT %s
FOR UPDATE OF i SKIP LOCKED"""  # noqa: S608 - constants only

_ONE_HEAD = f"""
SELECT i.id, i.raw, i.attempts
FROM message_inbox i
WHERE i.tenant = %s AND i.id = %s AND i.status = 'received'
  AND (i.lane = '' OR NOT EXISTS (
    SELECT FROM message_inbox e WHERE e.tenant = i.tenant AND e.lane = i.lane AND e.id < i.id AND e.{UNRESOLVED}))
FOR UPDATE OF i SKIP LOCKED"""  # noqa: S608 - constants only

_FINISH = """
UPDATE message_inbox i SET status = 'processed', processed_at = clock_timestamp(), error = NULL, attempts = i.attempts + 1,
       report = i.report || x.report::jsonb
FROM unnest(%s::int8[], %s::text[]) AS x(id, report)
WHERE i.tenant = %s AND i.id = x.id"""

_FAIL = """
UPDATE message_inbox SET status = CASE WHEN %s THEN 'quarantined' ELSE status END, attempts = attempts + 1, error = %s
WHERE tenant = %s AND id = %s AND status = 'received'"""

_REPLAY = """
UPDATE message_inbox SET status = 'received', attempts = 0, error = NULL
WHERE tenant = %s AND status = ANY(%s::text[])
  AND (%s::int8[] IS NULL OR id = ANY(%s::int8[]))
  AND (%s::text IS NULL OR message_type = %s) AND (%s::text IS NULL OR sender = %s)"""


async def insert(session: Session, tenant: int, batch: Sequence[Arrival]) -> list[bytes]:
    """Store messages and return the acknowledgement of each: its own, or that of the equal message stored before."""
    # Sorted, so that two batches with the same messages in them wait for each other and never deadlock.
    order = sorted(range(len(batch)), key=lambda n: (batch[n].sender, batch[n].control_id, batch[n].day, batch[n].hash))
    ids = [next_key() for _ in batch]  # in the order of arrival
    rows = [(ids[n], batch[n]) for n in order]
    inserted = await session.fetch(
        _INSERT,
        (
            tenant,
            [i for i, _ in rows],
            [m.received_at for _, m in rows],
            [m.sender for _, m in rows],
            [m.receiver for _, m in rows],
            [m.control_id for _, m in rows],
            [m.message_type for _, m in rows],
            [m.hash for _, m in rows],
            [m.day for _, m in rows],
            [m.lane for _, m in rows],
            [m.status for _, m in rows],
            [m.error for _, m in rows],
            [m.report.decode() for _, m in rows],
            [m.acknowledgement for _, m in rows],
            [m.raw for _, m in rows],
        ),
    )
    acks = [m.acknowledgement for m in batch]
    new = {row[0] for row in inserted}
    repeated = [n for n, id_ in enumerate(ids) if id_ not in new]
    if repeated:
        known = await session.fetch(
            _STORED_ACKS,
            (
                [batch[n].sender for n in repeated],
                [batch[n].control_id for n in repeated],
                [batch[n].day for n in repeated],
                [batch[n].hash for n in repeated],
                tenant,
            ),
        )
        for ordinal, ack in known:
            acks[repeated[ordinal - 1]] = bytes(ack)
    return acks


async def claim(session: Session, tenant: int, limit: int) -> list[Claimed]:
    """Lock up to ``limit`` waiting messages, each the first of its lane, and return them in order of arrival.

    Lanes that another transaction holds are passed over. No more than about ``BATCH_BYTES`` of messages come at once.
    """
    heads = await session.fetch(_HEADS, (tenant, limit))
    chosen: list[int] = []
    size = 0
    for id_, length in heads:
        if chosen and size + length > BATCH_BYTES:
            break
        chosen.append(id_)
        size += length
    if not chosen:
        return []
    rows = await session.fetch(
        "SELECT id, raw, attempts FROM message_inbox WHERE tenant = %s AND id = ANY(%s::int8[]) ORDER BY id",
        (tenant, chosen),
    )
    return [Claimed(id_, bytes(raw), attempts) for id_, raw, attempts in rows]


async def claim_one(session: Session, tenant: int, id_: int) -> Claimed | None:
    """Lock one waiting message; None when it is resolved, held elsewhere or not first in its lane."""
    rows = await session.fetch(_ONE_HEAD, (tenant, id_))
    return Claimed(rows[0][0], bytes(rows[0][1]), rows[0][2]) if rows else None


async def finish(session: Session, tenant: int, reports: Sequence[tuple[int, bytes]]) -> None:
    """Mark messages as processed and add to their reports (JSON objects)."""
    await session.execute(_FINISH, ([i for i, _ in reports], [r.decode() for _, r in reports], tenant))


async def fail(session: Session, tenant: int, id_: int, error: str, *, quarantine: bool) -> None:
    """Note a failure; in ``quarantine`` a message blocks its lane until it is replayed or ignored."""
    await session.execute(_FAIL, (quarantine, error.replace("\x00", "")[:2000], tenant, id_))


async def replay(
    session: Session,
    tenant: int,
    *,
    ids: Sequence[int] | None = None,
    message_type: str | None = None,
    sender: str | None = None,
    statuses: Sequence[str] = ("quarantined",),
) -> int:
    """Queue messages again, in their old places; all conditions given must hold. Returns how many.

    ``statuses`` may name those of ``REPLAYABLE``; what has been processed never takes effect again.
    """
    wanted = [s for s in statuses if s in REPLAYABLE]
    chosen = None if ids is None else list(ids)
    parameters = (tenant, wanted, chosen, chosen, message_type, message_type, sender, sender)
    return await session.execute(_REPLAY, parameters)


async def ignore(session: Session, tenant: int, ids: Sequence[int]) -> int:
    """Set quarantined messages aside, which frees their lanes. Returns how many."""
    return await session.execute(
        "UPDATE message_inbox SET status = 'ignored' "
        "WHERE tenant = %s AND id = ANY(%s::int8[]) AND status = 'quarantined'",
        (tenant, list(ids)),
    )
