"""Statements that are too long for psycopg's cache take their parameters in the same order as others."""

from __future__ import annotations

import asyncio

from fhir_server.store.database import LONG_STATEMENT, Database, Row


def test_parameters_of_a_long_statement_keep_their_places(dsn: str) -> None:
    """The same rows, in binary, with a comment that makes the text long and without."""

    async def ask(filler: str) -> list[Row]:
        database = Database(dsn, max_connections=1)
        await database.open()
        try:
            async with database.session() as session:
                statement = f"SELECT %s::text, %s::int8[], %s::bytea, %s::int4 {filler}"
                return await session.fetch(statement, ["a%sb $1", [2**40, None], b"\x00\xff", 7])
        finally:
            await database.close()

    short, long = asyncio.run(ask("")), asyncio.run(ask(f"/*{' ' * LONG_STATEMENT}*/"))
    assert short == long == [("a%sb $1", [2**40, None], b"\x00\xff", 7)]
