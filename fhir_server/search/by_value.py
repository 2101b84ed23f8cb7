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
    cast,
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
    key's number in the range table. ``backwards`` reads from the end.
    """

    key: SortKey
    columns: Sequence[ColumnElement[Any]]
    where: ColumnElement[bool]
    parameter: BindParameter[int]
    scope: Scope
    backwards: bool = False

    def page(self, position: Position | None) -> Select[Any]:
        """Return the statement for the page after a position, or before it; it takes its parameters, then the limit."""
        take = self.scope.binds.take
        if position is None or position.sort_values[0] is not None:
            bounds = () if position is None else (take(SORT_TYPES[self.key.source]), take(INT8))
            having = self._having(position, bounds)
            # What has no value comes after all that have one.
            return having.limit(take(INT8)) if self.backwards else self._both(having, self._lacking(), take(INT8))
        own = self.scope.table.c.key
        lacking = self._lacking().where(position.beyond(own, take(INT8), descending=self._descending))
        return self._both(lacking, self._having(None, ()), take(INT8)) if self.backwards else lacking.limit(take(INT8))

    def _both(self, first: Select[Any], then: Select[Any], limit: BindParameter[int]) -> Select[Any]:
        """Return a page of the first kind, filled up with the other only if there aren't enough of it."""
        leading = first.limit(limit).cte(f"leading{self.scope.binds.count}")
        enough = select(func.count()).select_from(leading).scalar_subquery() >= limit
        both = union_all(select(leading), then.where(~enough).limit(limit)).subquery()
        by_value, by_key = self._directed(both.c.sort_value), self._directed(both.c.key)
        by_value = by_value.nulls_first() if self.backwards else by_value.nulls_last()
        return select(both).order_by(by_value, by_key).limit(limit)

    @property
    def _descending(self) -> bool:
        return self.key.descending != self.backwards

    def _directed(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return directed(column, descending=self._descending)

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
            found = found.where(position.beyond(place, bound, descending=self._descending))
            # Follows from the line above, and lets the index scan start there: the row comparison spans two tables.
            found = found.where(value <= bounds[0] if self._descending else value >= bounds[0])
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
        none = cast(null(), SORT_TYPES[self.key.source]).label("sort_value")
        return select(*self.columns, none).where(self.where, ~valued).order_by(self._directed(own))
