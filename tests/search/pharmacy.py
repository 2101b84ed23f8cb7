"""A database written as interactions write it, for tests of what resources contain."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from conformance.decode import decode, encode
from fhir_server.auth.caller import Caller, Grant
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.interactions.prepare import prepare_delete, prepare_write
from fhir_server.search.execute import SearchPage, search
from fhir_server.store.database import Database
from fhir_server.store.read import read
from fhir_server.store.write import write
from tests.search.world import EVERYTHING, KEY

T = TypeVar("T")
_tenants = itertools.count(70_000)


class Pharmacy:
    """The resources of one tenant, written as interactions write them."""

    def __init__(self, dsn: str) -> None:
        self.tenant = next(_tenants)
        self.database = Database(dsn, max_connections=4)
        self.server = Server(self.database, KEY, {}, instant())

    def context(self) -> Context:
        """Return what a request of somebody who may do everything is given."""
        return Context(self.server, Caller("tester", self.tenant, EVERYTHING), "http://example.org/fhir", instant())

    async def put(self, id_: str, resource: dict[str, Any] | None) -> None:
        """Store a version, or delete what is there."""
        context, type_ = self.context(), "MedicationRequest" if resource is None else resource["resourceType"]
        async with self.database.session() as session:
            current = await read(session, self.tenant, type_, id_)
            if resource is None:
                assert current is not None
                change = prepare_delete(type_, current, context.now)
            else:
                checked = decode(encode(resource), type_)
                change = prepare_write(context, checked, id_, context.now, replaces=current, method="U")
            await write(session, self.tenant, [change])

    async def page(
        self, type_: str, *parameters: tuple[str, str], grants: tuple[Grant, ...] = EVERYTHING, **options: Any
    ) -> SearchPage:
        """Return one page."""
        async with self.database.searching() as session:
            caller = Caller("tester", self.tenant, grants)
            return await search(session, caller, type_, parameters, cursor_key=KEY, strict=True, **options)

    async def find(self, type_: str, *parameters: tuple[str, str], **options: Any) -> list[str]:
        """Return the addresses of all matches, page by page."""
        found: list[str] = []
        cursor: tuple[tuple[str, str], ...] = ()
        while True:
            page = await self.page(type_, *parameters, *cursor, **options)
            found += [f"{m.within}#{m.id}" if m.within else f"{m.resource_type}/{m.id}" for m in page.matches]
            if page.next_cursor is None:
                return found
            cursor = (("_cursor", page.next_cursor),)


def tell(dsn: str, story: Callable[[Pharmacy], Awaitable[T]]) -> T:
    """Run a story on a pharmacy of its own."""

    async def go() -> T:
        pharmacy = Pharmacy(dsn)
        await pharmacy.database.open()
        try:
            return await story(pharmacy)
        finally:
            await pharmacy.database.close()

    return asyncio.run(go())
