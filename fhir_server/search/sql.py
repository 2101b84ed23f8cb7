"""From a bound query to one SELECT, https://hl7.org/fhir/R4/search.html.

SQLAlchemy compiles each shape of query once; afterwards a query costs only the collection of its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from psycopg.types.numeric import Int4, Int8
from sqlalchemy import ColumnElement, Integer, Select, and_, func, literal_column, select, true, union_all
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.elements import CompilerElement

from fhir_server.search.by_value import ByValue
from fhir_server.search.condition import INT8, Binds, Condition, Scope, current
from fhir_server.search.order import Position, after, ordering, sort_columns
from fhir_server.search.rewrites import Permitted, Rewritten
from fhir_server.store.tables import partition

_DIALECT = PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]
Run = tuple[str, list[Any]]
"""SQL text with ``%s`` for parameters, and the parameters."""


@dataclass(frozen=True, slots=True)
class _Blueprint:
    """A statement to compile; equal shapes compile to equal texts."""

    shape: Hashable
    build: Callable[[], CompilerElement] = field(compare=False)


@lru_cache(maxsize=1024)
def _compile(blueprint: _Blueprint) -> tuple[str, tuple[int, ...]]:
    """Return the text, and for each ``%s`` in it which of the values it takes."""
    compiled: Any = blueprint.build().compile(dialect=_DIALECT)
    return compiled.string, tuple(int(name.removeprefix("v")) for name in compiled.positiontup)


def _run(blueprint: _Blueprint, values: Sequence[Any]) -> Run:
    text, order = _compile(blueprint)
    return text, [values[i] for i in order]


def page(query: Rewritten, position: Position | None) -> Run:
    """Return the statement for one page and one row more: key, id, version, last_updated, content, sort values."""
    order = tuple(key.shape for key in query.sort), position and position.shape
    shape = ("page", query.resource_type, query.where.shape, order)
    values = [Int4(query.tenant), *query.where.values()]
    values += [Int4(key.parameter) for key in query.sort if key.parameter is not None]
    values += position.values() if position else ()
    values.append(Int8(query.count + 1))
    return _run(_Blueprint(shape, lambda: _page(query, position)), values)


def _page(query: Rewritten, position: Position | None) -> Select[Any]:
    scope = _scope(query.resource_type)
    where = current(query.resource_type, query.where, scope)
    if len(query.sort) == 1 and query.sort[0].parameter is not None:
        parameter = scope.binds.take(Integer())
        return ByValue(query.sort[0], _row(scope), where, parameter, scope).page(position)
    columns, joins = sort_columns(query.sort, scope)
    source: Any = scope.table
    for join in joins:
        source = source.join(join, true())
    if position:
        where = and_(where, after(query.sort, columns, position, scope))
    return (
        select(*_row(scope), *columns)
        .select_from(source)
        .where(where)
        .order_by(*ordering(query.sort, columns, scope))
        .limit(scope.binds.take(INT8))
    )


def total(query: Rewritten) -> Run:
    """Return the statement that counts all matches."""
    shape = ("total", query.resource_type, query.where.shape)
    values = [Int4(query.tenant), *query.where.values()]
    return _run(_Blueprint(shape, lambda: _total(query)), values)


def _total(query: Rewritten) -> Select[Any]:
    scope = _scope(query.resource_type)
    return select(func.count()).select_from(scope.table).where(current(query.resource_type, query.where, scope))


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


def included(tenant: int, parts: Sequence[Part], most: int) -> Run:
    """Return the statement that reads all parts, ``most`` rows at most: type, then the columns of ``page``."""
    values = [Int4(tenant), *(value for part in parts for value in part.values()), Int8(most)]
    return _run(_Blueprint(("included", *(part.shape for part in parts)), lambda: _included(parts)), values)


def _included(parts: Sequence[Part]) -> CompilerElement:
    scope = _scope(parts[0].resource_type)
    selects = []
    for part in parts:
        own = Scope(partition(part.resource_type), scope.tenant, scope.binds)
        where = and_(current(part.resource_type, part.wanted, own), part.allowed.clause(own))
        selects.append(select(literal_column(f"'{part.resource_type}'"), *_row(own)).where(where))
    return union_all(*selects).limit(scope.binds.take(INT8))


def _scope(resource_type: str) -> Scope:
    binds = Binds()
    table = partition(resource_type)
    return Scope(table, binds.take(table.c.tenant.type), binds)


def _row(scope: Scope) -> list[ColumnElement[Any]]:
    columns = scope.table.c
    return [columns.key, columns.id, columns.version, columns.last_updated, columns.content]
