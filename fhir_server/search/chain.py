"""Chained parameters as conditions, https://hl7.org/fhir/R4/search.html#chaining.

A reference's token is the salt of its parameter XOR the hash of ``Type/id``, and every row keeps that hash. So the
resources at the far end of a chain become the tokens to look for, in an array that PostgreSQL computes once per
statement; each is looked up in the GIN index, and the rows that carry one are read by their place (``ctid``).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg.types.numeric import Int8
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    SelectBase,
    column,
    func,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import array

from fhir_server.search.condition import INT8, AllOf, Candidate, Condition, Scope, current
from fhir_server.store.tables import partition


@dataclass(frozen=True, slots=True)
class Target:
    """One of the types that a chain leads to, and what is wanted of its resources.

    ``allowed`` limits them to those that the caller may search; it is None until authorization has set it.
    """

    resource_type: str
    wanted: Condition
    allowed: AllOf | None = None

    @property
    def condition(self) -> AllOf:
        """What a resource must fulfil. Raises TypeError before authorization, lest a chain tells of hidden resources."""
        if self.allowed is None:
            raise TypeError(f"The chain's step to {self.resource_type} was not authorized")
        return AllOf((self.wanted, self.allowed))


@dataclass(frozen=True, slots=True)
class Chain:
    """A reference whose salt is ``salt`` leads to a current resource that fulfils what is wanted of its type."""

    salt: int
    targets: tuple[Target, ...]

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("chain", *((target.resource_type, target.condition.shape) for target in self.targets))

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int8(self.salt)
        for target in self.targets:
            yield from target.condition.values()

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        salt = scope.binds.take(INT8)
        found = [_tokens(target, salt, scope) for target in self.targets]
        together = found[0] if len(found) == 1 else union_all(*found)
        unnested = func.unnest(_array(together)).table_valued(column("token", INT8), name=f"sought{scope.binds.count}")
        sought = unnested.render_derived()
        referring = scope.table.alias(f"referring{scope.binds.count}")
        carries = referring.c.tokens.op("@>", is_comparison=True)(array([sought.c.token]))
        # Token by token: a GIN scan for any of n tokens compares each row it finds with all n. OFFSET keeps the planner
        # from reading the table once and comparing every row with every token.
        each = select(_place(referring).label("place")).where(carries).correlate(sought).offset(literal_column("0"))
        rows = each.lateral(f"found{scope.binds.count}")
        return _place(scope.table) == func.any(_array(select(rows.c.place).select_from(sought.join(rows, true()))))

    def holds(self, candidate: Candidate) -> bool:  # noqa: ARG002 - as in Condition
        """Raise TypeError: what a reference leads to isn't in memory. Criteria of grants therefore can't be chains."""
        raise TypeError("A chain can only be followed in the database")


def _tokens(target: Target, salt: ColumnElement[int], scope: Scope) -> Select[Any]:
    """Return the tokens that references to the wanted resources of a type carry."""
    # The alias keeps a chain from a type to itself from being taken for a reference to the outer row.
    table = partition(target.resource_type).alias(f"target{scope.binds.count}")
    inner = Scope(table, scope.tenant, scope.binds)
    return select(table.c.reference_hash.bitwise_xor(salt)).where(
        current(target.resource_type, target.condition, inner)
    )


def _array(rows: SelectBase) -> ColumnElement[Any]:
    """Return the rows as an array that is computed once, before the statement around it."""
    return func.array(rows.scalar_subquery())


def _place(table: FromClause) -> ColumnElement[Any]:
    """Return where a row is stored, which stays the same within a statement."""
    return literal_column(f"{table.name}.ctid")  # type: ignore[attr-defined]
