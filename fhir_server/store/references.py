"""Which resources exist, and which refer to others, https://hl7.org/fhir/R4/http.html#integrity: one statement each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from fhir_server.store.database import Session
from fhir_server.store.tables import partition_name, type_ids


@lru_cache(maxsize=4096)
def _existing_sql(types: tuple[str, ...]) -> str:
    ids = type_ids()
    found = ", ".join(
        f"t{ids[name]} AS (SELECT type, id FROM {partition_name(name)} WHERE tenant = %(tenant)s "  # noqa: S608
        f"AND type = {ids[name]} AND id = ANY(%(t{ids[name]})s) AND content IS NOT NULL ORDER BY id FOR SHARE)"
        for name in types
    )
    return f"WITH {found} {' UNION ALL '.join(f'SELECT type, id FROM t{ids[name]}' for name in types)}"  # noqa: S608


@lru_cache(maxsize=4096)
def _referring_sql(types: tuple[str, ...]) -> str:
    ids = type_ids()
    branches = " UNION ALL ".join(
        f"(SELECT type, id, tokens FROM {partition_name(name)} WHERE tenant = %(tenant)s "  # noqa: S608
        f"AND type = {ids[name]} AND tokens && %(t{ids[name]})s::int8[] LIMIT %(limit)s)"
        for name in types
    )
    return (
        "SELECT r.type, r.id, ARRAY(SELECT t FROM unnest(r.tokens) AS t WHERE t = ANY (%(all)s::int8[])) "  # noqa: S608
        f"FROM ({branches} LIMIT %(limit)s) AS r"
    )


def _names(rows: Iterable[tuple[int, str]]) -> set[str]:
    names = {number: name for name, number in type_ids().items()}
    return {f"{names[type_id]}/{id_}" for type_id, id_ in rows}


async def find_existing(session: Session, tenant: int, addresses: Iterable[str]) -> set[str]:
    """Return those of the addresses (``Type/id``) where a resource is, not deleted.

    Until the transaction ends others can't delete them.
    """
    ids: dict[str, set[str]] = {}
    for address in addresses:
        name, _, id_ = address.partition("/")
        ids.setdefault(name, set()).add(id_)
    if not ids:
        return set()
    types = tuple(sorted(ids))
    parameters = {"tenant": tenant, **{f"t{type_ids()[name]}": sorted(ids[name]) for name in types}}
    return _names(await session.fetch(_existing_sql(types), parameters))


async def find_taken(session: Session, tenant: int, ids: Mapping[str, Sequence[str]]) -> set[tuple[str, str]]:
    """Return (type, id) of those resources, by type, that are or have been there."""
    return {
        (name, row[0])
        for name in sorted(ids)
        for row in await session.fetch(
            f"SELECT id FROM {partition_name(name)} "  # noqa: S608 - a name from the definitions
            f"WHERE tenant = %s AND type = {type_ids()[name]} AND id = ANY (%s::text[])",
            (tenant, list(ids[name])),
        )
    }


async def find_referring(
    session: Session, tenant: int, tokens: Mapping[str, Sequence[int]], limit: int
) -> list[tuple[str, str, list[int]]]:
    """Return up to ``limit`` resources that carry one of their type's tokens: type, id and the tokens found."""
    types = tuple(sorted(name for name in tokens if tokens[name]))
    if not types:
        return []
    every = {token for name in types for token in tokens[name]}
    parameters = {
        "tenant": tenant,
        "limit": limit,
        "all": _literal(every),
        **{f"t{type_ids()[name]}": _literal(tokens[name]) for name in types},
    }
    names = {number: name for name, number in type_ids().items()}
    rows = await session.fetch(_referring_sql(types), parameters)
    return [(names[type_id], id_, found) for type_id, id_, found in rows]


def _literal(numbers: Iterable[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"
