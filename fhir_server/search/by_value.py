"""A page in the order of one parameter's values, https://hl7.org/fhir/R4/search.html#sort.

When most resources match, the range table's index gives the order, and a page reads little more than itself. Resources
without a value come last and are only looked for once those with a value run out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Select,
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
from fhir_server.search.order import SORT_TYPES, SORT_VALUES, Position, directed


@dataclass(frozen=True, slots=True)
class ByValue:
    """What a page ordered by one key of a range table is made of.

    ``columns`` are those to select, the resource's key the first; ``where`` says what matches; ``parameter`` is the
    key's number in the range table.
    """

    key: SortKey
    columns: Sequence[ColumnElement[Any]]
    where: ColumnElement[bool]
    parameter: BindParameter[int]
    scope: Scope

    def page(self, position: Position | None) -> Select[Any]:
        """Return the statement for the page after a position; it takes the position's parameters, then the limit."""
        take, own = self.scope.binds.take, self.scope.table.c.key
        if position is not None and position.sort_values[0] is None:
            after = position.beyond(own, take(INT8), descending=self.key.descending)
            return self._lacking().where(after).limit(take(INT8))
        bounds = () if position is None else (take(SORT_TYPES[self.key.source]), take(INT8))
        limit = take(INT8)
        having = self._having(position, bounds).limit(limit).cte(f"having_value{self.scope.binds.count}")
        enough = select(func.count()).select_from(having).scalar_subquery() >= limit
        both = union_all(select(having), self._lacking().where(~enough).limit(limit)).subquery()
        by_value, by_key = self._directed(both.c.sort_value), self._directed(both.c.key)
        return select(both).order_by(by_value.nulls_last(), by_key).limit(limit)

    def _directed(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return directed(column, descending=self.key.descending)

    def _having(self, position: Position | None, bounds: Sequence[BindParameter[Any]]) -> Select[Any]:
        """Return the matches that have a value, each by its first one in the order, after the bounds if any."""
        value, own = SORT_VALUES[self.key.source], self.scope.table.c.key
        table = value.table
        found = (
            select(*self.columns, value.label("sort_value"))
            .join(table, table.c.key == own)
            .where(table.c.tenant == self.scope.tenant, table.c.parameter == self.parameter)
            .where(self.where, ~self._surpassed(value))
            .order_by(self._directed(value), self._directed(own))
        )
        if position is not None:
            place, bound = tuple_(value, own), tuple_(*bounds)
            found = found.where(position.beyond(place, bound, descending=self.key.descending))
            # Follows from the line above, and lets the index scan start there: the row comparison spans two tables.
            found = found.where(value <= bounds[0] if self.key.descending else value >= bounds[0])
        return found

    def _surpassed(self, value: Column[Any]) -> ColumnElement[bool]:
        """Return whether the resource has a value that goes before this one, or the same in another row."""
        table = value.table
        other = table.alias("other")
        other_value = other.c[value.name]
        row: ColumnElement[Any] = literal_column(f"{value.table.name}.ctid")
        other_row: ColumnElement[Any] = literal_column("other.ctid")
        return exists().where(
            other.c.tenant == self.scope.tenant,
            other.c.key == table.c.key,
            other.c.parameter == self.parameter,
            or_(
                other_value > value if self.key.descending else other_value < value,
                and_(other_value == value, other_row > row),
            ),
        )

    def _lacking(self) -> Select[Any]:
        """Return the matches without a value."""
        table, own = SORT_VALUES[self.key.source].table.c, self.scope.table.c.key
        valued = exists().where(table.tenant == self.scope.tenant, table.key == own, table.parameter == self.parameter)
        return (
            select(*self.columns, null().label("sort_value")).where(self.where, ~valued).order_by(self._directed(own))
        )
