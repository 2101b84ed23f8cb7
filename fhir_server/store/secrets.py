"""Secrets that all processes of an installation share, kept in the database they share."""

from __future__ import annotations

import secrets

from sqlalchemy import Column, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text

from fhir_server.store.database import Session
from fhir_server.store.tables import metadata

secret = Table(
    "secret",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "name"),
)


async def provide_secret(session: Session, tenant: int, name: str) -> bytes:
    """Return a 32-byte secret, made by whoever asks first."""
    await session.execute(
        "INSERT INTO secret (tenant, name, value) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (tenant, name, secrets.token_bytes(32)),
    )
    rows = await session.fetch("SELECT value FROM secret WHERE tenant = %s AND name = %s", (tenant, name))
    return bytes(rows[0][0])
