"""Processing the inbox: claims messages lane by lane and gives each its effect, exactly once.

The FHIR writes and the message's status commit in one transaction. Messages of one lane take turns, different lanes
run side by side,
also in several processes; a message whose content fails goes to quarantine and holds up only its own lane. Contract:
docs/hl7v2.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from conformance.decode import encode
from conformance.issues import InvalidResource
from fhir_server.errors import FhirError
from fhir_server.operations.contract import OperationError
from fhir_server.operations.feed import Apply, ContentError, FeedContext, Received
from fhir_server.store import inbox
from fhir_server.store.database import Database
from fhir_server.store.inbox import Session

log = logging.getLogger(__name__)

BATCH = 32
MAX_ATTEMPTS = 10
POLL_SECONDS = 0.5
_TRANSIENT_STATUSES = (409, 412, 429, 503, 504)  # 412: another client changed what was looked up
_CLIENT_ERRORS = range(400, 500)


class Unit(Protocol):
    """One transaction: a session for the inbox, and a context whose reads and writes happen on it."""

    @property
    def session(self) -> Session:
        """The session inside the transaction."""

    @property
    def context(self) -> FeedContext:
        """Reads and writes inside the transaction."""


Begin = Callable[[], AbstractAsyncContextManager[Unit]]


class StoredInbox:
    """The inbox of one tenant in the database. ``arrived`` is set whenever there is something to process."""

    def __init__(self, database: Database, tenant: int, arrived: asyncio.Event | None = None) -> None:
        self._database = database
        self._tenant = tenant
        self._arrived = arrived

    async def receive(self, batch: Sequence[Received]) -> list[bytes]:
        """Store a batch durably, in one transaction, and return the acknowledgements."""
        async with self._database.transaction() as session:
            acks = await inbox.insert(session, self._tenant, batch)
        if self._arrived is not None:
            self._arrived.set()
        return acks


def _is_content(error: Exception) -> bool:
    """Whether trying again is pointless: the message itself is refused."""
    if isinstance(error, ContentError | InvalidResource | OperationError):
        return True
    if isinstance(error, FhirError):
        return error.status in _CLIENT_ERRORS and error.status not in _TRANSIENT_STATUSES
    return False


class Lanes:
    """Works through one tenant's inbox. Any number of these may run, in any number of processes."""

    def __init__(self, begin: Begin, apply: Apply, tenant: int, *, batch: int = BATCH) -> None:
        self._begin = begin
        self._apply = apply
        self._tenant = tenant
        self._batch = batch

    async def process(self) -> int:
        """Process one batch; returns how many messages were resolved, that is processed or quarantined."""
        claimed: list[int] = []
        try:
            async with self._begin() as unit:
                messages = await inbox.claim(unit.session, self._tenant, self._batch)
                claimed = [m.id for m in messages]
                if not claimed:
                    return 0
                await self._effect(unit, messages)
        except Exception as error:
            if not claimed:
                raise
            log.info("%d messages could not be applied together (%s); one by one", len(claimed), type(error).__name__)
            return sum([await self._process_one(id_) for id_ in claimed])
        return len(claimed)

    async def _effect(self, unit: Unit, messages: Sequence[inbox.Claimed]) -> None:
        reports = await self._apply([m.raw for m in messages], unit.context)
        finished = [(m.id, encode(report)) for m, report in zip(messages, reports, strict=True)]
        await inbox.finish(unit.session, self._tenant, finished)

    async def _process_one(self, id_: int) -> int:
        attempts = 0
        try:
            async with self._begin() as unit:
                message = await inbox.claim_one(unit.session, self._tenant, id_)
                if message is None:
                    return 0
                attempts = message.attempts
                await self._effect(unit, [message])
        except Exception as error:
            quarantine = _is_content(error) or attempts + 1 >= MAX_ATTEMPTS
            if not quarantine:
                log.warning("message %d: %s; will be tried again", id_, type(error).__name__)
            elif not _is_content(error):
                log.exception("message %d failed %d times and is quarantined", id_, attempts + 1)
            async with self._begin() as unit:
                await inbox.fail(unit.session, self._tenant, id_, describe(error), quarantine=quarantine)
            return int(quarantine)
        return 1

    async def run(self, stop: asyncio.Event, arrived: asyncio.Event | None = None) -> None:
        """Process until ``stop`` is set; ``arrived`` wakes the loop earlier than its poll interval."""
        wake = arrived if arrived is not None else asyncio.Event()
        while not stop.is_set():
            wake.clear()
            try:
                resolved = await self.process()
            except FhirError as error:  # the database is away: the next poll tries again
                log.warning("the inbox can't be processed now: %s", error)
                resolved = 0
            if resolved == 0:
                await _first(stop, wake)


async def _first(stop: asyncio.Event, wake: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(wake.wait())]
    try:
        await asyncio.wait(waiting, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def describe(error: Exception) -> str:
    """Say why a message failed; for refused resources every issue with its expression."""
    issues = getattr(error, "issues", None)
    if issues:
        return "; ".join(f"{i.expression}: {i.diagnostics}" if i.expression else i.diagnostics for i in issues)
    return str(error) if _is_content(error) else f"{type(error).__name__}: {error}"
