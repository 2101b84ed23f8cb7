"""The definitions that a tenant goes by, as a process knows them, https://hl7.org/fhir/R4/references.html#canonical.

First the tenant's own resources, then those of the packages it has installed, then what comes with the server. Whoever
needs definitions (validation, terminology, snapshots) asks a plain function, :attr:`Library.find`, and never the database:
what isn't known yet ends the question, is fetched, and the question is asked again (:meth:`Library.settle`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from conformance.structures import find_definition
from conformance.terminology import shipped
from conformance.terminology.errors import MissingResource
from conformance.terminology.versions import version_key
from fhir_server.errors import Unprocessable
from fhir_server.search.registry import standard
from fhir_server.search.session import Session
from fhir_server.search.slot import slot
from fhir_server.search.tenant_parameters import TenantParameters
from fhir_server.store.canonical import find_carrying
from fhir_server.store.packages import COUNTED_TYPES, find_in_packages, read_guides

Json = dict[str, Any]
T = TypeVar("T")
Find = Callable[[str, str], Json | None]
Place = tuple[str, str]
"""A resource type and a canonical URL, perhaps ``url|version``."""

MOST_ASKED = 2_000
"""How many definitions of a tenant's own one question may take."""
MOST_KEPT = 300
_MOST_ABSENT = 20_000
_MOST_TENANTS = 100


@dataclass(frozen=True, slots=True)
class Guides:
    """What a tenant's packages are about: canonical URLs of ImplementationGuides, (resource type, URL) of profiles."""

    implementation_guides: tuple[str, ...] = ()
    profiles: tuple[tuple[str, str], ...] = ()


def find_built_in(resource_type: str, canonical: str) -> Json | None:
    """Return the definition that comes with the server, or None; each call a new dict."""
    return find_definition(resource_type, canonical) or shipped.find(resource_type, canonical)


async def fetch_own(session: Session, tenant: int, resource_type: str, canonical: str) -> Json | None:
    """Return the tenant's definition of a canonical URL, a resource or else of a package; None if there is none.

    Without a version, of several resources the newest that isn't retired counts, and of packages the highest version.
    """
    url, _, version = canonical.partition("|")
    token = slot(tenant, standard().of(resource_type)["url"]).token(url)
    contents = await find_carrying(session, tenant, resource_type, token)
    stored: list[Json] = [msgspec.json.decode(content) for content in contents]
    fitting = [r for r in stored if r.get("url") == url and (not version or r.get("version") == version)]
    if fitting:
        return next((r for r in fitting if r.get("status") != "retired"), fitting[0])
    packaged = [c for c in await find_in_packages(session, tenant, resource_type, url) if version in {"", c[0]}]
    if not packaged:
        return None
    _, content = max(packaged, key=lambda found: version_key(found[0]))
    definition: Json = msgspec.json.decode(content)
    return definition


class Library:
    """A tenant's definitions at one generation of them; what is made from them may be kept as long as it is the same object.

    The resources that it gives are shared: nobody may change them.
    """

    def __init__(self, tenant: int, generation: int) -> None:
        self.tenant = tenant
        self.generation = generation
        self._own: dict[Place, Json] = {}
        self._absent: set[Place] = set()
        self._guides = Guides() if generation == 0 else None

    def find(self, resource_type: str, canonical: str) -> Json | None:
        """Return a definition or None; raises MissingResource for one that has to be fetched, see ``settle``."""
        place = resource_type, canonical
        own = self._own.get(place)
        if own is not None:
            return own
        # Who never had a definition of their own is spared the database.
        if self.generation and resource_type in COUNTED_TYPES and place not in self._absent:
            raise MissingResource(resource_type, canonical)
        return find_built_in(resource_type, canonical)

    async def settle(self, session: Session, ask: Callable[[Find], T]) -> T:
        """Return what ``ask`` gives, called with a ``find`` as often as it takes until all it wants to know is there.

        That ``find`` is for this question only: what is kept longer, a compiled validator say, is built on the library's own.
        Raises Unprocessable when that is more than MOST_ASKED definitions, and what ``ask`` raises.
        """
        # What this question took stays at hand for it, whatever others push out meanwhile.
        asked: dict[Place, Json | None] = {}

        def find(resource_type: str, canonical: str) -> Json | None:
            place = resource_type, canonical
            return asked[place] if place in asked else self.find(resource_type, canonical)

        while True:
            try:
                return ask(find)
            except MissingResource as missing:
                if len(asked) >= MOST_ASKED:
                    raise Unprocessable(
                        f"It takes more than {MOST_ASKED:,} definitions to answer this.", code="too-costly"
                    ) from missing
                place = missing.resource_type, missing.canonical
                asked[place] = await self._fetch(session, place)

    async def _fetch(self, session: Session, place: Place) -> Json | None:
        own = await fetch_own(session, self.tenant, *place)
        if own is None:
            if len(self._absent) >= _MOST_ABSENT:
                self._absent.clear()
            self._absent.add(place)
            return await asyncio.to_thread(find_built_in, *place)
        while len(self._own) >= MOST_KEPT:
            del self._own[next(iter(self._own))]
        self._own[place] = own
        return own

    async def guides(self, session: Callable[[], AbstractAsyncContextManager[Session]]) -> Guides:
        """Return what the tenant's packages are about; ``session`` lends a connection, if one is needed."""
        if self._guides is None:
            async with session() as lent:
                guides, profiles = await read_guides(lent, self.tenant)
            urls = (f"{url}|{version}" if version else url for url, version in guides)
            self._guides = Guides(tuple(urls), tuple(profiles))
        return self._guides


class Definitions:
    """The libraries of all tenants, each current as far as ``TenantParameters`` has been prepared for the request."""

    def __init__(self, tenant_parameters: TenantParameters) -> None:
        self._tenant_parameters = tenant_parameters
        self._libraries: dict[int, Library] = {}

    def library(self, tenant: int) -> Library:
        """Return a tenant's library: the same object until its definitions change."""
        generation = self._tenant_parameters.definitions_generation(tenant)
        known = self._libraries.get(tenant)
        if known is None or known.generation != generation:
            if len(self._libraries) >= _MOST_TENANTS:
                self._libraries.clear()
            known = self._libraries[tenant] = Library(tenant, generation)
        return known
