"""Advisory locks, for what must not run twice at a time and has no row of its own to lock."""

from __future__ import annotations

from fhir_server.store.database import Session
from fhir_server.store.hashing import value_hash


async def take_lock(session: Session, tenant: int, name: str) -> None:
    """Wait for the tenant's lock of a name and hold it until the transaction ends."""
    await session.fetch("SELECT pg_advisory_xact_lock(%s)", (value_hash(f"{tenant}\x1f{name}"),))
