"""From a bound query to SQL: totals, and resources of several types to send along.

https://hl7.org/fhir/R4/search.html. Pages of matches are the matter of ``page``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.numeric import Int2, Int4, Int8
from sqlalchemy import (
    BigInteger,
    ColumnClause,
    ColumnElement,
    Integer,
    Select,
    SmallInteger,
    Text,
    and_,
    cast,
    column,
    func,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import CompilerElement

from fhir_server.search.condition import INT8, Condition, Scope, current
from fhir_server.search.rewrites import Permitted, Rewritten
from fhir_server.search.statement import Blueprint, Run, row_of, run, scope_for, scope_of, table_of
from fhir_server.store.tables import partition, resource_history, type_ids


def total(tenant: int, queries: Sequence[Rewritten]) -> Run:
    """Return the statement that counts all matches of queries on different types."""
    shape = ("total", *((query.resource_type, query.where.shape) for query in queries))
    values = [Int4(tenant), *(value for query in queries for value in query.where.values())]
    return run(Blueprint(shape, lambda: _total(queries)), values)


def _total(queries: Sequence[Rewritten]) -> CompilerElement:
    scope = scope_for(queries[0])
    counts = [count(query, scope) for query in queries]
    if len(counts) == 1:
        return counts[0]
    each = union_all(*counts).subquery("each")
    return select(cast(func.sum(each.c.matches), BigInteger()))


def count(query: Rewritten, scope: Scope) -> Select[Any]:
    """Return the SELECT of one query's number of matches."""
    own = Scope(table_of(query), scope.tenant, scope.binds)
    matches = func.count().label("matches")
    return select(matches).select_from(own.table).where(current(query.resource_type, query.where, own))


def estimate(query: Rewritten) -> Run:
    """Return the statement that asks how many matches the planner expects, as its plan in JSON."""
    shape = ("matches", query.resource_type, query.where.shape)
    text, values = run(Blueprint(shape, lambda: _matches(query)), [Int4(query.tenant), *query.where.values()])
    return f"EXPLAIN (FORMAT JSON) {text}", values


def _matches(query: Rewritten) -> Select[Any]:
    scope = scope_for(query)
    return select(scope.table.c.key).where(current(query.resource_type, query.where, scope))


@dataclass(frozen=True, slots=True)
class Part:
    """Resources of one type to send along: those that fulfil both what asked for them and what the caller may read."""

    resource_type: str
    wanted: Condition
    allowed: Permitted

    @property
    def shape(self) -> Hashable:
        """All that the SQL text depends on."""
        return self.resource_type, self.wanted.shape, self.allowed.shape

    def values(self) -> Iterator[Any]:
        """Yield the parameters in the order of the text."""
        yield from self.wanted.values()
        yield from self.allowed.values()


PastVersion = tuple[str, str, int]
"""Type, id and version."""


def included(tenant: int, parts: Sequence[Part], most: int, past: Sequence[PastVersion] = ()) -> Run:
    """Return the statement that reads all parts and superseded versions, ``most`` rows at most.

    Its rows: the type, then the columns of ``page``; the key of a superseded version is NULL.
    """
    values = [Int4(tenant), *(value for part in parts for value in part.values())]
    if past:
        names, ids, versions = zip(*past, strict=True)
        numbers = [Int2(type_ids()[name]) for name in names]
        values += [list(names), numbers, list(ids), [Int4(version) for version in versions]]
    shape = ("included", bool(past), *(part.shape for part in parts))
    return run(Blueprint(shape, lambda: _included(parts, bool(past))), [*values, Int8(most)])


def _included(parts: Sequence[Part], past: bool) -> CompilerElement:
    scope = scope_of(parts[0].resource_type)
    selects = []
    for part in parts:
        own = Scope(partition(part.resource_type), scope.tenant, scope.binds)
        where = and_(current(part.resource_type, part.wanted, own), part.allowed.clause(own))
        selects.append(select(literal_column(f"'{part.resource_type}'"), *row_of(own)).where(where))
    if past:
        selects.append(_superseded(scope))
    return union_all(*selects).limit(scope.binds.take(INT8))


def _superseded(scope: Scope) -> Select[Any]:
    take, history = scope.binds.take, resource_history.c
    arrays = [take(ARRAY(Text)), take(ARRAY(SmallInteger)), take(ARRAY(Text)), take(ARRAY(Integer))]
    names: list[ColumnClause[Any]] = [
        column("name", Text),
        column("type", SmallInteger),
        column("id", Text),
        column("version", Integer),
    ]
    sought = func.unnest(*arrays).table_valued(*names, name="sought").render_derived()
    key: ColumnElement[Any] = cast(null(), BigInteger)
    return (
        select(sought.c.name, key, history.id, history.version, history.last_updated, history.content)
        .join(sought, and_(history.type == sought.c.type, history.id == sought.c.id))
        .where(history.tenant == scope.tenant, history.version == sought.c.version, history.content.is_not(None))
    )


def in_order(tenant: int, parts: Sequence[Part], after: int | None, most: int, *, few: bool = False) -> Run:
    """Return the statement for all parts one after the other, each by key, ``most`` rows at most.

    The first part starts after the key ``after``, if that is given. Its rows: the part's number, then the columns of ``page``.
    ``few`` says that of each type few are wanted: they are found by what they must fulfil and then sorted, never by going
    through the type in the order of keys. So one plan is good for all values, and planning is saved.
    """
    values = [Int4(tenant), *(value for part in parts for value in (*part.values(), Int8(most)))]
    values += [] if after is None else [Int8(after)]
    shape = ("in_order", few, after is None, *(part.shape for part in parts))
    return run(Blueprint(shape, lambda: _in_order(parts, after, few)), [*values, Int8(most)])


def _in_order(parts: Sequence[Part], after: int | None, few: bool) -> CompilerElement:
    scope = scope_of(parts[0].resource_type)
    selects = []
    for number, part in enumerate(parts):
        own = Scope(partition(part.resource_type), scope.tenant, scope.binds)
        where = and_(current(part.resource_type, part.wanted, own), part.allowed.clause(own))
        place: ColumnElement[int] = literal_column(str(number)).label("place")
        selects.append((own, select(place, *row_of(own)).where(where), own.binds.take(INT8)))
    if after is not None:
        own, first, limit = selects[0]
        selects[0] = own, first.where(own.table.c.key > own.binds.take(INT8)), limit
    # No index has the sum, and a sort by it is the same.
    addend = literal_column("0", Integer) if few else None
    keys = [own.table.c.key if addend is None else own.table.c.key + addend for own, _, _ in selects]
    limited = [s.order_by(key).limit(limit).subquery() for key, (_, s, limit) in zip(keys, selects, strict=True)]
    together = union_all(*[select(chosen) for chosen in limited])
    return together.order_by(literal_column("1"), literal_column("2")).limit(scope.binds.take(INT8))
