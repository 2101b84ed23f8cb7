"""The processes of the HL7 v2 feed: one listens and makes messages durable, one gives them their effect.

They are two, so that converting a backlog never delays an acknowledgement. Contract with senders: docs/hl7v2.md.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fhir_server.auth.caller import DEFAULT_TENANT, Caller, Grant
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.jobs.inbox import Lanes, StoredInbox
from fhir_server.jobs.unit import Units
from fhir_server.settings import Settings
from fhir_server.store.database import Database
from fhir_server.validation.policy import parse_policy
from mappers.hl7v2.mllp import Listener
from mappers.hl7v2.reconcile import apply

CALLER = Caller("HL7 v2 feed", DEFAULT_TENANT, (Grant(),))
LANE_LOOPS = 2


@asynccontextmanager
async def _stopping() -> AsyncIterator[asyncio.Event]:
    """Yield an event that SIGTERM sets."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    yield stop


@asynccontextmanager
async def _database(settings: Settings, dsn: str, connections: int) -> AsyncIterator[Database]:
    database = Database(
        dsn,
        max_connections=connections,
        statement_timeout=settings.statement_timeout,
        pool_timeout=settings.pool_timeout,
        idle_timeout=settings.idle_timeout,
    )
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def listen(settings: Settings, dsn: str) -> None:
    """Accept messages over MLLP until SIGTERM."""
    async with _stopping() as stop, _database(settings, dsn, 2) as database:
        listener = Listener(StoredInbox(database, DEFAULT_TENANT))
        await listener.start(settings.mllp_host, settings.mllp_port)
        try:
            await stop.wait()
        finally:
            await listener.close()


def units(settings: Settings, database: Database) -> Units:
    """Return the transactions that messages take effect in, under the server's policies on references and validity."""
    enforced = settings.referential_integrity == "enforce"
    validation = parse_policy(settings.validation)
    server = Server(database, b"", {}, instant(), enforce_references=enforced, validation=validation)
    return Units(Context(server, CALLER, "", instant()))


async def process_inbox(settings: Settings, dsn: str) -> None:
    """Give received messages their effect until SIGTERM."""
    async with _stopping() as stop, _database(settings, dsn, LANE_LOOPS + 1) as database:
        lanes = Lanes(units(settings, database), apply, DEFAULT_TENANT)
        await asyncio.gather(*(lanes.run(stop) for _ in range(LANE_LOOPS)))
