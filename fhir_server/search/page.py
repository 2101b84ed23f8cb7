"""The statement for one page of matches, https://hl7.org/fhir/R4/search.html#sort.

Three ways to the same page: in the order of the row's own columns, by an index; in the order of one range table, by its
index (``by_value``); or by sorting all matches, whose values are looked up or computed one by one. The last is the
quickest when few match, which only the search itself can tell: asked to, it gives up after MOST_SORTED matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.types.numeric import Int4, Int8
from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    SmallInteger,
    Text,
    and_,
    case,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql.elements import CompilerElement

from fhir_server.search import sql
from fhir_server.search.bound import SortKey
from fhir_server.search.by_value import ByValue
from fhir_server.search.chain import as_array
from fhir_server.search.condition import INT8, Scope, current
from fhir_server.search.order import Position, after, directed, newest_first, ordering, sort_value
from fhir_server.search.rewrites import Rewritten
from fhir_server.search.statement import Blueprint, Run, row_of, run, scope_for, table_of
from fhir_server.store.tables import type_ids

MOST_SORTED = 500
COLUMNS = 5
"""How many columns a row begins with: key, id, version, last_updated, content."""
# What the database shows, as text; it changes with every commit. A transaction that wrote sees more than this tells.
_STATE = (
    "(SELECT CASE WHEN pg_current_xact_id_if_assigned() IS NULL THEN "
    "concat_ws(' ', pg_postmaster_start_time(), current_database(), pg_current_snapshot()) END)"
)


def by_one_value(sort: Sequence[SortKey]) -> bool:
    """Whether the order is that of a single range table."""
    return len(sort) == 1 and sort[0].parameter is not None


def _backwards(position: Position | None) -> bool:
    return position is not None and position.backwards


def _position_of(position: Position | None) -> tuple[Any, list[Any]]:
    return (None, []) if position is None else (position.shape, position.values())


def _parameters(query: Rewritten) -> list[Any]:
    return [Int4(key.parameter) for key in query.sort if key.parameter is not None]


def page(query: Rewritten, position: Position | None, *, few: bool = False, state: str | None = None) -> Run:
    """Return the statement for one page and one row more: key, id, version, last_updated, content, sort values.

    Before a position the rows come backwards, the nearest first.
    ``few`` sorts at most MOST_SORTED matches, by one value or by key; the next column tells how many of them, up to one
    more, there are, and when there are more the rows mean nothing. With a ``state`` of the database two more columns are
    its state now (NULL in a transaction that wrote) and the number of all matches, NULL when the state is still the same.
    """
    place, values = _position_of(position)
    shape = (
        "page",
        query.resource_type,
        query.where.shape,
        tuple(k.shape for k in query.sort),
        place,
        few,
        state is None,
    )
    parameters = [Int4(query.tenant), *query.where.values(), *_parameters(query), *values, Int8(query.count + 1)]
    if state is not None:
        parameters += [state, *query.where.values()]
    return run(Blueprint(shape, lambda: _page(query, position, few=few, counted=state is not None)), parameters)


def _page(query: Rewritten, position: Position | None, *, few: bool, counted: bool) -> CompilerElement:
    scope = scope_for(query)
    made = _ordered(query, position, scope, few=few)
    if not counted:
        return made
    known = scope.binds.take(Text())
    state: ColumnElement[str] = literal_column(_STATE, Text())
    number = sql.count(query, scope).scalar_subquery()
    return made.add_columns(state, case((state == known, null()), else_=number))


def _ordered(query: Rewritten, position: Position | None, scope: Scope, *, few: bool = False) -> Select[Any]:
    where = current(query.resource_type, query.where, scope)
    if by_one_value(query.sort) and not few:
        parameter = scope.binds.take(Integer())
        return ByValue(query.sort[0], row_of(scope), where, parameter, scope, _backwards(position)).page(position)
    if not few and all(key.is_column for key in query.sort):
        columns, own = [scope.table.c[key.source] for key in query.sort], scope.table.c.key
        if position:
            where = and_(where, after(query.sort, columns, own, position, scope))
        labelled = [column.label(f"s{number}") for number, column in enumerate(columns)]
        order = ordering(query.sort, columns, own, backwards=_backwards(position))
        found = select(*row_of(scope), *labelled).where(where).order_by(*order)
        return found.limit(scope.binds.take(INT8))
    if few and not query.sort:
        return _by_key(query, where, position, scope)
    return _sorted(query, select(*row_of(scope)).where(where), position, scope, few=few)


def _by_key(query: Rewritten, where: ColumnElement[bool], position: Position | None, scope: Scope) -> Select[Any]:
    """Return the page in the order of keys: these are sorted by themselves, and only the page's rows are read."""
    own = scope.table.c
    found = select(own.key).where(where).limit(literal_column(str(MOST_SORTED + 1))).cte(f"matches{scope.binds.count}")
    number = select(func.count()).select_from(found).scalar_subquery()
    backwards = _backwards(position)
    chosen = select(found.c.key).order_by(*ordering((), (), found.c.key, backwards=backwards))
    if position:
        # A row must tell that there were too many.
        beyond = after((), (), found.c.key, position, scope)
        chosen = chosen.where(or_(beyond, number > literal_column(str(MOST_SORTED))))
    keys = as_array(chosen.limit(scope.binds.take(INT8)))
    type_: ColumnElement[int] = literal_column(str(type_ids()[query.resource_type]))
    rows = select(*row_of(scope), number).where(
        own.tenant == scope.tenant, own.type == type_, own.key == func.any(keys)
    )
    return rows.order_by(*ordering((), (), own.key, backwards=backwards))


def _sorted(
    query: Rewritten, matches: Select[Any], position: Position | None, scope: Scope, *, few: bool
) -> Select[Any]:
    """Return the page that sorts the matches."""
    name = f"matches{scope.binds.count}"
    found: FromClause = matches.limit(literal_column(str(MOST_SORTED + 1))).cte(name) if few else matches.subquery(name)
    values = [sort_value(key, found, scope).label(f"s{number}") for number, key in enumerate(query.sort)]
    # OFFSET keeps PostgreSQL from computing the values anew wherever they are used.
    valued = select(found, *values).offset(literal_column("0")).subquery(f"valued{scope.binds.count}")
    columns: list[ColumnElement[Any]] = [valued.c[value.name] for value in values]
    order = ordering(query.sort, columns, valued.c.key, backwards=_backwards(position))
    chosen = select(valued).order_by(*order)
    number = select(func.count()).select_from(found).scalar_subquery()
    if position:
        beyond = after(query.sort, columns, valued.c.key, position, scope)
        # A row must tell that there were too many.
        chosen = chosen.where(or_(beyond, number > literal_column(str(MOST_SORTED))) if few else beyond)
    if few:
        chosen = chosen.add_columns(number)
    return chosen.limit(scope.binds.take(INT8))


def number_of(query: Rewritten) -> int:
    """Return what tells the rows of several queries apart: the type's number, negative for contained resources."""
    number = type_ids()[query.resource_type]
    return -number if query.contained == "true" else number


def together(queries: Sequence[Rewritten], positions: Sequence[Position | None]) -> Run:
    """Return the statement for one page of queries on different types: a number (see ``number_of``), then as for ``page``."""
    shape: list[Any] = ["together"]
    values: list[Any] = [Int4(queries[0].tenant)]
    for query, position in zip(queries, positions, strict=True):
        place, given = _position_of(position)
        shape.append((query.resource_type, query.where.shape, tuple(k.shape for k in query.sort), place))
        values += [*query.where.values(), *_parameters(query), *given, Int8(query.count + 1)]
    blueprint = Blueprint(tuple(shape), lambda: _together(queries, positions))
    return run(blueprint, [*values, Int8(queries[0].count + 1)])


def _together(queries: Sequence[Rewritten], positions: Sequence[Position | None]) -> CompilerElement:
    scope = scope_for(queries[0])
    selects = []
    for query, position in zip(queries, positions, strict=True):
        own = Scope(table_of(query), scope.tenant, scope.binds)
        found = _ordered(query, position, own).subquery(f"page{scope.binds.count}")
        number: Column[int] = literal_column(str(number_of(query)), SmallInteger()).label("type")  # type: ignore[assignment]
        selects.append(select(number, *found.c))
    every = union_all(*selects).subquery("every")
    first, *others = every.c
    sort = queries[0].sort
    backwards = _backwards(positions[0])
    order = ordering(sort, others[COLUMNS:], others[0], backwards=backwards)
    by_type = directed(first, descending=newest_first(sort) != backwards)
    return select(every).order_by(*order, by_type).limit(scope.binds.take(INT8))
