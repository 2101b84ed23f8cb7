"""The process that works through background jobs: deferred requests and reindexing, https://hl7.org/fhir/R4/async.html.

It is one of its own, so that long jobs never delay an HTTP answer.
"""

from __future__ import annotations

import asyncio
import signal

from fhir_server.interactions.deferred import REQUEST
from fhir_server.jobs.full_text import FullTextIndexing
from fhir_server.jobs.missing_indexes import keep_indexes
from fhir_server.jobs.reindex import ReindexJob, schedule
from fhir_server.jobs.requests import RequestJob
from fhir_server.jobs.runner import Runner
from fhir_server.main import open_server
from fhir_server.operations.reindex import KIND
from fhir_server.settings import Settings

REQUESTS_AT_ONCE = 2
STATEMENT_SECONDS = 1800.0
"""How long a statement of a job may take: what runs here is what takes too long for a request."""


async def run_jobs(settings: Settings, dsn: str) -> None:
    """Run jobs until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = settings.model_copy(update={"statement_timeout": STATEMENT_SECONDS})
    async with open_server(settings, dsn) as server:
        runner = Runner(server, {REQUEST: RequestJob(server), KIND: ReindexJob(server)})
        await schedule(server, settings.base_url or "")
        await asyncio.gather(
            runner.run(stop, [KIND]),
            runner.expire(stop),
            FullTextIndexing(server.database).run(stop),
            keep_indexes(dsn, stop),
            *(runner.run(stop, [REQUEST]) for _ in range(REQUESTS_AT_ONCE)),
        )
