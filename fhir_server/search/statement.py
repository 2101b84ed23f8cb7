"""Statements compiled once a shape, https://hl7.org/fhir/R4/search.html.

SQLAlchemy compiles each shape of query once; afterwards a query costs only the collection of its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, FromClause
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.elements import CompilerElement

from fhir_server.search.bound import BoundQuery
from fhir_server.search.condition import Binds, Scope
from fhir_server.store.contained import contained
from fhir_server.store.tables import partition

_DIALECT = PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]
Run = tuple[str, list[Any]]
"""SQL text with ``%s`` for parameters, and the parameters."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A statement to compile; equal shapes compile to equal texts."""

    shape: Hashable
    build: Callable[[], CompilerElement] = field(compare=False)


@lru_cache(maxsize=1024)
def _compile(blueprint: Blueprint) -> tuple[str, tuple[int, ...]]:
    """Return the text, and for each ``%s`` in it which of the values it takes."""
    compiled: Any = blueprint.build().compile(dialect=_DIALECT)
    return compiled.string, tuple(int(name.removeprefix("v")) for name in compiled.positiontup)


def run(blueprint: Blueprint, values: Sequence[Any]) -> Run:
    """Return the text of a blueprint, compiled before or now, with its values in the text's order."""
    text, order = _compile(blueprint)
    return text, [values[i] for i in order]


def table_of(query: BoundQuery) -> FromClause:
    """Return the table that a query is about; one on contained resources and others is two queries."""
    return contained if query.contained == "true" else partition(query.resource_type)


def scope_of(resource_type: str) -> Scope:
    """Return the scope of a new statement on one type; its first parameter is the tenant."""
    return _scope(partition(resource_type))


def scope_for(query: BoundQuery) -> Scope:
    """Return the scope of a new statement for a query; its first parameter is the tenant."""
    return _scope(table_of(query))


def _scope(table: FromClause) -> Scope:
    binds = Binds()
    return Scope(table, binds.take(table.c.tenant.type), binds)


def row_of(scope: Scope) -> list[ColumnElement[Any]]:
    """Return the columns that a match is made of: key, id, version, last_updated, content."""
    columns = scope.table.c
    return [columns.key, columns.id, columns.version, columns.last_updated, columns.content]
