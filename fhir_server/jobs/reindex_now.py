"""Reindexing that somebody waits for: ``praxis reindex``, https://hl7.org/fhir/R4/search.html.

The job is an ordinary one, so whoever claims it first does it: a server's jobs process that runs on the same database, or
this process itself. What is cut off here goes on in a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from conformance.decode import decode
from fhir_server.auth.caller import DEFAULT_TENANT
from fhir_server.errors import FhirError
from fhir_server.interactions.context import Server, instant
from fhir_server.jobs.reindex import ReindexJob
from fhir_server.jobs.runner import Runner
from fhir_server.operations.reindex import KIND, add_reindexing
from fhir_server.search.tenant_parameters import GRACE_SECONDS
from fhir_server.store.jobs import JobState, read_job

SUBJECT = "praxis reindex"
POLL_SECONDS = 0.25


async def reindex_now(
    server: Server,
    types: Sequence[str],
    base_url: str,
    show: Callable[[str], None],
    *,
    grace: float = GRACE_SECONDS,
) -> str:
    """Make the index entries of some types (none: of all) anew and return what was done, as a sentence.

    ``show`` is told how far the job is. Raises InvalidRequest for an unknown type, FhirError when the job fails or is cancelled.
    """
    async with server.database.session() as session:
        id_ = await add_reindexing(session, DEFAULT_TENANT, SUBJECT, types, base_url, instant())
    stop = asyncio.Event()
    runner = Runner(server, {KIND: ReindexJob(server, grace=grace)})
    working = asyncio.ensure_future(runner.run(stop, [KIND]))
    try:
        return _told(await _wait(server, id_, show))
    finally:
        stop.set()
        await working


async def _wait(server: Server, id_: str, show: Callable[[str], None]) -> JobState:
    """Return the state of the job once it is finished."""
    while True:
        async with server.database.session() as session:
            state = await read_job(session, DEFAULT_TENANT, SUBJECT, id_)
        if state is None or state.status == "cancelled":
            raise FhirError("The job was cancelled.")
        if state.result is not None:
            return state
        show(state.progress)
        await asyncio.sleep(POLL_SECONDS)


def _told(state: JobState) -> str:
    (entry,) = decode(state.result or b"", "Bundle")["entry"]
    outcome = entry["response"].get("outcome")
    if outcome is not None:
        raise FhirError(outcome["issue"][0]["diagnostics"])
    return str(entry["resource"]["issue"][0]["diagnostics"])
