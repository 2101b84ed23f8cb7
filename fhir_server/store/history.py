"""Reading versions, newest first: of one resource, of types, of everything, https://hl7.org/fhir/R4/http.html#history.

One statement a page. The current versions stand in the partitions, which are addressed one by one: each offers its rows
in order from its index over ``last_updated``, so PostgreSQL merges them and reads little more than the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple

from fhir_server.store.database import Session
from fhir_server.store.read import Version
from fhir_server.store.tables import partition_name, type_ids


class Place(NamedTuple):
    """Where a page ended: the last version on it."""

    last_updated: datetime
    resource_type: str
    id: str
    version: int


class Past(NamedTuple):
    """A version in a history.

    ``replaced`` is the method of the version before it, None for the first; ``deleted`` what a deletion deleted.
    """

    resource_type: str
    version: Version
    replaced: str | None
    deleted: bytes | None


@dataclass(frozen=True, slots=True)
class Window:
    """The times that are asked for, aware.

    Versions stored at ``since`` or later; versions that were current at some moment of [start, end).
    """

    since: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it leaves nothing out."""
        return self.since is None and self.start is None


_VERSION = "type, id, version, last_updated, method, content"
# How many rows a statement may ask for. They stand in its text, since a plan made for any number is one for too many.
_SIZES = (2, 11, 21, 51, 101, 251, 501, 1001)
_NEWEST_FIRST = "last_updated DESC, type DESC, id DESC, version DESC"
_NOT_LATER = (
    "last_updated <= %(last_updated)s AND "
    "(last_updated, type, id, version) < (%(last_updated)s, %(last_type)s, %(last_id)s, %(last_version)s)"
)


def _conditions(*, instance: bool, window: tuple[bool, bool], after: bool) -> str:
    """Return what any version must fulfil, beyond its tenant and type."""
    since, at = window
    out = ""
    if instance:
        out += " AND id = %(id)s"
    if since:
        out += " AND last_updated >= %(since)s"
    if at:
        out += " AND last_updated < %(end)s"
    if after:
        out += " AND version < %(last_version)s" if instance else f" AND {_NOT_LATER}"
    return out


def _still_current(current: str) -> str:
    """Return the condition that no later version was there when the period began.

    Scalar subqueries, since PostgreSQL would make joins over whole tables of NOT EXISTS.
    """
    same = "tenant = h.tenant AND {0}.type = h.type AND {0}.id = h.id AND {0}.last_updated <= %(start)s LIMIT 1"
    later = f"SELECT true FROM resource_history AS n WHERE n.version > h.version AND n.{same.format('n')}"  # noqa: S608
    now = f"SELECT true FROM {current} AS c WHERE c.{same.format('c')}"  # noqa: S608
    return f" AND NOT COALESCE(({later}), false) AND NOT COALESCE(({now}), false)"


@lru_cache(maxsize=4096)
def _sql(
    types: tuple[str, ...], *, instance: bool, window: tuple[bool, bool], after: bool, total: bool, limit: int
) -> str:
    ids = type_ids()
    conditions = _conditions(instance=instance, window=window, after=after)
    order = "version DESC" if instance else _NEWEST_FIRST
    # Each branch stops at a page's length, in the order of its index; what shares the last instant is sorted afterwards.
    page = f"ORDER BY {order.partition(',')[0]} FETCH FIRST {limit} ROWS WITH TIES"
    branches = [
        f"(SELECT {_VERSION} FROM {partition_name(name)} "  # noqa: S608 - names come from the definitions
        f"WHERE tenant = %(tenant)s AND type = {ids[name]}{conditions} {page})"
        for name in types
    ]
    if len(types) == 1:
        past, current = f" AND type = {ids[types[0]]}", partition_name(types[0])
    else:
        past = "" if len(types) == len(ids) else f" AND type = ANY ('{{{','.join(str(ids[t]) for t in types)}}}')"
        current = "resource"
    past += conditions + (_still_current(current) if window[1] else "")
    branches.append(f"(SELECT {_VERSION} FROM resource_history AS h WHERE tenant = %(tenant)s{past} {page})")  # noqa: S608
    number = (
        f"(SELECT 1 + count(*) FROM resource_history WHERE tenant = %(tenant)s{past})"  # noqa: S608
        if total
        else "NULL::int8"
    )
    return f"""
SELECT v.type, v.id, v.version, v.last_updated, v.method, v.content, p.method,
  CASE WHEN v.method = 'D' THEN p.content END, {number}
FROM (SELECT * FROM ({" UNION ALL ".join(branches)}) AS a ORDER BY {order} LIMIT {limit}) AS v
LEFT JOIN LATERAL (
  SELECT method, content FROM resource_history AS o
  WHERE o.tenant = %(tenant)s AND o.type = v.type AND o.id = v.id AND o.version < v.version
  ORDER BY o.version DESC LIMIT 1) AS p ON v.version > 1
ORDER BY {order}"""  # noqa: S608


@cache
def _names() -> dict[int, str]:
    return {number: name for name, number in type_ids().items()}


async def read_history(
    session: Session,
    tenant: int,
    types: Sequence[str],
    *,
    id_: str | None = None,
    window: Window = Window(),
    after: Place | None = None,
    limit: int,
) -> tuple[list[Past], int | None]:
    """Return up to ``limit`` (at most 1,001) versions of some types, or of the one resource ``id_`` of one type, newest first.

    They follow the place ``after``. The second value is the number of all versions of the one resource; None elsewhere,
    and where the window or the place leaves some out.
    """
    instance = id_ is not None
    sql = _sql(
        tuple(types),
        instance=instance,
        window=(window.since is not None, window.start is not None),
        after=after is not None,
        total=instance and after is None and window.is_open,
        limit=next(size for size in _SIZES if size >= limit),
    )
    parameters: dict[str, Any] = {
        "tenant": tenant,
        "id": id_,
        "since": window.since,
        "start": window.start,
        "end": window.end,
    }
    if after is not None:
        parameters |= {
            "last_updated": after.last_updated,
            "last_type": type_ids()[after.resource_type],
            "last_id": after.id,
            "last_version": after.version,
        }
    rows = await session.fetch(sql, parameters)
    found = [
        Past(_names()[type_id], Version(id_, version, updated, method, content, None), replaced, deleted)
        for type_id, id_, version, updated, method, content, replaced, deleted, _ in rows[:limit]
    ]
    return found, rows[0][-1] if rows else None
