"""A database of resources to search in, for the tests of search."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import psycopg

from fhir_server.auth.caller import Caller, Grant
from fhir_server.search.execute import Compartment, SearchPage, search, search_types
from fhir_server.search.index import index
from fhir_server.store.hashing import value_hash
from fhir_server.store.tables import type_ids

KEY = b"a key for cursors"
EVERYTHING = (Grant(),)
T = TypeVar("T")
ENCODE = msgspec.json.Encoder(decimal_format="number").encode


class Session:
    """One connection; counts the statements it ran."""

    in_transaction = False

    def __init__(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self.statements = 0

    async def fetch(self, sql: str, parameters: Sequence[Any], *, steady: bool = False) -> list[tuple[Any, ...]]:  # noqa: ARG002
        """Run a statement as the server's sessions do: prepared, with binary results."""
        self.statements += 1
        cursor = self._connection.cursor(binary=True)
        await cursor.execute(sql.encode(), parameters, prepare=True)
        return await cursor.fetchall()


class World:
    """The resources of one tenant that nobody else uses."""

    _tenants = itertools.count(1000)

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.tenant = next(self._tenants)
        self.base_url = ""
        self.resources: dict[tuple[str, str], dict[str, Any]] = {}
        self._keys = itertools.count(1)

    def run(self, act: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return asyncio.run(act)

    def put(self, *resources: dict[str, Any], tenant: int | None = None) -> None:
        """Store resources, each with an id and perhaps ``meta.lastUpdated``."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for resource in resources:
                self._put(connection, resource, self.tenant if tenant is None else tenant)

    def _put(self, connection: psycopg.Connection[Any], resource: dict[str, Any], tenant: int) -> None:
        resource_type, key = resource["resourceType"], next(self._keys)
        entries = index(resource_type, resource, tenant, base_url=self.base_url)
        updated = resource.get("meta", {}).get("lastUpdated")
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO resource"
                " (tenant, type, key, reference_hash, last_updated, version, method, id, tokens, content)"
                " VALUES (%s, %s, %s, %s, %s, 1, 'C', %s, %s::int8[], %s)",
                (
                    tenant,
                    type_ids()[resource_type],
                    key,
                    value_hash(f"{resource_type}/{resource['id']}"),
                    datetime.fromisoformat(updated) if updated else datetime.now(UTC),
                    resource["id"],
                    entries.tokens,
                    ENCODE(resource),
                ),
            )
            rows: list[tuple[str, tuple[Any, ...]]] = [("string_index", entry) for entry in entries.strings]
            rows += [("date_index", entry) for entry in entries.dates]
            rows += [("number_index", entry) for entry in entries.numbers]
            for table, (parameter, *values) in rows:
                marks = ", ".join(["%s"] * (3 + len(values)))
                cursor.execute(f"INSERT INTO {table} VALUES ({marks})", (tenant, parameter, key, *values))
            known: list[tuple[str, tuple[Any, ...]]] = [("text_dictionary", entry) for entry in entries.texts]
            known += [("unit_dictionary", entry) for entry in entries.units]
            for table, entry in known:
                marks = ", ".join(["%s"] * (1 + len(entry)))
                cursor.execute(f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT DO NOTHING", (tenant, *entry))
        if tenant == self.tenant:
            self.resources[resource_type, resource["id"]] = resource

    def delete(self, resource_type: str, id_: str) -> None:
        """Mark a resource as deleted, its index entries gone."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            row = connection.execute(
                "UPDATE resource SET content = NULL, tokens = '{}', method = 'D'"
                " WHERE tenant = %s AND type = %s AND id = %s RETURNING key",
                (self.tenant, type_ids()[resource_type], id_),
            ).fetchone()
            assert row is not None
            for table in ("string_index", "date_index", "number_index"):
                connection.execute(f"DELETE FROM {table} WHERE tenant = %s AND key = %s", (self.tenant, row[0]))
        del self.resources[resource_type, id_]

    def caller(self, grants: tuple[Grant, ...] = EVERYTHING, tenant: int | None = None) -> Caller:
        """Return a caller of this tenant."""
        return Caller("tester", self.tenant if tenant is None else tenant, grants)

    def page(
        self,
        resource_type: str,
        *parameters: tuple[str, str],
        caller: Caller | None = None,
        strict: bool = False,
        compartment: Compartment | None = None,
    ) -> SearchPage:
        """Run one search."""
        return self.counted(resource_type, parameters, caller=caller, strict=strict, compartment=compartment)[0]

    def counted(
        self,
        resource_type: str,
        parameters: Iterable[tuple[str, str]],
        *,
        caller: Caller | None = None,
        strict: bool = False,
        compartment: Compartment | None = None,
    ) -> tuple[SearchPage, int]:
        """Run one search and count its statements."""

        async def act() -> tuple[SearchPage, int]:
            async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
                session = Session(connection)
                page = await search(
                    session,
                    caller or self.caller(),
                    resource_type,
                    list(parameters),
                    cursor_key=KEY,
                    strict=strict,
                    compartment=compartment,
                    base_url=self.base_url,
                )
                return page, session.statements

        return self.run(act())

    def together(
        self,
        resource_types: Iterable[str],
        *parameters: tuple[str, str],
        caller: Caller | None = None,
        strict: bool = False,
        compartment: Compartment | None = None,
    ) -> SearchPage:
        """Run one search on several types, perhaps in a compartment."""

        async def act() -> SearchPage:
            async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
                return await search_types(
                    Session(connection),
                    caller or self.caller(),
                    tuple(resource_types),
                    list(parameters),
                    cursor_key=KEY,
                    strict=strict,
                    compartment=compartment,
                    base_url=self.base_url,
                )

        return self.run(act())

    def ids(self, resource_type: str, *parameters: tuple[str, str], **options: Any) -> list[str]:
        """Return the ids of the first page."""
        return [match.id for match in self.page(resource_type, *parameters, **options).matches]

    def walk(self, resource_type: str, *parameters: tuple[str, str], **options: Any) -> list[str]:
        """Return the ids of all pages."""
        pages = there_and_back(lambda cursor: self.page(resource_type, *parameters, *cursor, **options))
        return [match.id for page in pages for match in page.matches]


def there_and_back(read: Callable[[list[tuple[str, str]]], SearchPage]) -> list[SearchPage]:
    """Return all pages of a search; checks that the way back, from the last to the first, shows the same."""
    pages = [read([])]
    while (cursor := pages[-1].next_cursor) is not None:
        pages.append(read([("_cursor", cursor)]))
    assert pages[0].previous_cursor is None
    page = pages[-1]
    for before in pages[-2::-1]:
        assert page.previous_cursor is not None
        page = read([("_cursor", page.previous_cursor)])
        assert page.matches == before.matches
        assert page.next_cursor is not None
    assert page.previous_cursor is None
    return pages
