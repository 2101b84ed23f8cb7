"""Contained resources, to be searched with ``_contained``, https://hl7.org/fhir/R4/search.html#contained.

One row for each, with the columns of a resource and those that name its container, whose version, time and fate it shares.
Range index rows point to its own key. Only what contains resources, or did, costs a statement more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, SmallInteger, Table, Text

from fhir_server.store.database import Session
from fhir_server.store.entries import IndexEntries
from fhir_server.store.hashing import value_hash
from fhir_server.store.index_rows import DATES, NUMBERS, STRINGS, index_parameters, literal, text_literal
from fhir_server.store.tables import metadata, partition_name, resource_columns, type_ids

contained = Table(
    "contained",
    metadata,
    *resource_columns(),
    Column("container_type", SmallInteger, nullable=False),
    Column("container_key", BigInteger, nullable=False),
    Column("container_id", Text(collation="C"), nullable=False),
    PrimaryKeyConstraint("tenant", "type", "key"),
    Index("contained_container", "tenant", "container_key", "container_type"),
    Index("contained_last_updated", "tenant", "type", "last_updated", "key"),
    Index("contained_tokens", "tokens", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 256}),
)


@dataclass(frozen=True, slots=True)
class Contained:
    """A contained resource; ``id`` is the one that it has within its container, ``key`` a fresh one."""

    resource_type: str
    id: str
    key: int
    content: bytes
    entries: IndexEntries


def inner_address(container: str, id_: str) -> str:
    """Return what the ``reference_hash`` of a contained resource is made of; ``container`` is ``Type/id``.

    No reference from elsewhere can name it, since strings of FHIR hold no NUL.
    """
    return f"{container}\x00{id_}"


class Container(Protocol):
    """A version of a resource and what it contains."""

    resource_type: str
    id: str
    key: int
    version: int
    last_updated: datetime
    contained: Sequence[Contained]


_REMOVE = """
WITH c AS (DELETE FROM contained WHERE tenant = %s AND (container_key, container_type) IN (
  SELECT x.key, x.type FROM unnest(%s::int8[], %s::int2[]) AS x(key, type)) RETURNING key),
s AS (DELETE FROM string_index WHERE tenant = %s AND key = ANY (ARRAY(SELECT key FROM c))),
d AS (DELETE FROM date_index WHERE tenant = %s AND key = ANY (ARRAY(SELECT key FROM c)))
DELETE FROM number_index WHERE tenant = %s AND key = ANY (ARRAY(SELECT key FROM c))"""
_ADD = f"""
WITH s AS ({STRINGS}), d AS ({DATES}), n AS ({NUMBERS})
INSERT INTO contained (tenant, type, key, reference_hash, last_updated, version, method, id, tokens, content,
  container_type, container_key, container_id)
SELECT %s, x.type, x.key, x.reference_hash, x.last_updated, x.version, 'C', x.id, x.tokens::int8[], x.content,
  x.container_type, x.container_key, x.container_id
FROM unnest(%s::int2[], %s::int8[], %s::int8[], %s::timestamptz[], %s::int4[], %s::text[], %s::text[], %s::bytea[],
    %s::int2[], %s::int8[], %s::text[])
  AS x(type, key, reference_hash, last_updated, version, id, tokens, content, container_type, container_key, container_id)
"""  # noqa: S608 - constants only


async def replace_contained(session: Session, tenant: int, containers: Sequence[Container]) -> None:
    """Replace what is known of the resources within some, in the transaction that writes these."""
    ids = type_ids()
    keys, types = literal(c.key for c in containers), literal(ids[c.resource_type] for c in containers)
    await session.execute(_REMOVE, [tenant, keys, types, *[tenant] * 3])
    await add_contained(session, tenant, containers)


async def add_contained(session: Session, tenant: int, containers: Sequence[Container]) -> None:
    """Add the resources within some of which nothing is known yet, in the transaction that writes these."""
    ids = type_ids()
    rows = [(container, within) for container in containers for within in container.contained]
    if not rows:
        return
    inner = [within for _, within in rows]
    await session.execute(
        _ADD,
        [
            *index_parameters(tenant, inner),
            tenant,
            literal(ids[within.resource_type] for within in inner),
            literal(within.key for within in inner),
            literal(value_hash(inner_address(f"{c.resource_type}/{c.id}", within.id)) for c, within in rows),
            [c.last_updated for c, _ in rows],
            literal(c.version for c, _ in rows),
            text_literal(within.id for within in inner),
            text_literal(literal(within.entries.tokens) for within in inner),
            [within.content for within in inner],
            literal(ids[c.resource_type] for c, _ in rows),
            literal(c.key for c, _ in rows),
            text_literal(c.id for c, _ in rows),
        ],
    )


async def renew_contained(session: Session, tenant: int, containers: Sequence[Container]) -> None:
    """Replace it where the version of resources, all of one type, is still the current one.

    To be called in a transaction that has rewritten the resources' own index entries, which locked their rows.
    """
    resource_type = containers[0].resource_type
    rows = await session.fetch(
        f"SELECT key, version FROM {partition_name(resource_type)} "  # noqa: S608 - a name from the definitions
        f"WHERE tenant = %s AND type = {type_ids()[resource_type]} AND key = ANY (%s::int8[])",
        (tenant, literal(c.key for c in containers)),
    )
    current: dict[int, int] = {row[0]: row[1] for row in rows}
    renewed = [c for c in containers if current.get(c.key) == c.version]
    if renewed:
        await replace_contained(session, tenant, renewed)


class Place(NamedTuple):
    """The container of a contained resource as it is stored now; ``content`` is None once it is deleted."""

    resource_type: str
    id: str
    key: int
    version: int
    last_updated: datetime
    content: bytes | None


class _Fetches(Protocol):
    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""


async def read_containers(session: _Fetches, tenant: int, resource_type: str, keys: Sequence[int]) -> dict[int, Place]:
    """Return the containers of contained resources of a type by the keys of these."""
    names = {number: name for name, number in type_ids().items()}
    rows = await session.fetch(
        "SELECT c.key, r.type, r.id, r.key, r.version, r.last_updated, r.content FROM contained AS c "
        "JOIN resource AS r ON r.tenant = c.tenant AND r.type = c.container_type AND r.key = c.container_key "
        "WHERE c.tenant = %s AND c.type = %s AND c.key = ANY (%s::int8[])",
        (tenant, type_ids()[resource_type], literal(keys)),
    )
    return {key: Place(names[number], *place) for key, number, *place in rows}
