"""The ledger of what ``praxis load`` has stored: one row a unit, keyed by the SHA-256 of its bytes.

A row commits in the same transaction as the resources it stands for, so a unit is loaded exactly once however often
the load is run or interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Column, DateTime, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, text

from fhir_server.store.database import Session
from fhir_server.store.tables import metadata

load_ledger = Table(
    "load_ledger",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("source", Text, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("loaded_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("tenant", "digest"),
)

# What the text format of COPY would take for its own, https://www.postgresql.org/docs/current/sql-copy.html.
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


class LedgerEntry(NamedTuple):
    """One unit: the SHA-256 of its bytes, where it came from, how many resources it holds."""

    digest: bytes
    source: str
    entries: int


async def claim(session: Session, tenant: int, entries: Sequence[LedgerEntry]) -> set[bytes]:
    """Enter units in the session's transaction; return the digests that were not there before.

    A unit that another transaction is loading is waited for. The rows are inserted in the order of their digests, so
    two loads that share units can't lock each other out.
    """
    ordered = sorted(entries)
    rows = await session.fetch(
        "INSERT INTO load_ledger (tenant, digest, source, entries) "
        "SELECT %s::integer, * FROM unnest(%s::bytea[], %s::text[], %s::integer[]) "
        "ON CONFLICT DO NOTHING RETURNING digest",
        (tenant, [e.digest for e in ordered], [e.source for e in ordered], [e.entries for e in ordered]),
    )
    return {bytes(row[0]) for row in rows}


async def find_in_ledger(session: Session, tenant: int, digests: Sequence[bytes]) -> set[bytes]:
    """Return those of the digests whose units are stored."""
    rows = await session.fetch(
        "SELECT digest FROM load_ledger WHERE tenant = %s AND digest = ANY (%s::bytea[])", (tenant, list(digests))
    )
    return {bytes(row[0]) for row in rows}


async def add_to_ledger(session: Session, tenant: int, entries: Sequence[LedgerEntry]) -> None:
    """Enter units in the session's transaction; raises Conflict when one is there already.

    Sorted by digest for the reason given at :func:`claim`.
    """
    lines = [f"{tenant}\t\\\\x{e.digest.hex()}\t{e.source.translate(_ESCAPES)}\t{e.entries}\n" for e in sorted(entries)]
    await session.copy("COPY load_ledger (tenant, digest, source, entries) FROM STDIN", "".join(lines).encode())
