"""Members of a List, https://hl7.org/fhir/R4/search.html#list: what its entries refer to, deleted entries apart."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Text, case, cast, false, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from fhir_server.search.chain import Target
from fhir_server.search.condition import Candidate, Condition, Scope, current
from fhir_server.search.environment import Environment
from fhir_server.search.errors import Unsupported, invalid_value
from fhir_server.search.parse import unescape
from fhir_server.search.query import Criterion
from fhir_server.search.row import HasId
from fhir_server.store.tables import partition

NAME = "_list"
_LIST = "List"
_ID = re.compile(rf"(?:{_LIST}/)?([A-Za-z0-9\-.]{{1,64}})")
_ITEMS = literal_column("'$.entry[*] ? (!(@.deleted == true)).item.reference'", JSONPATH)


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of one of some Lists, itself not deleted, refers here; ``base`` is the server's address with a slash."""

    resource_type: str
    base: str
    target: Target

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("listed", self.resource_type, self.target.condition.shape)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield self.base
        yield from self.target.condition.values()

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        base, number = scope.binds.take(Text()), scope.binds.count
        table = partition(_LIST).alias(f"list{number}")
        inner = Scope(table, scope.tenant, scope.binds, paged=False)
        content = cast(func.convert_from(cast(table.c.content, LargeBinary), literal_column("'UTF8'")), JSONB)
        # Index entries don't tell which of a List's entries are deleted, so its content is read; a few Lists at most.
        items = (
            select(func.jsonb_path_query(content, _ITEMS).op("#>>")(literal_column("'{}'")).label("reference"))
            .where(current(_LIST, self.target.condition, inner))
            .subquery(f"items{number}")
        )
        text = items.c.reference
        relative = case(
            (func.starts_with(text, base), func.substr(text, func.length(base) + literal_column("1"))), else_=text
        )
        pattern: ColumnElement[str] = literal_column(
            rf"'^{self.resource_type}/([A-Za-z0-9.-]{{1,64}})(?:/_history/.*)?$'"
        )
        if scope.inside:
            return false()  # entries of a List never name what another resource contains
        id_ = func.substring(relative, pattern)
        return scope.table.c.id.in_(select(id_).where(id_.is_not(None)))

    def holds(self, candidate: Candidate) -> bool:  # noqa: ARG002 - as in Condition
        """Raise TypeError: Lists aren't in memory. Criteria of grants therefore can't ask for one."""
        raise TypeError("A List can only be read in the database")


def bind_list(resource_type: str, criterion: Criterion, environment: Environment) -> Condition:
    """Return the condition of ``_list``. Raises Unsupported for functional lists, InvalidSearch for what is no id."""
    if criterion.last.modifier is not None:
        raise Unsupported(f"Modifier ':{criterion.last.modifier}' is not supported on '{NAME}'.")
    ids = []
    for value in map(unescape, criterion.values):
        if value.startswith("$"):
            raise Unsupported(f"'{NAME}={value}' can't be used: this server doesn't keep functional lists.")
        found = _ID.fullmatch(value)
        if found is None:
            raise invalid_value(criterion.name, criterion.value, "it takes the id of a List")
        ids.append(found[1])
    base = f"{environment.base_url}/"
    return Listed(resource_type, base, Target(_LIST, HasId(tuple(ids))))
