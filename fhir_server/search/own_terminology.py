"""The tenant's own ValueSets, CodeSystems and ConceptMaps as a source for the terminology engine.

The engine is synchronous and knows no database: what hasn't been fetched yet raises :class:`MissingOwn`, is fetched, and
the question is asked again. https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from conformance.terminology.code_system import CodeSystem
from conformance.terminology.errors import MissingResource
from conformance.terminology.source import Resources
from fhir_server.search.reference import local
from fhir_server.search.registry import standard
from fhir_server.search.session import Session
from fhir_server.search.slot import slot
from fhir_server.store.canonical import find_by_id, find_carrying
from fhir_server.store.packages import COUNTED_TYPES, find_in_packages

Json = dict[str, Any]
Way = Literal["id", "url", "package", "source-system", "target-system"]
"""How resources are found: by their id, by a search parameter, or by their URL among the tenant's packages."""
Place = tuple[str, Way, str]
"""A resource type, the way to find some of it, and the value to find it by."""

MOST_KEPT = 1_000
"""So many places with something in them are kept; whoever has more starts over."""
_MOST_ABSENT = 20_000
_NOTHING = Resources(())


class MissingOwn(MissingResource):
    """Resources of the tenant have to be fetched before the question can be answered."""

    def __init__(self, place: Place) -> None:
        super().__init__(place[0], place[2])
        self.place = place


class OwnTerminology:
    """What the tenant has stored, and after it what its packages hold, as far as it was fetched: a source.

    Several versions of a resource may be there. Shared by all that ask: nobody may change what it gives.
    """

    def __init__(self) -> None:
        self._found: dict[Place, tuple[list[Json], Resources]] = {}
        self._absent: set[Place] = set()

    @property
    def is_full(self) -> bool:
        """Whether it holds so much that it should be forgotten."""
        return len(self._found) >= MOST_KEPT

    def find(self, resource_type: str, canonical: str) -> Json | None:
        """Return the resource of a canonical URL, or of ``Type/id``. Raises MissingOwn."""
        # Only the types whose changes are counted can be kept until they change.
        if resource_type not in COUNTED_TYPES:
            return None
        reference = local(canonical)
        if reference is not None:
            kind, _, id_ = reference.partition("/")
            found = self.at((kind, "id", id_)) if kind == resource_type else []
            return found[0] if found else None
        url = canonical.partition("|")[0]
        stored = self._resources((resource_type, "url", url)).find(resource_type, canonical)
        return stored or self._resources((resource_type, "package", url)).find(resource_type, canonical)

    def code_system(self, canonical: str) -> CodeSystem | None:
        """Return the code system of a canonical URL. Raises MissingOwn."""
        url = canonical.partition("|")[0]
        stored = self._resources(("CodeSystem", "url", url)).code_system(canonical)
        return stored or self._resources(("CodeSystem", "package", url)).code_system(canonical)

    def versions(self, url: str) -> Sequence[str]:
        """Return the versions of a code system. Raises MissingOwn."""
        ways: tuple[Way, Way] = ("url", "package")
        return [version for way in ways for version in self._resources(("CodeSystem", way, url)).versions(url)]

    def at(self, place: Place) -> list[Json]:
        """Return the resources found at a place. Raises MissingOwn."""
        found = self._found.get(place)
        if found is not None:
            return found[0]
        if place in self._absent:
            return []
        raise MissingOwn(place)

    def _resources(self, place: Place) -> Resources:
        found = self._found.get(place)
        if found is not None:
            return found[1]
        if place in self._absent:
            return _NOTHING
        raise MissingOwn(place)

    def put(self, place: Place, resources: list[Json]) -> None:
        """Note what there is at a place."""
        if resources:
            self._found[place] = resources, Resources(resources)
            return
        # Clients write these, so there is no end of them.
        if len(self._absent) >= _MOST_ABSENT:
            self._absent.clear()
        self._absent.add(place)


async def fetch_place(session: Session, tenant: int, place: Place) -> list[Json]:
    """Return the tenant's resources at a place, in one statement."""
    resource_type, way, value = place
    if way == "id":
        content = await find_by_id(session, tenant, resource_type, value)
        contents = [] if content is None else [content]
    elif way == "package":
        contents = [found for _, found in await find_in_packages(session, tenant, resource_type, value)]
    else:
        token = slot(tenant, standard().of(resource_type)[way]).token(value)
        contents = await find_carrying(session, tenant, resource_type, token)
    return [msgspec.json.decode(content) for content in contents]
