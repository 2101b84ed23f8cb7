"""The dictionaries of texts and units as writers fill them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from fhir_server.search.index import index
from fhir_server.store.database import Database, Session
from fhir_server.store.entries import IndexEntries, TextEntry
from fhir_server.store.keys import next_key
from fhir_server.store.texts import add_texts
from fhir_server.store.write import Change, write


def change(id_: str, display: str, unit: str = "mg") -> Change:
    quantity = {"value": 5, "system": "http://unitsofmeasure.org", "code": unit}
    resource: dict[str, Any] = {
        "resourceType": "Observation",
        "id": id_,
        "valueQuantity": quantity,
        "code": {"text": display},
    }
    entries = index("Observation", resource, 7)
    return Change("Observation", id_, next_key(), 1, datetime.now(UTC), "C", b"{}", entries)


def texts(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT DISTINCT value FROM text_dictionary WHERE tenant = 7 ORDER BY value"
        ).fetchall()
    return [row[0] for row in rows]


class Counting(Session):
    """Counts statements that add to a dictionary."""

    added = 0

    async def fetch(self, sql: str, parameters: Any = (), *, steady: bool = False) -> list[tuple[Any, ...]]:
        """Run a statement."""
        Counting.added += "_dictionary" in sql
        return await super().fetch(sql, parameters, steady=steady)


async def write_each(database: Database, *changes: Change) -> list[int]:
    """Write each by itself; return how many statements that added to the dictionaries."""
    counts = []
    for one in changes:
        async with database.session() as session:
            counting = Counting(session._lender, session.known)
            Counting.added = 0
            await write(counting, 7, [one])
            await counting.end()
            counts.append(Counting.added)
    return counts


async def fail_after_writing(database: Database, one: Change) -> None:
    """Write in a transaction that is rolled back."""
    async with database.transaction() as session:
        await write(session, 7, [one])
        raise ZeroDivisionError


def test_only_new_texts_and_units_take_statements(dsn: str) -> None:
    async def act() -> list[int]:
        database = Database(dsn)
        await database.open()
        try:
            return await write_each(
                database, change("a", "Alpha"), change("b", "ALPHA"), change("c", "Beta"), change("d", "Beta", "g")
            )
        finally:
            await database.close()

    assert asyncio.run(act()) == [2, 0, 1, 1]
    assert texts(dsn) == ["alpha", "beta"]


def test_an_entry_that_was_rolled_back_is_not_taken_for_known(dsn: str) -> None:
    async def act() -> None:
        database = Database(dsn)
        await database.open()
        try:
            with pytest.raises(ZeroDivisionError):
                await fail_after_writing(database, change("e", "Gamma", "kg"))
            assert await write_each(database, change("e", "Gamma", "kg")) == [2]
            async with database.transaction() as session:
                await write(session, 7, [change("f", "Delta")])
            async with database.transaction() as session:  # finds it committed, and remembers
                await write(session, 7, [change("g", "Delta")])
            assert await write_each(database, change("h", "Delta")) == [0]
        finally:
            await database.close()

    asyncio.run(act())
    assert {"gamma", "delta"} <= set(texts(dsn))


def test_writers_of_the_same_texts_do_not_meet_in_a_circle(dsn: str) -> None:
    entries = [IndexEntries(texts=[TextEntry(p, f"t{p}", p)]) for p in range(40)]

    async def add(database: Database, order: list[IndexEntries]) -> None:
        async with database.transaction() as session:
            await add_texts(session, 8, order)
            await asyncio.sleep(0.01)

    async def act() -> None:
        database = Database(dsn)
        await database.open()
        try:
            await asyncio.gather(*(add(database, entries[:: -1 if n % 2 else 1]) for n in range(8)))
        finally:
            await database.close()

    asyncio.run(act())
    with psycopg.connect(dsn) as connection:
        count = connection.execute("SELECT count(*) FROM text_dictionary WHERE tenant = 8").fetchone()
    assert count == (40,)
