"""Writing resources: versions, history and index rows in one statement per type and kind of change.

Each statement is atomic by itself, so a single create needs no explicit transaction; a Bundle runs several inside one.
Parameters travel as array literals, one array per column, so one row and five hundred take the same statement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from fhir_server.errors import Conflict
from fhir_server.store.database import Session
from fhir_server.store.entries import IndexEntries
from fhir_server.store.hashing import value_hash
from fhir_server.store.tables import partition_name, type_ids

Method = Literal["C", "U", "D"]


@dataclass(slots=True)
class Change:
    """One resource to write.

    ``expected_version`` is the version it replaces, or None when it must not exist yet; it ``revives`` a deleted one.
    ``content`` is None for a deletion. ``key`` is the row's immutable key (a fresh one for a new resource).
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


_STRINGS = """INSERT INTO string_index (tenant, parameter, key, value)
  SELECT %s, x.parameter, x.key, x.value FROM unnest(%s::int4[], %s::int8[], %s::text[]) AS x(parameter, key, value)"""
_DATES = """INSERT INTO date_index (tenant, parameter, key, low, high)
  SELECT %s, x.parameter, x.key, x.low, x.high
  FROM unnest(%s::int4[], %s::int8[], %s::int8[], %s::int8[]) AS x(parameter, key, low, high)"""
_NUMBERS = """INSERT INTO number_index (tenant, parameter, key, value, low, high, system_code, code, unit)
  SELECT %s, x.parameter, x.key, x.value, x.low, x.high, x.system_code, x.code, x.unit
  FROM unnest(%s::int4[], %s::int8[], %s::numeric[], %s::numeric[], %s::numeric[], %s::int8[], %s::int8[], %s::int8[])
  AS x(parameter, key, value, low, high, system_code, code, unit)"""


@cache
def _insert_sql(resource_type: str) -> str:
    """New resources of one type, with their index rows."""
    return f"""
WITH s AS ({_STRINGS}), d AS ({_DATES}), n AS ({_NUMBERS})
INSERT INTO {partition_name(resource_type)}
  (tenant, type, key, reference_hash, last_updated, version, method, id, tokens, content)
SELECT %s, {type_ids()[resource_type]}, x.key, x.reference_hash, %s, x.version, x.method, x.id, x.tokens::int8[], x.content
FROM unnest(%s::int8[], %s::int8[], %s::int4[], %s::text[], %s::text[], %s::text[], %s::bytea[])
  AS x(key, reference_hash, version, method, id, tokens, content)"""  # noqa: S608 - names come from the definitions


@cache
def _update_sql(resource_type: str) -> str:
    """New versions of existing resources of one type; touches only rows that still have the expected version.

    The rows of ``old`` come from the statement's snapshot, that is from before the update. ``= ANY (ARRAY(...))`` keeps the planner
    on the indexes whatever it believes about the number of rows.
    """
    table, type_id = partition_name(resource_type), type_ids()[resource_type]
    written = " JOIN u ON u.key = x.key"
    return f"""
WITH u AS (
  UPDATE {table} AS r SET version = x.version, last_updated = %s, method = x.method, tokens = x.tokens::int8[],
    content = x.content
  FROM unnest(%s::int4[], %s::int4[], %s::text[], %s::text[], %s::text[], %s::bytea[])
    AS x(expected, version, method, id, tokens, content)
  WHERE r.tenant = %s AND r.type = {type_id} AND r.id = x.id AND r.version = x.expected
  RETURNING r.key, r.id),
h AS (
  INSERT INTO resource_history (tenant, type, version, last_updated, method, id, content)
  SELECT old.tenant, old.type, old.version, old.last_updated, old.method, old.id, old.content
  FROM {table} AS old WHERE old.tenant = %s AND old.type = {type_id} AND old.id = ANY (ARRAY(SELECT id FROM u))),
ds AS (DELETE FROM string_index WHERE tenant = %s AND key = ANY (ARRAY(SELECT key FROM u))),
dd AS (DELETE FROM date_index WHERE tenant = %s AND key = ANY (ARRAY(SELECT key FROM u))),
dn AS (DELETE FROM number_index WHERE tenant = %s AND key = ANY (ARRAY(SELECT key FROM u))),
s AS ({_STRINGS}{written}), d AS ({_DATES}{written}), n AS ({_NUMBERS}{written})
SELECT count(*) FROM u"""  # noqa: S608 - names come from the definitions


def _literal(values: Iterable[Any]) -> str:
    """Return a PostgreSQL array literal of numbers or NULLs."""
    return "{" + ",".join(["NULL" if v is None else str(v) for v in values]) + "}"


def _text_literal(values: Iterable[str]) -> str:
    """Return a PostgreSQL array literal of texts."""
    return "{" + ",".join(['"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]) + "}"


def _index_parameters(tenant: int, changes: Sequence[Change]) -> list[Any]:
    """Return the parameters of the three index statements, in their order."""
    strings = [(c.key, e) for c in changes for e in c.entries.strings]
    dates = [(c.key, e) for c in changes for e in c.entries.dates]
    numbers = [(c.key, e) for c in changes for e in c.entries.numbers]
    return [
        tenant,
        _literal(e.parameter for _, e in strings),
        _literal(k for k, _ in strings),
        _text_literal(e.value for _, e in strings),
        tenant,
        _literal(e.parameter for _, e in dates),
        _literal(k for k, _ in dates),
        _literal(e.low for _, e in dates),
        _literal(e.high for _, e in dates),
        tenant,
        _literal(e.parameter for _, e in numbers),
        _literal(k for k, _ in numbers),
        _literal(e.value for _, e in numbers),
        _literal(e.low for _, e in numbers),
        _literal(e.high for _, e in numbers),
        _literal(e.system_code for _, e in numbers),
        _literal(e.code for _, e in numbers),
        _literal(e.unit for _, e in numbers),
    ]


def _tokens(change: Change) -> str:
    return _literal(change.entries.tokens)


async def _insert(session: Session, tenant: int, resource_type: str, changes: Sequence[Change]) -> None:
    await session.execute(
        _insert_sql(resource_type),
        [
            *_index_parameters(tenant, changes),
            tenant,
            changes[0].last_updated,
            _literal(c.key for c in changes),
            _literal(value_hash(f"{resource_type}/{c.id}") for c in changes),
            _literal(c.version for c in changes),
            _literal(c.method for c in changes),
            _text_literal(c.id for c in changes),
            _text_literal(map(_tokens, changes)),
            [c.content for c in changes],
        ],
    )


async def _update(session: Session, tenant: int, resource_type: str, changes: Sequence[Change]) -> None:
    rows = await session.fetch(
        _update_sql(resource_type),
        [
            changes[0].last_updated,
            _literal(c.expected_version for c in changes),
            _literal(c.version for c in changes),
            _literal(c.method for c in changes),
            _text_literal(c.id for c in changes),
            _text_literal(map(_tokens, changes)),
            [c.content for c in changes],
            *[tenant] * 5,  # update, history, and the deletions of three indexes
            *_index_parameters(tenant, changes),
        ],
    )
    if rows[0][0] != len(changes):
        raise Conflict("Another request changed the same resource at the same time; try again.")


async def write(session: Session, tenant: int, changes: Sequence[Change]) -> None:
    """Write all changes; raises Conflict when one meets another version than it expects.

    Types are written in sorted order, so that concurrent Bundles take row locks in the same order. Several changes must run in a
    transaction; all changes of one call share ``last_updated``.
    """
    inserts: dict[str, list[Change]] = defaultdict(list)
    updates: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        (inserts if change.expected_version is None else updates)[change.resource_type].append(change)
    for resource_type in sorted(inserts.keys() | updates.keys()):
        if updates[resource_type]:
            await _update(session, tenant, resource_type, sorted(updates[resource_type], key=lambda c: c.id))
        if inserts[resource_type]:
            await _insert(session, tenant, resource_type, inserts[resource_type])
