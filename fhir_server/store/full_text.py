"""What full text search reads, https://hl7.org/fhir/R4/search.html#all (``_text``, ``_content``), and how it is filled.

The words of a resource are computed by SQL functions (migration 0006), not when it is written but soon after. Until then
a search computes them itself, by the same functions. ``full_text_progress`` bounds what such a search has to look at:
every row whose ``last_updated`` isn't later than ``indexed_until`` is indexed at its current version, and none that is as
old can be committed any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, PrimaryKeyConstraint, SmallInteger, Table
from sqlalchemy.dialects.postgresql import TSVECTOR

from fhir_server.store.database import Session
from fhir_server.store.tables import metadata, partition_name, type_ids

SEPARATORS = (
    r"\u0001-/:-@\[-`{-\u00bf\u00d7\u00f7\u02c2-\u02c5\u02d2-\u02df\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05c6\u05f3\u05f4"
    r"\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u1680\u2000-\u2bff\u2e00-\u2e2e\u2e30-\u2e7f\u3000-\u3004\u3008-\u3020"
    r"\u3030\u30a0\u30fb\ufffd"
)
"""What parts words, once folded, as the inside of a character class for Python and PostgreSQL: changing it takes a migration."""
LONGEST_WORD = 255
"""Longer runs of letters are left out; they are no words."""
MOST_CHARACTERS = 200_000
"""So much of a resource's text is indexed: a tsvector holds a megabyte."""
_NEVER = "'-infinity'::timestamptz"
_EARLIEST = datetime.min.replace(tzinfo=UTC)
# Between the instant that becomes ``last_updated`` and the start of its transaction lie the wait for a connection, the
# checks of a large Bundle and what the clocks of hosts differ by.
MARGIN_SECONDS = 120.0

full_text = Table(
    "full_text",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("version", Integer, nullable=False),  # the one that the words are of
    Column("narrative", TSVECTOR, nullable=False),
    Column("content", TSVECTOR, nullable=False),
    PrimaryKeyConstraint("tenant", "key", "type"),
    Index("full_text_narrative", "narrative", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 256}),
    Index("full_text_content", "content", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 256}),
)
full_text_progress = Table(
    "full_text_progress",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("indexed_until", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "type"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a pass through a type's rows is, in the order of their last update."""

    last_updated: datetime
    key: int


def marker(tenant: int, resource_type: str) -> str:
    """Return the word that all of a tenant's resources of a type have, so that the index can be asked for these alone."""
    return f"\x01{tenant}/{type_ids()[resource_type]}"


async def find_due(session: Session, tenant: int) -> list[str]:
    """Return the types of which a tenant has resources that may not be indexed yet."""
    names = sorted(type_ids())
    rows = await session.fetch(
        "SELECT x.name FROM unnest(%s::text[], %s::int2[]) AS x(name, type) "  # noqa: S608 - a constant
        "LEFT JOIN full_text_progress AS p ON p.tenant = %s AND p.type = x.type "
        "WHERE EXISTS (SELECT FROM resource AS r WHERE r.tenant = %s AND r.type = x.type "
        f"AND r.last_updated > COALESCE(p.indexed_until, {_NEVER})) ORDER BY x.name",
        (names, [type_ids()[name] for name in names], tenant, tenant),
    )
    return [row[0] for row in rows]


async def read_horizon(session: Session, margin: float) -> datetime:
    """Return an instant such that no row that is as old will be committed after this."""
    rows = await session.fetch(
        "SELECT least(clock_timestamp(), min(xact_start)) - make_interval(secs => %s) FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        (margin,),
    )
    return rows[0][0]  # type: ignore[no-any-return]


@cache
def _read_sql(resource_type: str, *, first: bool) -> str:
    after = "last_updated > %s" if first else "(last_updated, key) > (%s, %s)"
    return (
        f"SELECT last_updated, key FROM {partition_name(resource_type)} WHERE tenant = %s "  # noqa: S608
        f"AND type = {type_ids()[resource_type]} AND {after} ORDER BY last_updated, key LIMIT %s"
    )


@cache
def _add_sql(resource_type: str, *, amended: bool = False) -> str:
    """Index resources at their current version; those that are only stand for themselves unless they were ``amended``."""
    known = "f.version > r.version" if amended else "f.version >= r.version"
    older = "<=" if amended else "<"
    return f"""
INSERT INTO full_text AS t (tenant, key, type, version, narrative, content)
SELECT r.tenant, r.key, r.type, r.version, full_text_narrative(r.content) || m.marker, full_text_content(r.content) || m.marker
FROM {partition_name(resource_type)} AS r, (SELECT array_to_tsvector(ARRAY[%s]) AS marker) AS m
WHERE r.tenant = %s AND r.type = {type_ids()[resource_type]} AND r.key = ANY (%s::int8[]) AND r.content IS NOT NULL
  AND NOT EXISTS (SELECT FROM full_text AS f
    WHERE f.tenant = r.tenant AND f.key = r.key AND f.type = r.type AND {known})
ORDER BY r.key
ON CONFLICT (tenant, key, type) DO UPDATE
  SET version = excluded.version, narrative = excluded.narrative, content = excluded.content
  WHERE t.version {older} excluded.version"""  # noqa: S608 - names come from the definitions


@cache
def _remove_sql(resource_type: str) -> str:
    return (
        f"DELETE FROM full_text AS f USING {partition_name(resource_type)} AS r "  # noqa: S608
        f"WHERE r.tenant = %s AND r.type = {type_ids()[resource_type]} AND r.key = ANY (%s::int8[]) "
        "AND r.content IS NULL AND f.tenant = r.tenant AND f.key = r.key AND f.type = r.type AND f.version < r.version"
    )


async def index_next(
    session: Session, tenant: int, resource_type: str, place: Place | None, horizon: datetime, limit: int
) -> Place | None:
    """Index up to ``limit`` of a type's rows after a place, at the start those after what is indexed for good.

    Returns the place reached, None at the end or while another process is at it. Each call must run in a transaction of
    its own; ``horizon`` is to be read once, before the first of a pass.
    """
    number = type_ids()[resource_type]
    await session.execute(
        f"INSERT INTO full_text_progress VALUES (%s, %s, {_NEVER}) ON CONFLICT DO NOTHING",  # noqa: S608 - a constant
        (tenant, number),
    )
    claimed = await session.fetch(
        "SELECT CASE WHEN isfinite(indexed_until) THEN indexed_until END FROM full_text_progress "
        "WHERE tenant = %s AND type = %s FOR UPDATE SKIP LOCKED",
        (tenant, number),
    )
    if not claimed:
        return None
    until: datetime | None = claimed[0][0]
    after: Sequence[object] = (until or _EARLIEST,) if place is None else (place.last_updated, place.key)
    rows = await session.fetch(_read_sql(resource_type, first=place is None), (tenant, *after, limit))
    keys = [key for _, key in rows]
    if keys:
        await session.execute(_add_sql(resource_type), (marker(tenant, resource_type), tenant, keys))
        await session.execute(_remove_sql(resource_type), (tenant, keys))
    full = len(rows) == limit
    # Others of the same instant may follow in the next batch.
    reached = min(horizon, rows[-1][0] - timedelta(microseconds=1)) if full else horizon
    if until is None or reached > until:
        await session.execute(
            "UPDATE full_text_progress SET indexed_until = %s WHERE tenant = %s AND type = %s",
            (reached, tenant, number),
        )
    return Place(*rows[-1]) if full else None


async def index_amended(session: Session, tenant: int, resource_type: str, key: int) -> None:
    """Index a resource anew whose content changed without becoming another version, in the transaction of the change."""
    sql = _add_sql(resource_type, amended=True)
    await session.execute(sql, (marker(tenant, resource_type), tenant, [key]))
