"""Building the indexes that a bulk load took down and then died, while a server runs on the same database."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from fhir_server.errors import FhirError
from fhir_server.store.search_indexes import build_missing

log = logging.getLogger("praxis.jobs")

EVERY_SECONDS = 60.0


async def keep_indexes(dsn: str, stop: asyncio.Event, every: float = EVERY_SECONDS) -> None:
    """Look for missing indexes ``every`` so many seconds and build them, until ``stop`` is set."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(build_missing, dsn)
        except FhirError as error:
            log.warning("missing indexes can't be built now: %s", error)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every)
