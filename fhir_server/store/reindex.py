"""What reindexing reads and writes: current resources of a type in the order of their keys, and their index entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from fhir_server.store.contained import Contained, renew_contained
from fhir_server.store.database import Session
from fhir_server.store.entries import IndexEntries
from fhir_server.store.tables import partition_name, type_ids
from fhir_server.store.texts import add_texts
from fhir_server.store.write import Change, rewrite_entries

FIRST_KEY = -(2**63)


@dataclass(frozen=True, slots=True)
class StoredResource:
    """A current resource."""

    key: int
    id: str
    version: int
    last_updated: datetime
    content: bytes


@cache
def _read_sql(resource_type: str) -> str:
    return (
        f"SELECT key, id, version, last_updated, content FROM {partition_name(resource_type)} "  # noqa: S608
        f"WHERE tenant = %s AND type = {type_ids()[resource_type]} AND key > %s AND content IS NOT NULL "
        "ORDER BY key LIMIT %s"
    )


async def read_after(session: Session, tenant: int, resource_type: str, key: int, limit: int) -> list[StoredResource]:
    """Return the next resources of a type after a key."""
    rows = await session.fetch(_read_sql(resource_type), (tenant, key, limit))
    return [StoredResource(k, id_, version, at, bytes(content)) for k, id_, version, at, content in rows]


async def count_resources(session: Session, tenant: int, resource_type: str) -> int:
    """Return how many rows a type has."""
    rows = await session.fetch(
        f"SELECT count(*) FROM {partition_name(resource_type)} "  # noqa: S608
        f"WHERE tenant = %s AND type = {type_ids()[resource_type]}",
        (tenant,),
    )
    return int(rows[0][0])


async def replace_entries(
    session: Session, tenant: int, resource_type: str, read: list[tuple[StoredResource, IndexEntries]]
) -> int:
    """Replace index entries, except of resources that were changed since they were read; return of how many."""
    changes = [Change(resource_type, r.id, r.key, r.version, r.last_updated, "U", None, entries) for r, entries in read]
    return await rewrite_entries(session, tenant, changes) if changes else 0


async def replace_contained_entries(
    session: Session, tenant: int, resource_type: str, read: list[tuple[StoredResource, list[Contained]]]
) -> None:
    """Replace what is indexed of contained resources, except where the container was changed since it was read."""
    changes = [
        Change(resource_type, r.id, r.key, r.version, r.last_updated, "U", None, IndexEntries(), contained=contained)
        for r, contained in read
    ]
    if changes:
        await add_texts(session, tenant, [within.entries for change in changes for within in change.contained])
        await renew_contained(session, tenant, changes)


async def read_clock(session: Session) -> datetime:
    """Return the database's time now."""
    return (await session.fetch("SELECT clock_timestamp()"))[0][0]  # type: ignore[no-any-return]


async def count_older_transactions(session: Session, before: datetime) -> int:
    """Return how many transactions of this database that began before an instant have not ended yet."""
    rows = await session.fetch(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' "
        "AND xact_start < %s AND pid <> pg_backend_pid()",
        (before,),
    )
    return int(rows[0][0])
