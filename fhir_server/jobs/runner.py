"""Works through background jobs: claims them under a lease, runs them, keeps their results.

Any number of these may run, in any number of processes. A job whose worker died is claimed again when its lease has run
out; one that isn't repeatable then fails instead, since part of it may have taken effect.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from fhir_server.auth.caller import Caller
from fhir_server.errors import Conflict, FhirError, TimedOut, Unavailable
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.interactions.failures import as_fhir_error
from fhir_server.jobs.requests import Work, failed
from fhir_server.store.jobs import (
    Job,
    LostJob,
    claim_job,
    expire_jobs,
    extend_lease,
    finish_job,
    release_job,
)

log = logging.getLogger("praxis.jobs")

LEASE_SECONDS = 15.0
POLL_SECONDS = 0.5
EXPIRE_SECONDS = 300.0
MOST_ATTEMPTS = 5


class Runner:
    """Runs jobs of the kinds in ``works``. ``lease`` and ``poll`` are in seconds."""

    def __init__(
        self, server: Server, works: Mapping[str, Work], *, lease: float = LEASE_SECONDS, poll: float = POLL_SECONDS
    ) -> None:
        self._server = server
        self._works = works
        self._lease = lease
        self._poll = poll
        self._worker = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"

    async def run(self, stop: asyncio.Event, kinds: Sequence[str]) -> None:
        """Run jobs of some kinds, one at a time, until ``stop`` is set; the one under way then is given back."""
        while not stop.is_set():
            try:
                claimed = await self.run_one(kinds, stop)
            except FhirError as error:  # the database is away: the next poll tries again
                log.warning("jobs can't be processed now: %s", error)
                claimed = False
            if not claimed:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._poll)

    async def expire(self, stop: asyncio.Event) -> None:
        """Remove results that are too old, now and then, until ``stop`` is set."""
        while not stop.is_set():
            try:
                async with self._server.database.session() as session:
                    await expire_jobs(session)
            except FhirError as error:
                log.warning("old jobs can't be removed now: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EXPIRE_SECONDS)

    async def run_one(self, kinds: Sequence[str], stop: asyncio.Event) -> bool:
        """Claim and run one job; False when there is none."""
        async with self._server.database.session() as session:
            job = await claim_job(session, kinds, self._worker, self._lease)
        if job is None:
            return False
        context = Context(self._server, Caller(job.subject, job.tenant, ()), "", instant())
        if job.attempts > (MOST_ATTEMPTS if job.repeatable else 1):
            await self._finish(job, failed(context, _broken(job)))
            return True
        try:
            result = await self._run(job, stop)
        except LostJob:
            log.info("job %s was cancelled or taken over", job.id)
        except asyncio.CancelledError:
            await self._give_back(job, context)
        except (Conflict, Unavailable, TimedOut) as error:
            await self._try_again(job, context, error)
        except Exception as error:
            log.exception("job %s failed", job.id)
            await self._finish(job, failed(context, as_fhir_error(error)))
        else:
            if result is not None:
                await self._finish(job, result)
        return True

    async def _run(self, job: Job, stop: asyncio.Event) -> bytes | None:
        """Run a job while its lease is extended; raises LostJob, or CancelledError when the process is to stop."""
        work = asyncio.ensure_future(self._works[job.kind](job))
        keep = asyncio.ensure_future(self._keep(job))
        stopping = asyncio.ensure_future(stop.wait())
        tasks: list[asyncio.Future[Any]] = [work, keep, stopping]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if keep.done():
                keep.result()
            raise asyncio.CancelledError
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, job: Job) -> None:
        """Extend the lease until it can't be; raises LostJob then."""
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                async with self._server.database.session() as session:
                    await extend_lease(session, job, self._lease)
            except LostJob:
                raise
            except FhirError as error:
                log.warning("the lease of job %s can't be extended now: %s", job.id, error)

    async def _finish(self, job: Job, result: bytes) -> None:
        with suppress(LostJob):
            async with self._server.database.session() as session:
                await finish_job(session, job, result)

    async def _give_back(self, job: Job, context: Context) -> None:
        """Leave a job to another process, because this one stops."""
        if not job.repeatable:
            await self._finish(job, failed(context, _broken(job)))
            return
        async with self._server.database.session() as session:
            await release_job(session, job)

    async def _try_again(self, job: Job, context: Context, error: FhirError) -> None:
        """Leave a job that met a busy database for later; one that isn't repeatable ends with the error."""
        if not job.repeatable or job.attempts >= MOST_ATTEMPTS:
            await self._finish(job, failed(context, error))
            return
        log.warning("job %s will be tried again: %s", job.id, error)
        await asyncio.sleep(self._poll * job.attempts)
        async with self._server.database.session() as session:
            await release_job(session, job)


def _broken(job: Job) -> FhirError:
    if job.repeatable:
        return FhirError(f"The server stopped {job.attempts - 1} times while it was at this; it is not tried again.")
    return FhirError(
        "The server stopped while it was at this. Part of it may have taken effect, so it is not begun again: look at what "
        "is stored before you send it once more.",
        code="incomplete",
    )
