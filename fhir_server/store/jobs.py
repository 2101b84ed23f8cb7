"""Background jobs: what is to be done for whom, who is at it, how far it is, what came of it.

A worker claims a job under a lease that it keeps extending; when the lease has run out the worker is taken for dead. Every
later statement of a worker names itself, so one that was only slow finds that the job isn't its own any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from fhir_server.errors import Conflict, Unavailable
from fhir_server.store.database import Session
from fhir_server.store.keys import new_id
from fhir_server.store.tables import metadata

Status = Literal["waiting", "running", "finished", "cancelled"]
UNFINISHED = "status IN ('waiting', 'running')"
_KEPT = "clock_timestamp() + make_interval(hours => 24)"
MOST_UNFINISHED = 1000

job = Table(
    "job",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("id", Text(collation="C"), nullable=False),  # time-ordered, see store.keys
    Column("kind", Text(collation="C"), nullable=False),
    Column("lane", Text(collation="C"), nullable=False),  # jobs of one lane run one after the other; empty: in none
    Column("subject", Text, nullable=False),
    Column("status", Text(collation="C"), nullable=False),
    Column("repeatable", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("worker", Text),
    Column("lease_until", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("progress", Text, nullable=False),
    Column("position", LargeBinary),
    Column("input", LargeBinary),
    Column("body", LargeBinary),
    Column("result", LargeBinary),
    PrimaryKeyConstraint("tenant", "id"),
    CheckConstraint("status IN ('waiting', 'running', 'finished', 'cancelled')", name="job_status"),
    Index("job_unfinished", "tenant", "id", postgresql_where=text(UNFINISHED)),
)


class LostJob(Conflict):
    """The job was cancelled, or another worker has it now."""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job. ``input`` and ``position`` are JSON, ``body`` what came with the request.

    ``attempts`` counts the claims since it last got on, this one included; a job that isn't ``repeatable`` must not be
    begun twice.
    """

    tenant: int
    id: str
    kind: str
    subject: str
    repeatable: bool
    attempts: int
    input: bytes
    body: bytes | None
    position: bytes | None
    worker: str


@dataclass(frozen=True, slots=True)
class JobState:
    """What its owner may know of a job; ``result`` is a Bundle once it is finished."""

    status: Status
    progress: str
    created_at: datetime
    result: bytes | None


async def add_job(
    session: Session,
    tenant: int,
    subject: str,
    kind: str,
    input_: bytes,
    *,
    body: bytes | None = None,
    lane: str = "",
    repeatable: bool,
    now: datetime,
) -> str:
    """Store a job and return its id. Raises Unavailable when the tenant has very many that are not finished."""
    waiting = await session.fetch(
        f"SELECT count(*) FROM job WHERE tenant = %s AND {UNFINISHED}",  # noqa: S608 - constants only
        (tenant,),
    )
    if waiting[0][0] >= MOST_UNFINISHED:
        raise Unavailable("Too many background jobs are waiting; try again later.")
    id_ = new_id()
    await session.execute(
        "INSERT INTO job (tenant, id, kind, lane, subject, status, repeatable, created_at, progress, input, body) "
        "VALUES (%s, %s, %s, %s, %s, 'waiting', %s, %s, 'waiting', %s, %s)",
        (tenant, id_, kind, lane, subject, repeatable, now, input_, body),
    )
    return id_


async def is_scheduled(session: Session, tenant: int, subject: str, kind: str) -> bool:
    """Tell whether a subject has an unfinished job of a kind."""
    rows = await session.fetch(
        f"SELECT EXISTS (SELECT FROM job WHERE tenant = %s AND subject = %s AND kind = %s AND {UNFINISHED})",  # noqa: S608
        (tenant, subject, kind),
    )
    return bool(rows[0][0])


_CLAIM = f"""
UPDATE job SET status = 'running', worker = %s, attempts = attempts + 1,
  lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE (tenant, id) = (
  SELECT tenant, id FROM job AS j
  WHERE {UNFINISHED} AND (status = 'waiting' OR lease_until < clock_timestamp()) AND kind = ANY(%s)
    AND (lane = '' OR NOT EXISTS (
      SELECT FROM job AS e WHERE e.tenant = j.tenant AND e.lane = j.lane AND e.id < j.id AND e.{UNFINISHED}))
  ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING tenant, id, kind, subject, repeatable, attempts, input, body, position"""  # noqa: S608 - constants only


async def claim_job(session: Session, kinds: Sequence[str], worker: str, lease: float) -> Job | None:
    """Claim the oldest job of these kinds that waits or whose worker is dead; the lease is in seconds."""
    rows = await session.fetch(_CLAIM, (worker, lease, list(kinds)))
    if not rows:
        return None
    tenant, id_, kind, subject, repeatable, attempts, input_, body, position = rows[0]
    return Job(
        tenant,
        id_,
        kind,
        subject,
        repeatable,
        attempts,
        bytes(input_),
        None if body is None else bytes(body),
        None if position is None else bytes(position),
        worker,
    )


_OWN = "WHERE tenant = %s AND id = %s AND worker = %s AND status = 'running'"


async def extend_lease(session: Session, job_: Job, lease: float) -> None:
    """Keep the job for ``lease`` seconds more; raises LostJob."""
    touched = await session.execute(
        f"UPDATE job SET lease_until = clock_timestamp() + make_interval(secs => %s) {_OWN}",  # noqa: S608
        (lease, job_.tenant, job_.id, job_.worker),
    )
    _check_own(job_, touched)


async def note_progress(session: Session, job_: Job, progress: str, position: bytes) -> None:
    """Note how far the job is, where another attempt may go on; raises LostJob, so that its transaction rolls back."""
    touched = await session.execute(
        f"UPDATE job SET progress = %s, position = %s, attempts = 1 {_OWN}",  # noqa: S608
        (progress[:100], position, job_.tenant, job_.id, job_.worker),
    )
    _check_own(job_, touched)


async def finish_job(session: Session, job_: Job, result: bytes) -> None:
    """Keep the result for its owner and forget the input; raises LostJob, so that its transaction rolls back."""
    touched = await session.execute(
        "UPDATE job SET status = 'finished', result = %s, progress = 'finished', input = NULL, body = NULL, "  # noqa: S608
        f"position = NULL, expires_at = {_KEPT} {_OWN}",
        (result, job_.tenant, job_.id, job_.worker),
    )
    _check_own(job_, touched)


async def release_job(session: Session, job_: Job) -> None:
    """Give a job back, for another worker to begin or go on with."""
    await session.execute(
        f"UPDATE job SET status = 'waiting', worker = NULL, lease_until = NULL {_OWN}",  # noqa: S608
        (job_.tenant, job_.id, job_.worker),
    )


def _check_own(job_: Job, touched: int) -> None:
    if not touched:
        raise LostJob(f"The job {job_.id} was cancelled or is another worker's now.")


async def read_job(session: Session, tenant: int, subject: str, id_: str) -> JobState | None:
    """Return the state of a subject's job, or None when it has none of that id (any more)."""
    rows = await session.fetch(
        "SELECT status, progress, created_at, result FROM job WHERE tenant = %s AND id = %s AND subject = %s "
        "AND (expires_at IS NULL OR expires_at > clock_timestamp())",
        (tenant, id_, subject),
    )
    if not rows:
        return None
    status, progress, created_at, result = rows[0]
    return JobState(status, progress, created_at, None if result is None else bytes(result))


async def cancel_job(session: Session, tenant: int, subject: str, id_: str) -> bool:
    """Cancel or forget a subject's job; False when it has none of that id."""
    touched = await session.execute(
        "UPDATE job SET status = 'cancelled', worker = NULL, progress = 'cancelled', input = NULL, body = NULL, "  # noqa: S608
        f"position = NULL, result = NULL, expires_at = {_KEPT} "
        "WHERE tenant = %s AND id = %s AND subject = %s AND status <> 'cancelled' "
        "AND (expires_at IS NULL OR expires_at > clock_timestamp())",
        (tenant, id_, subject),
    )
    return touched > 0


async def expire_jobs(session: Session) -> int:
    """Remove the jobs whose results nobody may fetch any more; return how many."""
    return await session.execute("DELETE FROM job WHERE expires_at < clock_timestamp()")
