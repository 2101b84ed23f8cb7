"""A page in the order of one parameter's values, https://hl7.org/fhir/R4/search.html#sort.

When most resources match, the range table's index gives the order, and a page reads little more than itself; when few
match, they are sorted. Resources without a value come last and are only looked for once those with a value run out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    Table,
    and_,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union_all,
)

from fhir_server.search.bound import SortKey
from fhir_server.search.condition import INT8, Scope
from fhir_server.search.order import SORT_TYPES, SORT_VALUES, Position

Columns = Sequence[ColumnElement[Any]]


def page_by_value(
    key: SortKey, columns: Columns, where: ColumnElement[bool], position: Position | None, scope: Scope
) -> Select[Any]:
    """Return the statement for a page ordered by one key of a range table; ``columns`` begin with the resource's key."""
    parameter = scope.binds.take(Integer())
    if position is None:
        bounds: tuple[BindParameter[Any], ...] = ()
    elif position.sort_values[0] is None:
        bounds = (scope.binds.take(INT8),)
    else:
        bounds = (scope.binds.take(SORT_TYPES[key.source]), scope.binds.take(INT8))
    limit = scope.binds.take(INT8)
    lacking = _lacking(key, columns, where, parameter, scope)
    if len(bounds) == 1:
        own = scope.table.c.key
        return lacking.where(own < bounds[0] if key.descending else own > bounds[0]).limit(limit)
    having = _having(key, columns, where, parameter, scope, bounds).limit(limit).cte("having_value")
    enough = select(func.count()).select_from(having).scalar_subquery() >= limit
    both = union_all(select(having), lacking.where(~enough).limit(limit)).subquery()
    value, own = both.c.sort_value, both.c.key
    order = (value.desc(), own.desc()) if key.descending else (value.asc(), own.asc())
    return select(both).order_by(order[0].nulls_last(), order[1]).limit(limit)


def _having(
    key: SortKey,
    columns: Columns,
    where: ColumnElement[bool],
    parameter: BindParameter[int],
    scope: Scope,
    bounds: Sequence[BindParameter[Any]],
) -> Select[Any]:
    """Return the matches that have a value, each by its least or, descending, greatest one, after the bounds if any."""
    value = SORT_VALUES[key.source]
    assert isinstance(value.table, Table)  # noqa: S101 - a column of a table
    table, other = value.table, value.table.alias("other")
    row, other_row = literal_column(f"{table.name}.ctid"), literal_column("other.ctid")
    better = other.c[value.name] > value if key.descending else other.c[value.name] < value
    surpassed = exists().where(
        other.c.tenant == scope.tenant,
        other.c.key == table.c.key,
        other.c.parameter == parameter,
        or_(better, and_(other.c[value.name] == value, other_row > row)),
    )
    own = scope.table.c.key
    found = (
        select(*columns, value.label("sort_value"))
        .join(table, table.c.key == own)
        .where(table.c.tenant == scope.tenant, table.c.parameter == parameter, where, ~surpassed)
        .order_by(*((value.desc(), own.desc()) if key.descending else (value.asc(), own.asc())))
    )
    if bounds:
        place, bound = tuple_(value, own), tuple_(*bounds)
        found = found.where(place < bound if key.descending else place > bound)
        # Follows from the line above, and lets the index scan start there: the row comparison spans two tables.
        found = found.where(value <= bounds[0] if key.descending else value >= bounds[0])
    return found


def _lacking(
    key: SortKey, columns: Columns, where: ColumnElement[bool], parameter: BindParameter[int], scope: Scope
) -> Select[Any]:
    """Return the matches without a value."""
    value = SORT_VALUES[key.source]
    table = value.table.c
    own = scope.table.c.key
    valued = exists().where(table.tenant == scope.tenant, table.key == own, table.parameter == parameter)
    order = own.desc() if key.descending else own.asc()
    return select(*columns, null().label("sort_value")).where(where, ~valued).order_by(order)
