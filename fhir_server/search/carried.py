"""Resources that carry one of many tokens, for https://hl7.org/fhir/R4/search.html#modifiers (``:in``, ``:text`` …).

A GIN scan for any of n tokens compares each row it finds with all n. So beyond a few, the tokens become rows, each of
which is looked up by itself.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import array

from fhir_server.search.condition import INT8, INT8S, Candidate, Condition, Scope, has_any, int8s

FEW = 32


def carries(scope: Scope, tokens: Select[Any]) -> ColumnElement[bool]:
    """Return the clause that a row carries one of the tokens that a statement finds."""
    number = scope.binds.count
    sought = tokens.subquery(f"sought{number}")
    carrying = scope.table.alias(f"carrying{number}")
    token = next(iter(sought.c))
    has = carrying.c.tokens.op("@>", is_comparison=True)(array([token]))
    # OFFSET keeps the planner from reading the table once and comparing every row with every token.
    each = select(carrying.c.key).where(has).correlate(sought).offset(literal_column("0")).lateral(f"found{number}")
    return scope.table.c.key.in_(select(each.c.key).select_from(sought.join(each, true())))


@dataclass(frozen=True, slots=True)
class CarriesAny:
    """The resource carries one of many tokens."""

    tokens: tuple[int, ...]

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return "carries any"

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield int8s(self.tokens)

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        given = scope.binds.take(INT8S)
        return carries(scope, select(func.unnest(given, type_=INT8).label("token")))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        return not set(self.tokens).isdisjoint(candidate.entries.tokens)


def carries_any(tokens: Sequence[int]) -> Condition:
    """Return the condition that one of some tokens is there, however many they are."""
    distinct = tuple(dict.fromkeys(tokens))
    return has_any(distinct) if len(distinct) <= FEW else CarriesAny(distinct)
