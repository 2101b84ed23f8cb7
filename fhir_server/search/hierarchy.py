"""References into a hierarchy, https://hl7.org/fhir/R4/search.html#reference (``:above``, ``:below``).

Where resources of a type are parts of each other (``Location.partOf``), a search by one of them can mean all that are
parts of it, or all that it is a part of. Parts are found by their tokens, as in chains; wholes by their content.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg.types.numeric import Int8
from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    case,
    cast,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH, array

from fhir_server.search.carried import carries
from fhir_server.search.condition import INT8, INT8S, AllOf, AnyOf, Candidate, Condition, Not, Scope, current, int8s
from fhir_server.search.full_text import HasWords
from fhir_server.search.registry import Parameter, SearchParameters
from fhir_server.store.hashing import value_hash
from fhir_server.store.tables import partition

_PART_OF = "partOf"


def part_of(resource_type: str, parameters: SearchParameters) -> Parameter | None:
    """Return the parameter by which resources of a type are parts of others of the type; None when they aren't."""
    for parameter in parameters.of(resource_type).values():
        if parameter.type == "reference" and parameter.indexed and resource_type in parameter.targets:
            names = {branch.element.name for branch in parameter.branches if branch.element is not None}
            if names == {_PART_OF}:
                return parameter
    return None


@dataclass(frozen=True, slots=True)
class Related:
    """A reference whose salt is ``salt`` leads to one of some resources of a type, or to what is below (above) them.

    ``part_salt`` is that of the type's own references to a whole; ``base`` the server's address with a slash.
    ``allowed`` limits what is followed to what the caller may search; it is None until authorization has set it.
    """

    salt: int
    resource_type: str
    ids: tuple[str, ...]
    above: bool
    part_salt: int
    base: str
    allowed: AllOf | None = None

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("related", self.resource_type, self.above, self._allowed.shape)

    @property
    def _allowed(self) -> AllOf:
        if self.allowed is None:
            raise TypeError(f"The hierarchy of {self.resource_type} was not authorized")
        return self.allowed

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int8(self.salt)
        yield int8s(value_hash(f"{self.resource_type}/{id_}") for id_ in self.ids)
        if self.above:
            yield list(self.ids)
            yield self.base
        else:
            yield Int8(self.part_salt)
        yield from self._allowed.values()

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        salt = scope.binds.take(INT8)
        hashes = scope.binds.once(lambda: self._wholes(scope) if self.above else self._parts(scope))
        found = hashes.subquery(f"related{scope.binds.count}")
        return carries(scope, select(next(iter(found.c)).bitwise_xor(salt).label("token")))

    def _parts(self, scope: Scope) -> Select[Any]:
        """Return the hashes of the resources given and of all that are parts of them; UNION ends circles."""
        take, number = scope.binds.take, scope.binds.count
        start = select(func.unnest(take(INT8S), type_=INT8).label("hash"))
        known = start.cte(f"parts{number}", recursive=True)
        part = partition(self.resource_type).alias(f"part{number}")
        token = known.c.hash.bitwise_xor(take(INT8))
        refers = part.c.tokens.op("@>", is_comparison=True)(array([token]))
        inner = Scope(part, scope.tenant, scope.binds)
        each = select(part.c.reference_hash).where(refers, current(self.resource_type, self._allowed, inner))
        rows = each.correlate(known).offset(literal_column("0")).lateral(f"each{number}")
        return select(known.union(select(rows.c.reference_hash).select_from(known.join(rows, true()))).c.hash)

    def _wholes(self, scope: Scope) -> Select[Any]:
        """Return the hashes of the resources given and of all that they are parts of, as their content says."""
        take, number = scope.binds.take, scope.binds.count
        hashes, ids, base = take(INT8S), take(ARRAY(Text)), take(Text())
        given = func.unnest(hashes, ids).table_valued("hash", "id", name=f"given{number}").render_derived()
        known = select(cast(given.c.hash, INT8).label("hash"), cast(given.c.id, Text(collation="C")).label("id")).cte(
            f"wholes{number}", recursive=True
        )
        part = partition(self.resource_type).alias(f"part{number}")
        inner = Scope(part, scope.tenant, scope.binds)
        content = cast(func.convert_from(part.c.content, literal_column("'UTF8'")), JSONB)
        path = literal_column(f"'$.{_PART_OF}[*].reference'", JSONPATH)
        text = func.jsonb_path_query(content, path).op("#>>")(literal_column("'{}'"))
        references = (
            select(text.label("reference"))
            .where(part.c.id == known.c.id, current(self.resource_type, self._allowed, inner))
            .correlate(known)
            .lateral(f"reference{number}")
        )
        reference = references.c.reference
        own = case(
            (func.starts_with(reference, base), func.substr(reference, func.length(base) + literal_column("1"))),
            else_=reference,
        )
        pattern: ColumnElement[str] = literal_column(
            rf"'^{self.resource_type}/([A-Za-z0-9.-]{{1,64}})(?:/_history/.*)?$'"
        )
        whole = partition(self.resource_type).alias(f"whole{number}")
        rows = (
            select(whole.c.reference_hash, whole.c.id)
            .where(whole.c.tenant == scope.tenant, whole.c.id == func.substring(own, pattern))
            .correlate(references)
            .lateral(f"each{number}")
        )
        step = select(rows.c.reference_hash, rows.c.id).select_from(known.join(references, true()).join(rows, true()))
        return select(known.union(step).c.hash)

    def holds(self, candidate: Candidate) -> bool:  # noqa: ARG002 - as in Condition
        """Raise TypeError: a hierarchy isn't in memory. Criteria of grants therefore can't ask for one."""
        raise TypeError("A hierarchy can only be followed in the database")


def in_memory(condition: Condition) -> bool:
    """Tell whether a condition can be tried on a resource in memory: none of its parts follows a hierarchy or looks for words."""
    match condition:
        case Related() | HasWords():
            return False
        case AllOf() | AnyOf():
            return all(in_memory(part) for part in condition.conditions)
        case Not():
            return in_memory(condition.condition)
        case _:
            return True
