"""Reverse chaining as a condition, https://hl7.org/fhir/R4/search.html#has.

A row that refers keeps only tokens, the salt of a parameter XOR the hash of ``Type/id``. XOR with the salt turns them
into candidates for the ``reference_hash`` of what is referred to; those of other parameters are the hash of nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg.types.numeric import Int8
from sqlalchemy import ColumnElement, Select, and_, case, exists, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import array

from fhir_server.search.chain import Chain, Target, unnested
from fhir_server.search.condition import INT8, AllOf, AnyOf, Candidate, Condition, Not, Scope, current
from fhir_server.search.hierarchy import Related
from fhir_server.search.listed import Listed
from fhir_server.search.row import HasId
from fhir_server.store.tables import partition

FEW = 500
"""Up to so many rows that refer, their candidates are computed; with more, each resource looks for one of them."""


@dataclass(frozen=True, slots=True)
class Has:
    """A current resource that fulfils what is wanted of its type refers here by the parameter whose salt is ``salt``."""

    salt: int
    target: Target

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("has", self.target.resource_type, self.target.condition.shape)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int8(self.salt)
        yield from self.target.condition.values()

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        salt, number = scope.binds.take(INT8), scope.binds.count
        table = partition(self.target.resource_type).alias(f"referrer{number}")
        inner = Scope(table, scope.tenant, scope.binds, paged=False)
        matching = current(self.target.resource_type, self.target.condition, inner)
        own = scope.table.c.reference_hash
        carried = unnested(table, f"carried{number}")
        candidates = select(carried.c.token.bitwise_xor(salt)).select_from(table.join(carried, true()))
        is_candidate = own.in_(candidates.where(matching))
        if not scope.paged or _is_followed(self.target.condition):
            return is_candidate
        # How many refer is only known when they are counted, and that is what the better way depends on.
        one: Select[Any] = select(literal_column("1")).select_from(table).where(matching)
        some = one.limit(literal_column(str(FEW + 1)))
        few = select(func.count() <= literal_column(str(FEW))).select_from(some.subquery(f"some{number}"))
        refers = table.c.tokens.op("@>", is_comparison=True)(array([own.bitwise_xor(salt)]))
        # OFFSET keeps the planner from turning it into a join, which would look at all before the first.
        each = exists(one.where(refers).correlate(scope.table).offset(literal_column("0")))
        # The first spares a walk when none refers at all.
        return and_(exists(one), case((few.scalar_subquery(), is_candidate), else_=each))

    def holds(self, candidate: Candidate) -> bool:  # noqa: ARG002 - as in Condition
        """Raise TypeError: what refers to a resource isn't in memory. Criteria of grants therefore can't ask for it."""
        raise TypeError("What refers to a resource can only be found in the database")


def _is_followed(condition: Condition) -> bool:
    """Tell whether a condition is best answered for all rows at once: it leads on to others, or to a few by their ids."""
    match condition:
        case AllOf() | AnyOf():
            return any(_is_followed(part) for part in condition.conditions)
        case Not():
            return _is_followed(condition.condition)
        case _:
            return isinstance(condition, Chain | Has | Listed | Related | HasId)
