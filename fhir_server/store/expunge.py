"""Physical removal of versions and whole resources, with their index rows: what ``delete`` does not do.

Each function takes up to ``limit`` victims of a tenant, narrowed to a type and perhaps an id, and returns how many
versions are gone. One statement each, to be run in a transaction.
"""

from __future__ import annotations

from functools import lru_cache

from fhir_server.store.contained import contained
from fhir_server.store.database import Session
from fhir_server.store.tables import metadata, resource, type_ids


def _index_tables() -> list[str]:
    """Return the tables of index rows: those that point to a resource by its key."""
    return sorted(
        name
        for name, t in metadata.tables.items()
        if t not in (resource, contained) and {"tenant", "key"} <= set(t.c.keys())
    )


def _place(*, typed: bool, instance: bool) -> str:
    return "tenant = %(tenant)s" + (" AND type = %(type)s" if typed else "") + (" AND id = %(id)s" if instance else "")


@lru_cache(maxsize=16)
def _resources_sql(place: str, *, deleted: bool) -> str:
    """Whole resources: current version, history, index rows. ``deleted`` spares those that are alive."""
    only = " AND content IS NULL" if deleted else ""
    index_rows = "".join(
        f", i{number} AS (DELETE FROM {name} WHERE tenant = %(tenant)s AND key = ANY (ARRAY(SELECT key FROM k)))"  # noqa: S608
        for number, name in enumerate(_index_tables())
    )
    return f"""
WITH v AS (SELECT type, id FROM resource WHERE {place}{only} LIMIT %(limit)s FOR UPDATE),
r AS (DELETE FROM resource AS d USING v WHERE d.tenant = %(tenant)s AND d.type = v.type AND d.id = v.id
  RETURNING d.type, d.id, d.key),
h AS (DELETE FROM resource_history AS d USING r WHERE d.tenant = %(tenant)s AND d.type = r.type AND d.id = r.id
  RETURNING d.version),
c AS (DELETE FROM contained AS d USING r WHERE d.tenant = %(tenant)s AND d.container_type = r.type
  AND d.container_key = r.key RETURNING d.key),
k AS (SELECT key FROM r UNION ALL SELECT key FROM c){index_rows}
SELECT (SELECT count(*) FROM r), (SELECT count(*) FROM h)"""  # noqa: S608 - names come from the tables


@lru_cache(maxsize=16)
def _versions_sql(place: str) -> str:
    return f"""
DELETE FROM resource_history AS d USING (
  SELECT type, id, version FROM resource_history WHERE {place} LIMIT %(limit)s FOR UPDATE) AS v
WHERE d.tenant = %(tenant)s AND d.type = v.type AND d.id = v.id AND d.version = v.version"""  # noqa: S608


async def expunge_resources(
    session: Session, tenant: int, resource_type: str | None, id_: str | None, *, deleted: bool, limit: int | None
) -> tuple[int, int]:
    """Remove resources with all their versions; return how many resources and how many versions.

    ``deleted`` takes only those that were deleted before.
    """
    sql = _resources_sql(_place(typed=resource_type is not None, instance=id_ is not None), deleted=deleted)
    rows = await session.fetch(sql, _parameters(tenant, resource_type, id_, limit))
    resources, past = rows[0]
    return resources, resources + past


async def expunge_versions(
    session: Session, tenant: int, resource_type: str | None, id_: str | None, *, limit: int | None
) -> int:
    """Remove superseded versions; return how many."""
    sql = _versions_sql(_place(typed=resource_type is not None, instance=id_ is not None))
    return await session.execute(sql, _parameters(tenant, resource_type, id_, limit))


async def forget_loads(session: Session, tenant: int) -> None:
    """Empty the ledger of loads: what they stored is gone, and may be loaded again."""
    await session.execute("DELETE FROM load_ledger WHERE tenant = %s", (tenant,))


def _parameters(tenant: int, resource_type: str | None, id_: str | None, limit: int | None) -> dict[str, object]:
    type_id = None if resource_type is None else type_ids()[resource_type]
    return {"tenant": tenant, "type": type_id, "id": id_, "limit": limit}
