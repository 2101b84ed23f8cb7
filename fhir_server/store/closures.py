"""Closure tables: which of the codes that a client uses subsume which, https://hl7.org/fhir/R4/terminology-service.html#closure.

A table has a name within its tenant and a version, which each call that adds to it raises. Concepts and pairs carry the version that
they came with, so that a client that missed an answer can ask for everything since.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, Table, Text

from fhir_server.errors import Conflict
from fhir_server.store.database import Session
from fhir_server.store.tables import metadata

Concept = tuple[str, str]
"""A system and a code."""
Pair = tuple[Concept, Concept]
"""A concept and one that subsumes it, of the same system."""

closure = Table(
    "closure",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("name", Text(collation="C"), nullable=False),
    Column("version", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "name"),
)
closure_concept = Table(
    "closure_concept",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("name", Text(collation="C"), nullable=False),
    Column("system", Text(collation="C"), nullable=False),
    Column("code", Text(collation="C"), nullable=False),
    Column("version", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "name", "system", "code"),
    ForeignKeyConstraint(
        ["tenant", "name"], ["closure.tenant", "closure.name"], name="closure_concept_closure", ondelete="CASCADE"
    ),
)
closure_pair = Table(
    "closure_pair",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("name", Text(collation="C"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("system", Text(collation="C"), nullable=False),
    Column("code", Text(collation="C"), nullable=False),
    Column("above", Text(collation="C"), nullable=False),
    PrimaryKeyConstraint("tenant", "name", "version", "system", "code", "above"),
    ForeignKeyConstraint(
        ["tenant", "name"], ["closure.tenant", "closure.name"], name="closure_pair_closure", ondelete="CASCADE"
    ),
)


async def start_closure(session: Session, tenant: int, name: str) -> None:
    """Make an empty table of version 0, in place of one of that name, in the session's transaction."""
    await session.execute("DELETE FROM closure WHERE tenant = %s AND name = %s", (tenant, name))
    rows = await session.execute(
        "INSERT INTO closure (tenant, name, version) VALUES (%s, %s, 0) ON CONFLICT DO NOTHING", (tenant, name)
    )
    if not rows:
        raise Conflict(f"The closure table {name} was started at the same time.")


async def read_closure(session: Session, tenant: int, name: str) -> tuple[int, list[Concept]] | None:
    """Return a table's version and its concepts in the order they came, in one statement; None when there is none."""
    rows = await session.fetch(
        "SELECT t.version, c.system, c.code FROM closure AS t LEFT JOIN closure_concept AS c USING (tenant, name) "
        "WHERE t.tenant = %s AND t.name = %s ORDER BY c.version, c.system, c.code",
        (tenant, name),
    )
    if not rows:
        return None
    return rows[0][0], [(system, code) for _, system, code in rows if code is not None]


async def extend_closure(
    session: Session, tenant: int, name: str, version: int, concepts: Sequence[Concept], pairs: Sequence[Pair]
) -> bool:
    """Add new concepts and pairs to a table of this version, which becomes the next, in the session's transaction.

    Return whether it is still of that version; nothing was done otherwise.
    """
    raised = await session.execute(
        "UPDATE closure SET version = version + 1 WHERE tenant = %s AND name = %s AND version = %s",
        (tenant, name, version),
    )
    if not raised:
        return False
    await session.execute(
        "INSERT INTO closure_concept (tenant, name, version, system, code) "
        "SELECT %s, %s, %s, x.* FROM unnest(%s::text[], %s::text[]) AS x",
        (tenant, name, version + 1, [system for system, _ in concepts], [code for _, code in concepts]),
    )
    if pairs:
        await session.execute(
            "INSERT INTO closure_pair (tenant, name, version, system, code, above) "
            "SELECT %s, %s, %s, x.* FROM unnest(%s::text[], %s::text[], %s::text[]) AS x",
            (
                tenant,
                name,
                version + 1,
                [system for (system, _), _ in pairs],
                [code for (_, code), _ in pairs],
                [above for _, (_, above) in pairs],
            ),
        )
    return True


async def read_pairs(session: Session, tenant: int, name: str, since: int) -> tuple[int, list[Pair]] | None:
    """Return a table's version and the pairs that came after version ``since``; None when there is no such table."""
    rows = await session.fetch(
        "SELECT t.version, p.system, p.code, p.above FROM closure AS t "
        "LEFT JOIN closure_pair AS p ON (p.tenant, p.name) = (t.tenant, t.name) AND p.version > %s "
        "WHERE t.tenant = %s AND t.name = %s ORDER BY p.version, p.system, p.code, p.above",
        (since, tenant, name),
    )
    if not rows:
        return None
    return rows[0][0], [((system, code), (system, above)) for _, system, code, above in rows if code is not None]
