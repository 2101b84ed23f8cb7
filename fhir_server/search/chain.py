"""Chained parameters as conditions, https://hl7.org/fhir/R4/search.html#chaining.

A reference's token is the salt of its parameter XOR the hash of ``Type/id``, and every row keeps that hash. So the
resources at the far end of a chain become the tokens to look for, in an array that PostgreSQL computes once per
statement; they are looked up in the GIN index, and the rows that carry one are read by their place (``ctid``).

Contained resources are at the far end of ``#id`` references, whose tokens are made of the container's address, too. Every
step but the first may start from one: its tokens, computed once, are looked up among resources and among contained ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg.types.numeric import Int8
from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Select,
    SelectBase,
    and_,
    column,
    func,
    literal_column,
    select,
    true,
    union_all,
)

from fhir_server.search.condition import INT8, INT8S, AllOf, Candidate, Condition, Scope, current
from fhir_server.search.slot import PRESENT
from fhir_server.store.contained import contained
from fhir_server.store.hashing import value_hash
from fhir_server.store.tables import partition

TOGETHER = 32
"""How many tokens one look-up in a GIN index is for."""


@dataclass(frozen=True, slots=True)
class Target:
    """One of the types that a step leads to, and what is wanted of its resources.

    ``allowed`` limits them to those that the caller may search; it is None until authorization has set it.
    ``url_salt`` is that of the type's ``url`` parameter where references are canonical, else None.
    """

    resource_type: str
    wanted: Condition
    allowed: AllOf | None = None
    url_salt: int | None = None

    @property
    def condition(self) -> AllOf:
        """What a resource must fulfil. Raises TypeError before authorization, lest a chain tells of hidden resources."""
        if self.allowed is None:
            raise TypeError(f"The chain's step to {self.resource_type} was not authorized")
        return AllOf((self.wanted, self.allowed))


@dataclass(frozen=True, slots=True)
class Chain:
    """A reference whose salt is ``salt`` leads to a current resource that fulfils what is wanted of its type."""

    finds_current: ClassVar[bool] = True
    salt: int
    targets: tuple[Target, ...]

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        shapes = ((t.resource_type, t.url_salt is None, t.condition.shape) for t in self.targets)
        return ("chain", *shapes)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int8(self.salt)
        for target in self.targets:
            if target.url_salt is not None:
                yield Int8(target.url_salt)
            yield from target.condition.values()

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        sought = scope.binds.once(lambda: self._sought(scope))
        number = scope.binds.count
        # Some tokens at a time. One by one, each look-up would read the index's list of pending entries anew; and a
        # look-up of all together compares each row that it finds with all of them.
        one: ColumnElement[int] = literal_column("1")
        step: ColumnElement[int] = literal_column(str(TOGETHER))
        series = func.generate_series(one, func.cardinality(sought.c.tokens), step)
        start = series.table_valued(column("first")).render_derived(name=f"start{number}")
        some = literal_column(f"{sought.name}.tokens[start{number}.first:start{number}.first + {TOGETHER - 1}]", INT8S)
        referring = scope.table.alias(f"referring{number}")
        carries = referring.c.tokens.op("&&", is_comparison=True)(some)
        wanted = referring.c.key if scope.tried else _place(referring)
        # OFFSET keeps the planner from reading the table once and comparing every row with every token.
        each = select(wanted.label("place")).where(carries).correlate(sought, start).offset(literal_column("0"))
        rows = each.lateral(f"found{number}")
        places = select(rows.c.place).select_from(sought.join(start, true()).join(rows, true()))
        if scope.tried:  # a hash of keys answers for each row; an array would be read from its start
            return scope.table.c.key.in_(places)
        return _place(scope.table) == func.any(as_array(places))

    def _sought(self, scope: Scope) -> CTE:
        """Return the one row that has the array of all tokens."""
        binds = scope.binds
        name = f"sought{binds.count}"
        salt = binds.take(INT8)
        found: list[Select[Any]] = []
        entered: set[str] = set()
        for target in self.targets:
            start = binds.count
            found.append(_tokens(target, salt, scope))
            if target.resource_type not in entered:  # ``#id`` leads to it, however else the reference does
                entered.add(target.resource_type)
                binds.count = start
                found.append(_tokens_inside(target, salt, scope))
        return select(as_array(union_all(*found)).label("tokens")).offset(literal_column("0")).cte(name)

    def holds(self, candidate: Candidate) -> bool:  # noqa: ARG002 - as in Condition
        """Raise TypeError: what a reference leads to isn't in memory. Criteria of grants therefore can't be chains."""
        raise TypeError("A chain can only be followed in the database")


def _tokens(target: Target, salt: ColumnElement[int], scope: Scope) -> Select[Any]:
    """Return the tokens that references to the wanted resources of a type carry."""
    # The alias keeps a chain from a type to itself from being taken for a reference to the outer row.
    number = scope.binds.count
    table = partition(target.resource_type).alias(f"target{number}")
    url_salt = None if target.url_salt is None else scope.binds.take(INT8)
    inner = Scope(table, scope.tenant, scope.binds, paged=False)
    wanted = current(target.resource_type, target.condition, inner)
    if url_salt is None:
        return select(table.c.reference_hash.bitwise_xor(salt)).where(wanted)
    # One of the resource's tokens is that of its url; what the others become is no token of any resource.
    carried = unnested(table, f"carried{number}")
    url = carried.c.token.bitwise_xor(url_salt)
    # All parameters mark their presence by the same text: that of the url would find whatever has the reference.
    wanted = and_(wanted, url != literal_column(str(value_hash(PRESENT))))
    return select(url.bitwise_xor(salt)).select_from(table.join(carried, true())).where(wanted)


def _tokens_inside(target: Target, salt: ColumnElement[int], scope: Scope) -> Select[Any]:
    """Return the tokens that references to the wanted contained resources of a type carry."""
    table = contained.alias(f"inside{scope.binds.count}")
    if target.url_salt is not None:
        scope.binds.take(INT8)
    inner = Scope(table, scope.tenant, scope.binds, paged=False)
    wanted = current(target.resource_type, target.condition, inner)
    return select(table.c.reference_hash.bitwise_xor(salt)).where(wanted)


def unnested(table: FromClause, name: str) -> FromClause:
    """Return the tokens of a table's rows as rows with a column ``token``, to be joined to it."""
    return func.unnest(table.c.tokens).table_valued(column("token", INT8)).render_derived(name=name)


def as_array(rows: SelectBase) -> ColumnElement[Any]:
    """Return the rows as an array that is computed once, before the statement around it."""
    return func.array(rows.scalar_subquery())


def _place(table: FromClause) -> ColumnElement[Any]:
    """Return where a row is stored, which stays the same within a statement."""
    return literal_column(f"{table.name}.ctid")  # type: ignore[attr-defined]
