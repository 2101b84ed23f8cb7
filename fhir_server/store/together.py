"""Reads that wait at the same time, answered by one statement, https://hl7.org/fhir/R4/http.html#read.

A statement for one resource costs a process more than a resource does, so reads that arrive while others are under way
go together, as commits of a busy database do. A read that comes alone doesn't wait. Each sees whatever was committed
before it came, since its statement starts later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fhir_server.store.database import Session
from fhir_server.store.read import Version, read_many

MOST_TOGETHER = 64
MOST_UNDER_WAY = 2
"""How many statements on one type of one tenant run at a time; a slow one must not hold up all reads."""

_Group = tuple[int, str]
_Waiting = dict[str, list[asyncio.Future[Version | None]]]


class Reads:
    """Reads current versions for all requests of a process; ``lend`` gives a session."""

    def __init__(self, lend: Callable[[], AbstractAsyncContextManager[Session]]) -> None:
        self._lend = lend
        self._waiting: dict[_Group, _Waiting] = {}
        self._under_way: dict[_Group, set[asyncio.Task[None]]] = {}

    async def read(self, tenant: int, resource_type: str, id_: str) -> Version | None:
        """Return the current version, or None when the id was never used; raises as the session does."""
        loop = asyncio.get_running_loop()
        group = tenant, resource_type
        found: asyncio.Future[Version | None] = loop.create_future()
        self._waiting.setdefault(group, {}).setdefault(id_, []).append(found)
        tasks = self._under_way.setdefault(group, set())
        if len(tasks) < MOST_UNDER_WAY:
            tasks.add(loop.create_task(self._answer(group)))
        return await found

    async def _answer(self, group: _Group) -> None:
        """Answer what waits, and what came meanwhile, until nothing does."""
        try:
            while waiting := self._waiting.pop(group, None):
                ids = list(waiting)
                for id_ in ids[MOST_TOGETHER:]:
                    self._waiting.setdefault(group, {})[id_] = waiting.pop(id_)
                await self._fetch(group, waiting)
        finally:
            tasks = self._under_way[group]
            tasks.discard(asyncio.current_task())
            if not tasks:
                del self._under_way[group]

    async def _fetch(self, group: _Group, waiting: _Waiting) -> None:
        try:
            async with self._lend() as session:
                versions = await read_many(session, *group, list(waiting))
        except BaseException as error:
            for future in (future for futures in waiting.values() for future in futures):
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
            return
        for id_, futures in waiting.items():
            for future in futures:
                if not future.done():
                    future.set_result(versions.get(id_))
