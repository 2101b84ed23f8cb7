"""Indexing words for ``_text`` and ``_content`` in the background, https://hl7.org/fhir/R4/search.html#all.

Writes don't wait for it and searches don't need it: they look themselves at what isn't indexed yet. It goes through what
was updated last, in small batches with pauses, so that it never takes much of the database. Any number of processes may run
this; a type of a tenant is one's at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from fhir_server.errors import FhirError
from fhir_server.store import index_state
from fhir_server.store.database import Database
from fhir_server.store.full_text import MARGIN_SECONDS, Place, find_due, index_next, read_horizon

log = logging.getLogger("praxis.jobs")

BATCH = 100
IDLE_SECONDS = 5.0
SHARE = 0.1
"""How much of the time it is at work while there is something to do."""


class FullTextIndexing:
    """Indexes the words of resources. ``margin`` (see store.full_text) and ``idle``, between passes, are in seconds."""

    def __init__(
        self,
        database: Database,
        *,
        batch: int = BATCH,
        margin: float = MARGIN_SECONDS,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self._database = database
        self._batch = batch
        self._margin = margin
        self._idle = idle

    async def run(self, stop: asyncio.Event) -> None:
        """Index until ``stop`` is set."""
        await _pause(stop, self._idle)  # while a server starts, others need the processor
        while not stop.is_set():
            try:
                await self.run_once(stop)
            except FhirError as error:  # the database is away or busy: the next pass tries again
                log.warning("words can't be indexed now: %s", error)
            await _pause(stop, self._idle)

    async def run_once(self, stop: asyncio.Event | None = None) -> None:
        """Go once through all that may not be indexed yet; stops early, between batches, when ``stop`` is set."""
        async with self._database.session() as session:
            for tenant in await index_state.read_tenants(session):
                for resource_type in await find_due(session, tenant):
                    await self._index(tenant, resource_type, stop)

    async def _index(self, tenant: int, resource_type: str, stop: asyncio.Event | None) -> None:
        place: Place | None = None
        async with self._database.session() as session:
            # Of the whole pass: what is committed during it may lie before the place that it has reached.
            horizon = await read_horizon(session, self._margin)
        while stop is None or not stop.is_set():
            started = time.monotonic()
            async with self._database.transaction() as session:
                place = await index_next(session, tenant, resource_type, place, horizon, self._batch)
            if place is None:
                return
            if stop is not None:
                await _pause(stop, (time.monotonic() - started) * (1 / SHARE - 1))


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
