"""The table of static access tokens; only their SHA-256 is kept."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Boolean, Column, DateTime, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, false

from fhir_server.store.database import Session
from fhir_server.store.tables import metadata

access_token = Table(
    "access_token",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("expunge", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("tenant", "digest"),
)


class StoredToken(NamedTuple):
    """A token's row without its digest; ``expunge`` says whether its holder may remove history for good."""

    subject: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    expunge: bool


_COLUMNS = "subject, created_at, expires_at, revoked_at, expunge"


async def insert_token(
    session: Session,
    tenant: int,
    digest: bytes,
    subject: str,
    now: datetime,
    expires_at: datetime | None,
    *,
    expunge: bool,
) -> None:
    """Store a new token."""
    await session.execute(
        "INSERT INTO access_token (tenant, digest, subject, created_at, expires_at, expunge) "
        "VALUES (%s, %s, %s, %s, %s, %s)",
        (tenant, digest, subject, now, expires_at, expunge),
    )


async def find_token(session: Session, tenant: int, digest: bytes, now: datetime) -> StoredToken | None:
    """Return a token that is valid at ``now``, or None."""
    rows = await session.fetch(
        f"SELECT {_COLUMNS} FROM access_token WHERE tenant = %s AND digest = %s "  # noqa: S608 - constants only
        "AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %s)",
        (tenant, digest, now),
    )
    return StoredToken(*rows[0]) if rows else None


async def list_tokens(session: Session, tenant: int) -> list[StoredToken]:
    """Return all tokens of a tenant, newest first."""
    rows = await session.fetch(
        f"SELECT {_COLUMNS} FROM access_token WHERE tenant = %s ORDER BY created_at DESC",  # noqa: S608 - constants only
        (tenant,),
    )
    return [StoredToken(*row) for row in rows]


async def revoke_tokens(session: Session, tenant: int, subject: str, now: datetime) -> int:
    """Revoke every token of a subject; return how many."""
    return await session.execute(
        "UPDATE access_token SET revoked_at = %s WHERE tenant = %s AND subject = %s AND revoked_at IS NULL",
        (now, tenant, subject),
    )
