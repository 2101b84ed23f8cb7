"""Writing resources: versions, history and index rows in one statement per type and kind of change.

Each statement is atomic by itself, so a single create needs no explicit transaction; a Bundle runs several inside one.
Parameters travel as array literals, one array per column, so one row and five hundred take the same statement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Literal

from fhir_server.errors import Conflict
from fhir_server.store.contained import Contained, replace_contained
from fhir_server.store.database import Session
from fhir_server.store.entries import IndexEntries
from fhir_server.store.hashing import value_hash
from fhir_server.store.index_rows import DATES, NUMBERS, STRINGS, index_parameters, literal, text_literal
from fhir_server.store.tables import partition_name, type_ids
from fhir_server.store.texts import add_texts

Method = Literal["C", "U", "D"]


@dataclass(slots=True)
class Change:
    """One resource to write.

    ``expected_version`` is the version it replaces, or None when it must not exist yet; it ``revives`` a deleted one.
    ``content`` is None for a deletion. ``key`` is the row's immutable key (a fresh one for a new resource).
    ``had_contained`` says that the version it replaces contained resources, too.
    """

    resource_type: str
    id: str
    key: int
    version: int
    last_updated: datetime
    method: Method
    content: bytes | None
    entries: IndexEntries
    expected_version: int | None = None
    revives: bool = False
    contained: Sequence[Contained] = ()
    had_contained: bool = False


@cache
def _insert_sql(resource_type: str) -> str:
    """New resources of one type, with their index rows."""
    return f"""
WITH s AS ({STRINGS}), d AS ({DATES}), n AS ({NUMBERS})
INSERT INTO {partition_name(resource_type)}
  (tenant, type, key, reference_hash, last_updated, version, method, id, tokens, content)
SELECT %s, {type_ids()[resource_type]}, x.key, x.reference_hash, %s, x.version, x.method, x.id, x.tokens::int8[], x.content
FROM unnest(%s::int8[], %s::int8[], %s::int4[], %s::text[], %s::text[], %s::text[], %s::bytea[])
  AS x(key, reference_hash, version, method, id, tokens, content)"""  # noqa: S608 - names come from the definitions


# Replaces the range rows of what ``u`` updated. ``= ANY (ARRAY(...))`` keeps the planner on the indexes whatever it
# believes about the number of rows.
_WRITTEN = " JOIN u ON u.key = x.key"
_RANGES = f"""ds AS (DELETE FROM string_index WHERE tenant = %s AND key = ANY (ARRAY(SELECT key FROM u))),
dd AS (DELETE FROM date_index WHERE tenant = %s AND key = ANY (ARRAY(SELECT key FROM u))),
dn AS (DELETE FROM number_index WHERE tenant = %s AND key = ANY (ARRAY(SELECT key FROM u))),
s AS ({STRINGS}{_WRITTEN}), d AS ({DATES}{_WRITTEN}), n AS ({NUMBERS}{_WRITTEN})
SELECT count(*) FROM u"""  # noqa: S608 - constants only


@cache
def _update_sql(resource_type: str) -> str:
    """New versions of existing resources of one type; touches only rows that still have the expected version.

    The rows of ``old`` and ``seen`` come from the statement's snapshot, that is from before the update. A row that
    reindexing rewrote since (its ``xmin`` tells) is left alone, for its new range rows are not among those seen here.
    """
    table, type_id = partition_name(resource_type), type_ids()[resource_type]
    return f"""
WITH u AS (
  UPDATE {table} AS r SET version = x.version, last_updated = %s, method = x.method, tokens = x.tokens::int8[],
    content = x.content
  FROM unnest(%s::int4[], %s::int4[], %s::text[], %s::text[], %s::text[], %s::bytea[])
    AS x(expected, version, method, id, tokens, content)
    JOIN {table} AS seen ON seen.tenant = %s AND seen.type = {type_id} AND seen.id = x.id
  WHERE r.tenant = %s AND r.type = {type_id} AND r.id = x.id AND r.version = x.expected AND r.xmin = seen.xmin
  RETURNING r.key, r.id),
h AS (
  INSERT INTO resource_history (tenant, type, version, last_updated, method, id, content)
  SELECT old.tenant, old.type, old.version, old.last_updated, old.method, old.id, old.content
  FROM {table} AS old WHERE old.tenant = %s AND old.type = {type_id} AND old.id = ANY (ARRAY(SELECT id FROM u))),
{_RANGES}"""  # noqa: S608 - names come from the definitions


@cache
def _rewrite_sql(resource_type: str) -> str:
    """New index entries of resources of one type that still have the version they were made from."""
    return f"""
WITH u AS (
  UPDATE {partition_name(resource_type)} AS r SET tokens = x.tokens::int8[]
  FROM unnest(%s::int4[], %s::text[], %s::text[]) AS x(version, id, tokens)
  WHERE r.tenant = %s AND r.type = {type_ids()[resource_type]} AND r.id = x.id AND r.version = x.version
  RETURNING r.key),
{_RANGES}"""  # noqa: S608 - names come from the definitions


def _tokens(change: Change) -> str:
    return literal(change.entries.tokens)


async def _insert(session: Session, tenant: int, resource_type: str, changes: Sequence[Change]) -> None:
    await session.execute(
        _insert_sql(resource_type),
        [
            *index_parameters(tenant, changes),
            tenant,
            changes[0].last_updated,
            literal(c.key for c in changes),
            literal(value_hash(f"{resource_type}/{c.id}") for c in changes),
            literal(c.version for c in changes),
            literal(c.method for c in changes),
            text_literal(c.id for c in changes),
            text_literal(map(_tokens, changes)),
            [c.content for c in changes],
        ],
    )


async def _update(session: Session, tenant: int, resource_type: str, changes: Sequence[Change]) -> None:
    rows = await session.fetch(
        _update_sql(resource_type),
        [
            changes[0].last_updated,
            literal(c.expected_version for c in changes),
            literal(c.version for c in changes),
            literal(c.method for c in changes),
            text_literal(c.id for c in changes),
            text_literal(map(_tokens, changes)),
            [c.content for c in changes],
            *[tenant] * 6,  # what is seen, update, history, and the deletions of three indexes
            *index_parameters(tenant, changes),
        ],
    )
    if rows[0][0] != len(changes):
        raise Conflict("Another request changed the same resource at the same time; try again.")


async def write(session: Session, tenant: int, changes: Sequence[Change]) -> None:
    """Write all changes; raises Conflict when one meets another version than it expects.

    Types are written in sorted order, so that concurrent Bundles take row locks in the same order. Several changes must run in a
    transaction; all changes of one call share ``last_updated``.
    """
    containing = [change for change in changes if change.contained or change.had_contained]
    if not containing:
        await _write(session, tenant, changes)
        return
    async with session.transaction():  # a savepoint where there is one already
        await _write(session, tenant, changes)
        await replace_contained(session, tenant, containing)


async def _write(session: Session, tenant: int, changes: Sequence[Change]) -> None:
    inserts: dict[str, list[Change]] = defaultdict(list)
    updates: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        (inserts if change.expected_version is None else updates)[change.resource_type].append(change)
    await add_texts(
        session,
        tenant,
        [change.entries for change in changes] + [inner.entries for change in changes for inner in change.contained],
    )
    for resource_type in sorted(inserts.keys() | updates.keys()):
        if updates[resource_type]:
            await _update(session, tenant, resource_type, sorted(updates[resource_type], key=lambda c: c.id))
        if inserts[resource_type]:
            await _insert(session, tenant, resource_type, inserts[resource_type])


async def rewrite_entries(session: Session, tenant: int, changes: Sequence[Change]) -> int:
    """Replace the index entries of resources of one type, where ``version`` is still the current one; return of how many.

    Makes no new version and leaves ``last_updated`` as it is.
    """
    await add_texts(session, tenant, [change.entries for change in changes])
    ordered = sorted(changes, key=lambda c: c.id)
    rows = await session.fetch(
        _rewrite_sql(changes[0].resource_type),
        [
            literal(c.version for c in ordered),
            text_literal(c.id for c in ordered),
            text_literal(map(_tokens, ordered)),
            *[tenant] * 4,  # the update, and the deletions of three indexes
            *index_parameters(tenant, ordered),
        ],
    )
    return int(rows[0][0])
