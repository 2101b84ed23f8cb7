"""Index entries made anew beside writers, https://www.postgresql.org/docs/current/transaction-iso.html."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from fhir_server.errors import Conflict
from fhir_server.store.database import Database
from fhir_server.store.entries import IndexEntries, StringEntry
from fhir_server.store.write import Change, Method, rewrite_entries, write

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TENANT = 77


def change(version: int, text: str, *, method: Method = "U", expected: int | None = None) -> Change:
    entries = IndexEntries(tokens=[version], strings=[StringEntry(1, text)])
    return Change("Patient", "one", 1, version, NOW, method, text.encode(), entries, expected)


def test_a_writer_that_met_a_rewrite_tries_again(dsn: str) -> None:
    """Its statement can't see the range rows that came while it waited; they must not stay behind."""

    async def go() -> list[tuple[object, ...]]:
        database = Database(dsn, max_connections=4)
        await database.open()
        try:
            async with database.session() as session:
                await write(session, TENANT, [change(1, "first", method="C")])
            async with database.session() as writer:
                async with database.transaction() as rewriter:
                    assert await rewrite_entries(rewriter, TENANT, [change(1, "rewritten")]) == 1
                    waiting = asyncio.create_task(write(writer, TENANT, [change(2, "second", expected=1)]))
                    await asyncio.sleep(0.3)
                    assert not waiting.done()
                with pytest.raises(Conflict):
                    await waiting
                await write(writer, TENANT, [change(2, "second", expected=1)])
                assert await rewrite_entries(writer, TENANT, [change(1, "too late")]) == 0
                rows = await writer.fetch("SELECT value FROM string_index WHERE tenant = %s", (TENANT,))
                rows += await writer.fetch("SELECT tokens FROM resource_patient WHERE tenant = %s", (TENANT,))
                return rows + await writer.fetch("SELECT version FROM resource_history WHERE tenant = %s", (TENANT,))
        finally:
            await database.close()

    assert asyncio.run(go()) == [("second",), ([2],), (1,)]
