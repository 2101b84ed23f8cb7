"""The order of matches and what comes after a place in it, https://hl7.org/fhir/R4/search.html#sort.

The resource's key, immutable and unique within its type, is the last sort key but one: newest first, or as the key before
it runs. Between types that share a key the type's number decides.
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
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.types import TypeEngine

from fhir_server.search.bound import SortKey
from fhir_server.search.condition import INT8, Scope
from fhir_server.search.sort_content import CONTENT
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
    "content": Text(),
}


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order: the sort values of a resource, None where it has none, and its key.

    What is wanted comes after it, or with ``backwards`` before it; ``inclusive`` says that so does a resource with the same
    values and key, another type's or its own.
    """

    sort_values: tuple[Any, ...]
    key: int
    inclusive: bool = False
    backwards: bool = False

    @property
    def shape(self) -> Hashable:
        """All that the SQL text depends on."""
        return self.inclusive, self.backwards, tuple(value is None for value in self.sort_values)

    def values(self) -> list[Any]:
        """Return the parameters in the order in which ``after`` takes them."""
        present = [Int8(v) if isinstance(v, int) else v for v in self.sort_values if v is not None]
        return [*present, Int8(self.key)]

    def beyond(self, column: Any, bound: Any, *, descending: bool) -> ColumnElement[bool]:
        """Return whether a key, or a row that ends with one, lies beyond this place's, in the direction of reading."""
        if self.inclusive:
            return column <= bound if descending else column >= bound  # type: ignore[no-any-return]
        return column < bound if descending else column > bound  # type: ignore[no-any-return]


def sort_value(key: SortKey, table: FromClause, scope: Scope) -> ColumnElement[Any]:
    """Return what a resource of ``table`` is sorted by: a column, or a subquery for the first of its values."""
    if key.is_column:
        return table.c[key.source]
    if key.source == "content":
        content = f"convert_from({table.name}.content, 'UTF8')::json"  # type: ignore[attr-defined]
        values = " UNION ALL ".join(key.texts).replace(CONTENT, content)
        extreme = "max" if key.descending else "min"
        text = f'(SELECT {extreme}(texts.v COLLATE "C") FROM ({values}) texts)'  # noqa: S608 - made of definitions
        return literal_column(text, Text())
    value = SORT_VALUES[key.source]
    indexed = value.table.c
    first = select(value).where(
        indexed.tenant == scope.tenant,
        indexed.key == table.c.key,
        indexed.parameter == scope.binds.take(Integer()),
    )
    first = first.order_by(directed(value, descending=key.descending)).limit(literal_column("1"))
    return first.correlate(table).scalar_subquery()


def directed(column: ColumnElement[Any], *, descending: bool) -> ColumnElement[Any]:
    """Return an item of ORDER BY."""
    return column.desc() if descending else column.asc()


def ordering(
    sort: Sequence[SortKey],
    columns: Sequence[ColumnElement[Any]],
    key_column: ColumnElement[Any],
    *,
    backwards: bool = False,
) -> list[ColumnElement[Any]]:
    """Return the ORDER BY list, up to the resource's key; ``backwards`` from the end."""
    order: list[ColumnElement[Any]] = []
    for key, column in zip(sort, columns, strict=True):
        item = directed(column, descending=key.descending != backwards)
        order.append(item if key.is_column else item.nulls_first() if backwards else item.nulls_last())
    return [*order, directed(key_column, descending=newest_first(sort) != backwards)]


def after(
    sort: Sequence[SortKey],
    columns: Sequence[ColumnElement[Any]],
    key_column: ColumnElement[Any],
    position: Position,
    scope: Scope,
) -> ColumnElement[bool]:
    """Return the condition that a row comes after a place, or before it."""
    take = scope.binds.take
    given = [
        None if value is None else take(SORT_TYPES[key.source])
        for key, value in zip(sort, position.sort_values, strict=True)
    ]
    backwards = position.backwards
    key_value, descending = take(INT8), newest_first(sort) != backwards
    if len(sort) == 1 and sort[0].is_column:
        # A row comparison, which the index over both columns can start from.
        row, bound = tuple_(columns[0], key_column), tuple_(given[0], key_value)
        return position.beyond(row, bound, descending=descending)
    tail = position.beyond(key_column, key_value, descending=descending)
    for key, column, value in reversed(list(zip(sort, columns, given, strict=True))):
        if value is None:
            tail = and_(column.is_(None), tail)
            if backwards:
                tail = or_(column.is_not(None), tail)
            continue
        beyond = column < value if key.descending != backwards else column > value
        tail = or_(beyond, and_(column == value, tail))
        if not key.is_column and not backwards:
            tail = or_(tail, column.is_(None))
    return tail


def newest_first(sort: Sequence[SortKey]) -> bool:
    """Return whether the key runs downwards: as the sort key before it, by default from the newest."""
    return sort[-1].descending if sort else True
