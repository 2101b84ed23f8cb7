"""A feed on a real database, for tests: inbox, lanes, and the messages' effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import create_engine

from fhir_server.auth.caller import DEFAULT_TENANT, anonymous
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.jobs.inbox import Lanes, StoredInbox
from fhir_server.jobs.unit import Units
from fhir_server.operations.feed import Apply
from fhir_server.store.database import Database
from fhir_server.store.inbox import message_inbox
from mappers.hl7v2.receive import receive
from mappers.hl7v2.reconcile import apply

TENANT = DEFAULT_TENANT
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Feed:
    """The parts of a feed, and short ways to look at what came of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.inbox = StoredInbox(database, TENANT)
        server = Server(database=database, cursor_key=b"k" * 32, operations={}, started=instant())
        self.units = Units(Context(server, anonymous(), "http://test/fhir", instant()))

    def lanes(self, effect: Apply = apply, batch: int = 32) -> Lanes:
        """Return a worker."""
        return Lanes(self.units, effect, TENANT, batch=batch)

    async def take(self, *raws: bytes) -> list[bytes]:
        """Receive messages as one group and return the acknowledgements."""
        return await self.inbox.receive([receive(raw, NOW) for raw in raws])

    async def settle(self, effect: Apply = apply, batch: int = 32) -> None:
        """Process until nothing is left that can be."""
        lanes = self.lanes(effect, batch)
        while await lanes.process():
            pass

    async def rows(self, columns: str = "status") -> list[Any]:
        """Return columns of the inbox in order of arrival."""
        async with self.database.session() as session:
            found = await session.fetch(f"SELECT {columns} FROM message_inbox WHERE tenant = %s ORDER BY id", (TENANT,))
        return [row[0] if len(row) == 1 else tuple(row) for row in found]

    async def search(self, resource_type: str, **parameters: str) -> list[dict[str, Any]]:
        """Search as a client does."""
        async with self.units() as unit:
            return await unit.context.search(resource_type, list(parameters.items()))

    async def one(self, resource_type: str, **parameters: str) -> dict[str, Any]:
        """Return the only match."""
        (found,) = await self.search(resource_type, **parameters)
        return found


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Feed]:
    """Open a feed on an emptied database."""
    database = Database(dsn, max_connections=8)
    await database.open()
    try:
        async with database.session() as session:
            tables = "resource, resource_history, string_index, date_index, number_index, message_inbox"
            await session.execute(f"TRUNCATE {tables}")
        yield Feed(database)
    finally:
        await database.close()


def make_inbox(dsn: str) -> None:
    """Create the inbox's table unless the migrations have."""
    engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://", 1))
    message_inbox.create(engine, checkfirst=True)
    engine.dispose()


def run(dsn: str, story: Callable[[Feed], Awaitable[None]]) -> None:
    """Run a story on an empty feed."""

    async def main() -> None:
        async with opened(dsn) as feed:
            await story(feed)

    make_inbox(dsn)
    asyncio.run(main())
