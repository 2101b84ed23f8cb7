"""Reading resources and versions by id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from fhir_server.store.database import Session
from fhir_server.store.tables import partition_name, type_ids


class Version(NamedTuple):
    """One stored version. ``content`` is the JSON bytes, or None where the version is a deletion."""

    id: str
    version: int
    last_updated: datetime
    method: str
    content: bytes | None
    key: int | None


_COLUMNS = "id, version, last_updated, method, content"


@cache
def _read_sql(resource_type: str) -> str:
    return (
        f"SELECT {_COLUMNS}, key FROM {partition_name(resource_type)} "  # noqa: S608
        f"WHERE tenant = %s AND type = {type_ids()[resource_type]} AND id = ANY(%s)"
    )


@cache
def _lock_sql(resource_type: str) -> str:
    return (
        f"SELECT {_COLUMNS}, key FROM {partition_name(resource_type)} "  # noqa: S608
        f"WHERE tenant = %s AND type = {type_ids()[resource_type]} AND id = ANY(%s) ORDER BY id FOR UPDATE"
    )


@cache
def _vread_sql(resource_type: str) -> str:
    type_id = type_ids()[resource_type]
    return (
        f"SELECT {_COLUMNS}, key FROM {partition_name(resource_type)} "  # noqa: S608
        f"WHERE tenant = %s AND type = {type_id} AND id = %s AND version = %s "
        f"UNION ALL SELECT {_COLUMNS}, NULL FROM resource_history "
        f"WHERE tenant = %s AND type = {type_id} AND id = %s AND version = %s"
    )


async def read(session: Session, tenant: int, resource_type: str, id_: str) -> Version | None:
    """Return the current version, or None when the id was never used."""
    return (await read_many(session, tenant, resource_type, [id_])).get(id_)


async def read_many(session: Session, tenant: int, resource_type: str, ids: Sequence[str]) -> dict[str, Version]:
    """Return the current versions of those ids that were ever used."""
    rows = await session.fetch(_read_sql(resource_type), (tenant, ids))
    return {row[0]: Version(*row) for row in rows}


async def lock(session: Session, tenant: int, resource_type: str, ids: Iterable[str]) -> dict[str, Version]:
    """Return the current versions of these ids and lock their rows until the transaction ends."""
    rows = await session.fetch(_lock_sql(resource_type), (tenant, sorted(ids)))
    return {row[0]: Version(*row) for row in rows}


async def vread(session: Session, tenant: int, resource_type: str, id_: str, version: int) -> Version | None:
    """Return one version, current or past."""
    rows = await session.fetch(_vread_sql(resource_type), (tenant, id_, version) * 2)
    return Version(*rows[0]) if rows else None
