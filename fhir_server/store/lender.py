"""Connections lent from a pool, https://www.psycopg.org/psycopg3/docs/advanced/pool.html."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

import psycopg
from psycopg_pool import AsyncConnectionPool

Row = tuple[Any, ...]
Connection = psycopg.AsyncConnection[Row]
Pool = AsyncConnectionPool[Connection]

MOST_AT_ONCE = 4
PATIENCE = 0.05
"""Seconds. Statements that take longer hold up no others."""

# Keeps running checks from being collected.
_checks: set[asyncio.Future[None]] = set()


class Lender(Protocol):
    """Where a session's connection comes from and goes."""

    async def lend(self) -> Connection:
        """Return a connection; raises psycopg's errors and those of its pool."""

    async def take_back(self, connection: Connection) -> None:
        """Take a connection that ``lend`` gave."""


class PoolLender:
    """Lends the connections of a pool, few at once for as long as none takes long.

    More statements at the same time than the processors can run only push each other out of their caches: with 4
    connections in place of 12, each in a process of PostgreSQL's own, two cores did a third more searches.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lent = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def lend(self) -> Connection:
        """See Lender. Waits for another's return, PATIENCE at most, where MOST_AT_ONCE are lent already."""
        if self._lent >= MOST_AT_ONCE:
            await self._wait()
        self._lent += 1
        try:
            return await self._pool.getconn()
        except BaseException:
            self._returned()
            raise

    async def take_back(self, connection: Connection) -> None:
        """See Lender."""
        broken = connection.closed
        try:
            await self._pool.putconn(connection)
        finally:
            self._returned()
        if broken:
            # Where one connection broke the others probably did too: drop them now, not one failed request at a time.
            check = asyncio.ensure_future(self._pool.check())
            _checks.add(check)
            check.add_done_callback(_checks.discard)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        patience = loop.call_later(PATIENCE, _end, turn)
        try:
            await turn
        finally:
            patience.cancel()

    def _returned(self) -> None:
        self._lent -= 1
        while self._waiting:
            if _end(self._waiting.popleft()):
                return


def _end(turn: asyncio.Future[None]) -> bool:
    """End a wait; tell whether it still went on."""
    if turn.done():
        return False
    turn.set_result(None)
    return True
