"""Searching inside containers, https://hl7.org/fhir/R4/search.html#contained (``_contained``, ``_containedType``).

Contained resources have a table with the columns of resources, so the same conditions hold for them. Who finds one learns
of its container: that has to be one that the caller may search and read.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg.types.numeric import Int2
from sqlalchemy import ColumnElement, SmallInteger, and_, exists, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from conformance.decode import encode
from fhir_server.search.bound import BoundQuery
from fhir_server.search.condition import AllOf, Candidate, Condition, Scope, current
from fhir_server.search.index import index
from fhir_server.search.registry import SearchParameters
from fhir_server.search.searchset import Match
from fhir_server.search.session import Session
from fhir_server.store.contained import Contained, contained, read_containers
from fhir_server.store.keys import next_key
from fhir_server.store.tables import partition, type_ids


def has_contained(content: bytes | None) -> bool:
    """Tell whether stored content may have contained resources; quick, and never wrong when it denies it."""
    return content is not None and b'"contained"' in content


def index_contained(
    resource: dict[str, Any], tenant: int, parameters: SearchParameters, base_url: str
) -> list[Contained]:
    """Return what a resource contains, with index entries."""
    container = f"{resource['resourceType']}/{resource['id']}"
    return [
        Contained(
            inner["resourceType"],
            inner.get("id", ""),
            next_key(),
            encode(inner),
            index(inner["resourceType"], inner, tenant, parameters, base_url, container),
        )
        for inner in resource.get("contained", ())
    ]


@dataclass(frozen=True, slots=True)
class Within:
    """A contained resource that fulfils ``wanted``, in a container that the caller may search and read.

    ``allowed`` says which containers these are, by type. With ``once`` only the first such resource of each container.
    """

    wanted: Condition
    allowed: Mapping[str, AllOf]
    once: bool

    @property
    def _open(self) -> list[str]:
        return [name for name, allowed in self.allowed.items() if not _limits(allowed)]

    @property
    def _limited(self) -> list[tuple[str, AllOf]]:
        return [(name, allowed) for name, allowed in self.allowed.items() if _limits(allowed)]

    def __hash__(self) -> int:
        return hash((self.wanted, tuple(self.allowed.items()), self.once))

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        limits = tuple((name, allowed.shape) for name, allowed in self._limited)
        return ("within", self.wanted.shape, limits, self.once)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        for _ in range(2 if self.once else 1):
            yield from self.wanted.values()
            yield [Int2(type_ids()[name]) for name in self._open]
            for _, allowed in self._limited:
                yield from allowed.values()

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        found = self._clause(scope)
        if not self.once:
            return found
        other = contained.alias(f"sibling{scope.binds.count}")
        own = scope.table.c
        earlier = exists().where(
            other.c.tenant == scope.tenant,
            other.c.container_type == own.container_type,
            other.c.container_key == own.container_key,
            other.c.type == own.type,
            other.c.key < own.key,
            self._clause(Scope(other, scope.tenant, scope.binds, paged=False)),
        )
        return and_(found, ~earlier.correlate(scope.table))

    def _clause(self, scope: Scope) -> ColumnElement[bool]:
        columns = scope.table.c
        wanted = self.wanted.clause(scope)
        choices: list[ColumnElement[bool]] = [columns.container_type == func.any(scope.binds.take(ARRAY(SmallInteger)))]
        for name, allowed in self._limited:
            table = partition(name).alias(f"container{scope.binds.count}")
            inner = Scope(table, scope.tenant, scope.binds, paged=False)
            number: ColumnElement[int] = literal_column(str(type_ids()[name]))
            readable = select(table.c.key).where(current(name, allowed, inner))
            choices.append(and_(columns.container_type == number, columns.container_key.in_(readable)))
        return and_(wanted, or_(*choices))

    def holds(self, candidate: Candidate) -> bool:  # noqa: ARG002 - as in Condition
        """Raise TypeError: a resource in memory is no contained one."""
        raise TypeError("Contained resources can only be found in the database")


def split(query: BoundQuery) -> list[BoundQuery]:
    """Return a query on contained resources and others as two, any other as it is."""
    if query.contained != "both":
        return [query]
    return [replace(query, contained="false"), replace(query, contained="true")]


def _limits(allowed: AllOf) -> bool:
    """Tell whether a permission is for some resources only."""
    return any(_limits(part) if isinstance(part, AllOf) else True for part in allowed.conditions)


async def place_matches(session: Session, tenant: int, matches: Sequence[Match], *, as_container: bool) -> list[Match]:
    """Return the matches with their containers, or these instead of what they contain.

    What was changed since the search, by another request, is left out.
    """
    keys = [match.key for match in matches if match.within is not None]
    if not keys:
        return list(matches)
    places = await read_containers(
        session, tenant, next(m.resource_type for m in matches if m.within is not None), keys
    )
    shown: dict[tuple[str, str], Match] = {}
    for match in matches:
        found = match
        if match.within is not None:
            place = places.get(match.key)
            if place is None or place.version != match.version or place.content is None:
                continue
            address = f"{place.resource_type}/{place.id}"
            found = match._replace(within=address)
            if as_container:
                found = Match(
                    place.resource_type, place.id, place.version, place.last_updated, place.content, place.key
                )
        shown.setdefault((found.within or found.resource_type, found.id), found)
    return list(shown.values())
