"""Connections lent from a pool, https://www.psycopg.org/psycopg3/docs/advanced/pool.html."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import psycopg
from psycopg_pool import AsyncConnectionPool

Row = tuple[Any, ...]
Connection = psycopg.AsyncConnection[Row]
Pool = AsyncConnectionPool[Connection]

# Keeps running checks from being collected.
_checks: set[asyncio.Future[None]] = set()


class Lender(Protocol):
    """Where a session's connection comes from and goes."""

    async def lend(self) -> Connection:
        """Return a connection; raises psycopg's errors and those of its pool."""

    async def take_back(self, connection: Connection) -> None:
        """Take a connection that ``lend`` gave."""


class PoolLender:
    """Lends the connections of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def lend(self) -> Connection:
        """See Lender."""
        return await self._pool.getconn()

    async def take_back(self, connection: Connection) -> None:
        """See Lender."""
        broken = connection.closed
        await self._pool.putconn(connection)
        if broken:
            # Where one connection broke the others probably did too: drop them now, not one failed request at a time.
            check = asyncio.ensure_future(self._pool.check())
            _checks.add(check)
            check.add_done_callback(_checks.discard)
