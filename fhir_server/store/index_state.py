"""How far the search indexes are: which format they have, and which SearchParameters of tenants they cover.

A tenant's ``generation`` counts the commits that changed a SearchParameter or finished indexing one; a trigger counts
the former, so no way of writing can forget it. Processes compare it with the one they know, see
:mod:`fhir_server.search.tenant_parameters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, DateTime, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text

from fhir_server.store.database import Session
from fhir_server.store.tables import metadata, type_ids

INDEX_FORMAT = 3
"""The format of index entries that this version of the server writes; other code finds it in ``search.index``."""

# The line of no tenant and no type says which format all rows have that no line of their own tells of.
_ALL = 0

search_parameter_generation = Table(
    "search_parameter_generation",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant"),
)
indexed_parameter = Table(
    "indexed_parameter",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("id", Text(collation="C"), nullable=False),  # of the SearchParameter
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "type", "id"),
)
index_format = Table(
    "index_format",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("format", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "type"),
)


class StoredParameter(NamedTuple):
    """A SearchParameter as it is stored: a resource by its id, or one of a package by its URL, which no id can be."""

    id: str
    version: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Generations:
    """The generation of every tenant that has one, and whether rows of an older index format may exist anywhere.

    ``definitions`` are the generations of all definitions, see :mod:`fhir_server.store.packages`.
    """

    by_tenant: Mapping[int, int]
    outdated: bool
    definitions: Mapping[int, int] = field(default_factory=dict)


async def read_generations(session: Session) -> Generations:
    """Return the generations, in one statement."""
    rows = await session.fetch(
        "SELECT 'parameters', tenant, generation FROM search_parameter_generation "
        "UNION ALL SELECT 'definitions', tenant, generation FROM definition_generation "
        "UNION ALL SELECT 'format', tenant, format FROM index_format WHERE tenant = %s AND type = %s",
        (_ALL, _ALL),
    )
    of: dict[str, dict[int, int]] = {"parameters": {}, "definitions": {}, "format": {}}
    for kind, tenant, number in rows:
        of[kind][tenant] = number
    return Generations(of["parameters"], of["format"].get(_ALL, INDEX_FORMAT) < INDEX_FORMAT, of["definitions"])


async def count_generation(session: Session, tenant: int) -> None:
    """Tell all processes that something about a tenant's indexes has changed."""
    await session.execute(
        "INSERT INTO search_parameter_generation (tenant, generation, changed_at) VALUES (%s, 1, clock_timestamp()) "
        "ON CONFLICT (tenant) DO UPDATE SET generation = search_parameter_generation.generation + 1, "
        "changed_at = clock_timestamp()",
        (tenant,),
    )


async def seconds_since_change(session: Session, tenant: int) -> float:
    """Return the seconds since the tenant's generation last changed; infinity when it never did."""
    rows = await session.fetch(
        "SELECT extract(epoch FROM clock_timestamp() - changed_at)::float8 "
        "FROM search_parameter_generation WHERE tenant = %s",
        (tenant,),
    )
    return float(rows[0][0]) if rows else float("inf")


async def read_parameters(session: Session, tenant: int) -> list[StoredParameter]:
    """Return the tenant's SearchParameter resources, the oldest first, and those of its packages, one a URL."""
    number = type_ids()["SearchParameter"]
    rows = await session.fetch(
        "SELECT id, version, content FROM resource_searchparameter "
        "WHERE tenant = %s AND type = %s AND content IS NOT NULL ORDER BY key",
        (tenant, number),
    )
    packaged = await session.fetch(
        "SELECT DISTINCT ON (r.url) r.url, r.revision, r.content FROM package_resource AS r JOIN package AS p "
        "ON (p.tenant, p.name, p.version) = (r.tenant, r.package, r.package_version) "
        "WHERE r.tenant = %s AND r.type = %s AND r.revision IS NOT NULL ORDER BY r.url, p.installed_at DESC, p.name",
        (tenant, number),
    )
    return [StoredParameter(id_, version, bytes(content)) for id_, version, content in (*rows, *packaged)]


async def read_indexed(session: Session, tenant: int) -> dict[tuple[str, str], int]:
    """Return (resource type, SearchParameter id) → the version of it that all resources of the type are indexed by."""
    names = {number: name for name, number in type_ids().items()}
    rows = await session.fetch("SELECT type, id, version FROM indexed_parameter WHERE tenant = %s", (tenant,))
    return {(names[number], id_): version for number, id_, version in rows}


async def mark_indexed(
    session: Session, tenant: int, resource_type: str, parameters: Sequence[tuple[str, int]]
) -> None:
    """Note that all resources of a type have entries of this index format, by these (SearchParameter id, version)s.

    Processes hear of it once the generation is counted.
    """
    number = type_ids()[resource_type]
    await session.execute(
        "INSERT INTO index_format (tenant, type, format) VALUES (%s, %s, %s) "
        "ON CONFLICT (tenant, type) DO UPDATE SET format = excluded.format",
        (tenant, number, INDEX_FORMAT),
    )
    await session.execute("DELETE FROM indexed_parameter WHERE tenant = %s AND type = %s", (tenant, number))
    await session.execute(
        "INSERT INTO indexed_parameter (tenant, type, id, version) "
        "SELECT %s, %s, x.id, x.version FROM unnest(%s::text[], %s::int4[]) AS x(id, version)",
        (tenant, number, [id_ for id_, _ in parameters], [version for _, version in parameters]),
    )


async def read_outdated(session: Session, tenant: int) -> frozenset[str]:
    """Return the resource types whose rows of a tenant may have entries of an older index format."""
    rows = await session.fetch(
        "SELECT tenant, type, format FROM index_format WHERE tenant = ANY(%s::int4[])", ([_ALL, tenant],)
    )
    formats = {(owner, type_): number for owner, type_, number in rows}
    base = formats.get((_ALL, _ALL), INDEX_FORMAT)
    return frozenset(t for t, n in type_ids().items() if formats.get((tenant, n), base) < INDEX_FORMAT)


async def read_tenants(session: Session) -> list[int]:
    """Return the tenants that have resources."""
    # From one tenant to the next: a DISTINCT would read every row.
    rows = await session.fetch(
        "WITH RECURSIVE t AS (SELECT min(tenant) AS tenant FROM resource UNION ALL "
        "SELECT (SELECT min(r.tenant) FROM resource AS r WHERE r.tenant > t.tenant) FROM t WHERE t.tenant IS NOT NULL) "
        "SELECT tenant FROM t WHERE tenant IS NOT NULL"
    )
    return [row[0] for row in rows]


async def read_types(session: Session, tenant: int, among: Iterable[str]) -> list[str]:
    """Return those of the resource types of which a tenant has resources, deleted ones included."""
    wanted = sorted(among)
    rows = await session.fetch(
        "SELECT x.name FROM unnest(%s::text[], %s::int2[]) AS x(name, type) "
        "WHERE EXISTS (SELECT FROM resource AS r WHERE r.tenant = %s AND r.type = x.type) ORDER BY x.name",
        (wanted, [type_ids()[name] for name in wanted], tenant),
    )
    return [row[0] for row in rows]


async def settle_format(session: Session) -> None:
    """Note that no rows of an older format are left anywhere; lines of single types have nothing to add then."""
    await session.execute("DELETE FROM index_format WHERE tenant <> %s", (_ALL,))
    await session.execute(
        "UPDATE index_format SET format = %s WHERE tenant = %s AND type = %s", (INDEX_FORMAT, _ALL, _ALL)
    )
