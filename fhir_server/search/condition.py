"""What a bound query is made of: conditions that become SQL, or are tried on a resource in memory.

A condition's ``shape`` is all that its SQL text depends on; its ``values`` are the parameters, in the order in which
``clause`` takes them. So the SQL of a shape is made once and serves every query of that shape. Chained parameters
(``subject.name``) and ``_has`` are conditions that hold conditions on another type's table.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeVar

from psycopg.types.numeric import Int8
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    FromClause,
    and_,
    bindparam,
    false,
    literal_column,
    not_,
    or_,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from fhir_server.store.entries import IndexEntries
from fhir_server.store.tables import type_ids

T = TypeVar("T")
INT8 = BigInteger()
INT8S: ARRAY[int] = ARRAY(BigInteger)


class Binds:
    """Hands out the parameters of a statement, numbered in order.

    A clause may be made of the same parameters for two tables: ``count`` is then set back to where they began.
    """

    def __init__(self) -> None:
        self.count = 0
        self._made: dict[int, tuple[Any, int]] = {}

    def take(self, sql_type: TypeEngine[Any]) -> BindParameter[Any]:
        """Return the next parameter."""
        parameter = bindparam(f"v{self.count}", type_=sql_type)
        self.count += 1
        return parameter

    def once(self, make: Callable[[], T]) -> T:
        """Return what ``make`` builds of the next parameters; when they come up again, the very same."""
        start = self.count
        if start not in self._made:
            self._made[start] = make(), self.count
        made, self.count = self._made[start]
        return made  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a clause is built: the partition it filters, the statement's tenant and its parameters.

    ``paged`` says that rows are wanted one by one, in order, until a page is full; within a chain all of them are.
    ``tried`` says that the clause is one of several or negated: it can't choose the rows to read, but is tried on each.
    """

    table: FromClause
    tenant: BindParameter[int]
    binds: Binds
    paged: bool = True
    tried: bool = False

    @property
    def inside(self) -> bool:
        """Whether the rows are contained resources."""
        return "container_key" in self.table.c


@dataclass(frozen=True, slots=True)
class Candidate:
    """A resource to try conditions on; ``last_updated`` is aware, or None while it isn't stored yet."""

    id: str | None
    last_updated: datetime | None
    entries: IndexEntries


class Condition(Protocol):
    """Something that holds for a resource or doesn't.

    One that asks for index entries of the resource itself has ``finds_current = True``: what was deleted has none.
    """

    @property
    def shape(self) -> Hashable:
        """All that the SQL text depends on."""

    def values(self) -> Iterator[Any]:
        """Yield the parameters for psycopg in the order in which ``clause`` takes them."""

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """Return the SQL expression."""

    def holds(self, candidate: Candidate) -> bool:
        """Tell whether a resource in memory fulfils it."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition holds; with none, that is always."""

    conditions: tuple[Condition, ...]

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("all", *(c.shape for c in self.conditions))

    def values(self) -> Iterator[Any]:
        """See Condition."""
        for condition in self.conditions:
            yield from condition.values()

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        return and_(true(), *[c.clause(scope) for c in self.conditions])

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        return all(c.holds(candidate) for c in self.conditions)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds; with none, that is never."""

    conditions: tuple[Condition, ...]

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("any", *(c.shape for c in self.conditions))

    def values(self) -> Iterator[Any]:
        """See Condition."""
        for condition in self.conditions:
            yield from condition.values()

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        if len(self.conditions) > 1:
            scope = replace(scope, tried=True)
        return or_(false(), *[c.clause(scope) for c in self.conditions])

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        return any(c.holds(candidate) for c in self.conditions)


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Condition

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("not", self.condition.shape)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        return self.condition.values()

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        return not_(self.condition.clause(replace(scope, tried=True)))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        return not self.condition.holds(candidate)


@dataclass(frozen=True, slots=True)
class HasTokens:
    """The resource carries one of the tokens, or with ``every`` all of them."""

    finds_current: ClassVar[bool] = True
    tokens: tuple[int, ...]
    every: bool = False

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("tokens", self.every)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield int8s(self.tokens)

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        return scope.table.c.tokens.op("@>" if self.every else "&&", is_comparison=True)(scope.binds.take(INT8S))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        carried = candidate.entries.tokens
        return (all if self.every else any)(token in carried for token in self.tokens)


def current(resource_type: str, condition: Condition, scope: Scope) -> ColumnElement[bool]:
    """Return the clause for the tenant's resources of a type, not deleted, that fulfil a condition.

    The type, although the partition holds no other, lets the ordered indexes be used. What was deleted has no index
    entries, so where some are asked for the content, far into a wide row, needs no look.
    """
    columns = scope.table.c
    has_entries = any(getattr(part, "finds_current", False) for part in parts(condition))
    return and_(
        columns.tenant == scope.tenant,
        columns.type == literal_column(str(type_ids()[resource_type])),
        *([] if has_entries else [columns.content.is_not(None)]),
        condition.clause(scope),
    )


def parts(condition: Condition) -> Iterator[Condition]:
    """Yield what must hold together: the parts of nested conjunctions, and of alternatives that are none."""
    if isinstance(condition, AllOf):
        for part in condition.conditions:
            yield from parts(part)
    elif isinstance(condition, AnyOf) and len(condition.conditions) == 1:
        yield from parts(condition.conditions[0])
    else:
        yield condition


def any_of(conditions: Sequence[Condition]) -> Condition:
    """Return the alternative of conditions; those that ask for one of some tokens become one condition."""
    tokens = tuple(t for c in conditions if isinstance(c, HasTokens) and _single(c) for t in c.tokens)
    others = [c for c in conditions if not (isinstance(c, HasTokens) and _single(c))]
    merged = [has_any(tokens), *others] if tokens else others
    return merged[0] if len(merged) == 1 else AnyOf(tuple(merged))


def _single(condition: HasTokens) -> bool:
    return not condition.every or len(condition.tokens) == 1


def has_any(tokens: Iterable[int]) -> HasTokens:
    """Return the condition that one of some tokens is there."""
    distinct = tuple(dict.fromkeys(tokens))
    return HasTokens(distinct, every=len(distinct) == 1)


def int8s(numbers: Iterable[int]) -> list[Int8]:
    """Return integers as an int8[] parameter: left alone, psycopg would choose a type by magnitude and prepare anew."""
    return [Int8(number) for number in numbers]
