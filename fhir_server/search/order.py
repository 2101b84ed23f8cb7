"""The order of matches and what comes after a place in it, https://hl7.org/fhir/R4/search.html#sort.

The resource's key, unique and immutable, is always the last sort key: newest first, or as the key before it runs.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.numeric import Int8
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Numeric,
    Text,
    and_,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.types import TypeEngine

from fhir_server.search.bound import SortKey
from fhir_server.search.condition import INT8, Scope
from fhir_server.store.tables import date_index, number_index, string_index

# A span of time is ordered by its start in both directions.
SORT_VALUES: dict[str, Column[Any]] = {
    "string": string_index.c.value,
    "date": date_index.c.low,
    "number": number_index.c.value,
}
SORT_TYPES: dict[str, TypeEngine[Any]] = {
    "id": Text(),
    "last_updated": DateTime(timezone=True),
    "string": Text(),
    "date": INT8,
    "number": Numeric(),
}


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order: the sort values of a resource, None where it has none, and its key."""

    sort_values: tuple[Any, ...]
    key: int

    @property
    def shape(self) -> Hashable:
        """All that the SQL text depends on."""
        return tuple(value is None for value in self.sort_values)

    def values(self) -> list[Any]:
        """Return the parameters in the order in which ``after`` takes them."""
        present = [Int8(v) if isinstance(v, int) else v for v in self.sort_values if v is not None]
        return [*present, Int8(self.key)]


def sort_columns(sort: Sequence[SortKey], scope: Scope) -> tuple[list[ColumnElement[Any]], list[FromClause]]:
    """Return the column of each sort key, and the lateral subqueries that those of range tables come from."""
    columns: list[ColumnElement[Any]] = []
    joins: list[FromClause] = []
    for number, key in enumerate(sort):
        if key.parameter is None:
            columns.append(scope.table.c[key.source])
            continue
        value = SORT_VALUES[key.source]
        table = value.table.c
        extreme = (func.max if key.descending else func.min)(value).label("value")
        subquery = (
            select(extreme)
            .where(
                table.tenant == scope.tenant,
                table.key == scope.table.c.key,
                table.parameter == scope.binds.take(Integer()),
            )
            .correlate(scope.table)
            .lateral(f"sort{number}")
        )
        joins.append(subquery)
        columns.append(subquery.c.value)
    return columns, joins


def ordering(sort: Sequence[SortKey], columns: Sequence[ColumnElement[Any]], scope: Scope) -> list[ColumnElement[Any]]:
    """Return the ORDER BY list."""
    order: list[ColumnElement[Any]] = []
    for key, column in zip(sort, columns, strict=True):
        directed = column.desc() if key.descending else column.asc()
        order.append(directed if key.parameter is None else directed.nulls_last())
    return [*order, scope.table.c.key.desc() if _newest_first(sort) else scope.table.c.key.asc()]


def after(
    sort: Sequence[SortKey], columns: Sequence[ColumnElement[Any]], position: Position, scope: Scope
) -> ColumnElement[bool]:
    """Return the condition that a row comes after a place."""
    take = scope.binds.take
    given = [
        None if value is None else take(SORT_TYPES[key.source])
        for key, value in zip(sort, position.sort_values, strict=True)
    ]
    key_column, key_value = scope.table.c.key, take(INT8)
    if len(sort) == 1 and sort[0].parameter is None:
        # A row comparison, which the index over both columns can start from.
        row, bound = tuple_(columns[0], key_column), tuple_(given[0], key_value)
        return row < bound if sort[0].descending else row > bound
    tail = key_column < key_value if _newest_first(sort) else key_column > key_value
    for key, column, value in reversed(list(zip(sort, columns, given, strict=True))):
        if value is None:
            tail = and_(column.is_(None), tail)
            continue
        beyond = column < value if key.descending else column > value
        tail = or_(beyond, and_(column == value, tail))
        if key.parameter is not None:
            tail = or_(tail, column.is_(None))
    return tail


def _newest_first(sort: Sequence[SortKey]) -> bool:
    return sort[-1].descending if sort else True
