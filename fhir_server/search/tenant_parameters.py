"""The SearchParameters of each tenant, as a process knows them, https://hl7.org/fhir/R4/searchparameter.html.

They change while several processes run. A process asks the database at most once a second whether anything changed, off
the path of requests, and a set is used no longer than ``LEASE_SECONDS`` after the last answer. So ``GRACE_SECONDS`` after
a change has been committed every process indexes by it; reindexing starts only then and covers all that came before.
"""

from __future__ import annotations

import asyncio
import logging
import time

from conformance.decode import decode
from fhir_server.errors import FhirError
from fhir_server.search.registry import SearchParameters, standard
from fhir_server.search.user_parameters import UserParameter, definition_of, extend, is_in_force
from fhir_server.store.database import Database, Session
from fhir_server.store.index_state import (
    Generations,
    read_generations,
    read_indexed,
    read_outdated,
    read_parameters,
)

log = logging.getLogger("praxis.search")

REFRESH_SECONDS = 1.0
LEASE_SECONDS = 3.0
GRACE_SECONDS = 4.0
# A tenant that isn't among the kept ones is read anew when it calls.
_MOST_TENANTS = 1000


class TenantParameters:
    """Keeps the current set of each tenant. ``of`` is quick; ``prepare`` must have been awaited in the same request.

    ``writes`` counts what this process itself did to SearchParameters and other definitions.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.writes = 0
        self._checked = float("-inf")
        self._generations = Generations({}, outdated=False)
        self._known: dict[int, tuple[int, SearchParameters]] = {}
        self._check: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()

    def note_write(self) -> None:
        """Note that this process is about to write a definition; whoever then commits calls ``expect_change``."""
        self.writes += 1

    def expect_change(self) -> None:
        """Have the next request ask the database, so that a client finds its own change in effect."""
        self._checked = float("-inf")

    def of(self, tenant: int) -> SearchParameters:
        """Return the current parameters of a tenant."""
        known = self._known.get(tenant)
        return known[1] if known is not None else standard()

    def is_ready(self, tenant: int) -> bool:
        """Tell whether ``prepare`` would have nothing to do: the question on every request's path."""
        return self._age() < REFRESH_SECONDS and self._is_current(tenant)

    def _is_current(self, tenant: int) -> bool:
        known = self._known.get(tenant)
        generation = self._generations.by_tenant.get(tenant, 0)
        if known is None:
            return generation == 0 and not self._generations.outdated
        return known[0] == generation

    async def prepare(self, tenant: int) -> None:
        """See to it that the tenant's parameters are current; waits for the database only when it must.

        Raises Unavailable when it must and the database is away.
        """
        if self._age() >= LEASE_SECONDS:
            async with self._reading:
                if self._age() >= LEASE_SECONDS:  # nobody was faster
                    await self.refresh()
        elif self._age() >= REFRESH_SECONDS and self._check is None:
            self._check = asyncio.create_task(self._refresh_later())
        if not self._is_current(tenant):
            async with self._reading:
                if not self._is_current(tenant):
                    await self._read(tenant)

    def _age(self) -> float:
        return time.monotonic() - self._checked

    async def refresh(self) -> None:
        """Ask the database now whether anything changed."""
        # The answer is as old as the question.
        asked = time.monotonic()
        async with self._database.session() as session:
            generations = await read_generations(session)
        if asked > self._checked:
            self._generations, self._checked = generations, asked

    async def _refresh_later(self) -> None:
        try:
            await self.refresh()
        except FhirError as error:
            log.warning("search parameters can't be checked for changes: %s", error)
        finally:
            self._check = None

    def definitions_generation(self, tenant: int) -> int:
        """Return how often the tenant's definitions have changed, as far as is known."""
        return self._generations.definitions.get(tenant, 0)

    async def _read(self, tenant: int) -> None:
        # Read after the generation, so the set may be newer than its number says, and is then read once more.
        generation = self._generations.by_tenant.get(tenant, 0)
        async with self._database.session() as session:
            parameters = await read_tenant_parameters(session, tenant)
        if len(self._known) >= _MOST_TENANTS:
            self._known.clear()
        self._known[tenant] = generation, parameters


async def read_tenant_parameters(session: Session, tenant: int) -> SearchParameters:
    """Return the parameters of a tenant as the session sees them."""
    stored = await read_parameters(session, tenant)
    indexed = await read_indexed(session, tenant)
    outdated = await read_outdated(session, tenant)
    resources = [(s, decode(s.content, "SearchParameter")) for s in stored]
    users = [UserParameter(s.id, s.version, definition_of(r)) for s, r in resources if is_in_force(r)]
    return extend(users, indexed, outdated)
