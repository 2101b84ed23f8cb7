"""The imported code systems of each tenant, as a process knows them, https://hl7.org/fhir/R4/terminology-service.html.

They change while several processes run. A process asks the database at most once a second, when terminology is asked for,
whether a tenant's have changed; what it then has to read are a few lines.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from conformance.terminology.code_system import CodeSystem, Json
from conformance.terminology.errors import MissingResource
from conformance.terminology.files.read import ConceptFile
from fhir_server.store.code_system_cache import open_cached
from fhir_server.store.code_system_files import StoredFile, list_files, read_generations
from fhir_server.store.database import Database

REFRESH_SECONDS = 1.0
_MOST_TENANTS = 1000


class TenantCodeSystems:
    """Imported code systems at one moment: a source for the terminology engine, see ``conformance.terminology.source``.

    What is there but not yet on this host raises MissingResource; :meth:`CodeSystems.fetch` gets it, then try again.
    """

    def __init__(self, files: Sequence[StoredFile], opened: Mapping[bytes, ConceptFile]) -> None:
        self._files: dict[str, list[StoredFile]] = {}
        for file in files:
            if file.whole:
                self._files.setdefault(file.url, []).append(file)
        self._opened = opened

    def stored(self, canonical: str) -> StoredFile | None:
        """Return what is stored under a canonical URL: that version, or the newest of an edition, or the current one."""
        url, _, version = canonical.partition("|")
        known = self._files.get(url, [])
        if not version:
            return known[0] if known else None
        exact = next((file for file in known if file.version == version), None)
        # SNOMED CT names an edition without its date: http://hl7.org/fhir/R4/snomedct.html
        edition = [file for file in known if file.version.startswith(f"{version}/")]
        return exact or max(edition, key=lambda file: file.version, default=None)

    def code_system(self, canonical: str) -> CodeSystem | None:
        """Return the code system of a canonical URL, perhaps ``url|version``; None if it wasn't imported."""
        file = self.stored(canonical)
        if file is None:
            return None
        opened = self._opened.get(file.sha256)
        if opened is None:
            raise MissingResource("CodeSystem", canonical)
        return opened

    def find(self, resource_type: str, canonical: str) -> Json | None:
        """Return the CodeSystem resource of a canonical URL, without concepts; None for every other type."""
        found = self.code_system(canonical) if resource_type == "CodeSystem" else None
        return None if found is None else {**found.resource}

    def versions(self, url: str) -> Sequence[str]:
        """Return the imported versions of a code system, the current one first."""
        return list(dict.fromkeys(file.version for file in self._files.get(url, ())))

    def files(self) -> list[StoredFile]:
        """Return all files, by URL, the current one first; what a tenant has itself goes before what is there for all."""
        return [file for files in self._files.values() for file in files]


class CodeSystems:
    """Keeps what was imported, and the files that this process has opened. ``folder`` is a cache of this host."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._opened: dict[bytes, ConceptFile] = {}
        self._known: dict[int, tuple[Mapping[int, int], float, TenantCodeSystems]] = {}
        self._asking, self._fetching = asyncio.Lock(), asyncio.Lock()

    async def of(self, tenant: int) -> TenantCodeSystems:
        """Return a tenant's code systems; asks the database when the last answer is older than a second.

        Raises Unavailable when it must ask and the database is away.
        """
        known = self._known.get(tenant)
        if known is not None and time.monotonic() - known[1] < REFRESH_SECONDS:
            return known[2]
        async with self._asking:
            known = self._known.get(tenant)
            if known is None or time.monotonic() - known[1] >= REFRESH_SECONDS:
                known = await self._ask(tenant, known)
        return known[2]

    async def _ask(
        self, tenant: int, known: tuple[Mapping[int, int], float, TenantCodeSystems] | None
    ) -> tuple[Mapping[int, int], float, TenantCodeSystems]:
        asked = time.monotonic()
        async with self._database.session() as session:
            generations = await read_generations(session, tenant)
            if known is not None and known[0] == generations:
                systems = known[2]
            else:
                # Read after the generations: a change in between is found anew a second later.
                systems = TenantCodeSystems(await list_files(session, tenant) if generations else (), self._opened)
        if len(self._known) >= _MOST_TENANTS and tenant not in self._known:
            self._known.clear()
        self._known[tenant] = made = (generations, asked, systems)
        return made

    async def fetch(self, tenant: int, canonical: str) -> bool:
        """Open the code system of a canonical URL; return whether it was imported at all. Raises Unavailable."""
        file = (await self.of(tenant)).stored(canonical)
        if file is None:
            return False
        async with self._fetching:
            if file.sha256 not in self._opened:
                self._forget_removed()
                self._opened[file.sha256] = await open_cached(self._folder, self._database, file)
        return True

    def _forget_removed(self) -> None:
        """Close the files that no tenant has any more."""
        used = {file.sha256 for _, _, systems in self._known.values() for file in systems.files()}
        for sha256 in self._opened.keys() - used:
            del self._opened[sha256]

    async def code_system(self, tenant: int, canonical: str) -> CodeSystem | None:
        """Return an imported code system by its canonical URL, fetched when need be; None if it wasn't imported."""
        return (await self.of(tenant)).code_system(canonical) if await self.fetch(tenant, canonical) else None
