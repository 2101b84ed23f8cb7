"""Interactions run in process on a database of the module's own, by callers with any grants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import pytest

from conformance.decode import decode, encode
from fhir_server.auth.caller import DEFAULT_TENANT, Caller, Grant, anonymous
from fhir_server.errors import FhirError
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.interactions.request import Answer, Conditions, Request, parse_query, parse_target
from fhir_server.interactions.run import run
from fhir_server.operations.registry import Operations
from fhir_server.store.database import Database

Resource = dict[str, Any]
T = TypeVar("T")


@dataclass
class Desk:
    """Sends requests to interactions without HTTP."""

    dsn: str
    operations: Operations = field(default_factory=dict)
    enforce_references: bool = False

    def work(self, caller: Caller, act: Callable[[Context], Awaitable[T]]) -> T:
        """Run an act in a context of its own."""

        async def go() -> T:
            database = Database(self.dsn, max_connections=2)
            await database.open()
            try:
                server = Server(
                    database, b"key", self.operations, instant(), enforce_references=self.enforce_references
                )
                return await act(Context(server, caller, "http://test/fhir", instant()))
            finally:
                await database.close()

        return asyncio.run(go())

    def ask(self, caller: Caller, method: str, url: str, body: Resource | None = None, **conditions: str) -> Answer:
        """Run one request; raises what the interaction raises."""
        path, _, query = url.partition("?")
        request = Request(
            parse_target(method, path, parse_query(query)),
            Conditions(**conditions),
            body=None if body is None else encode(body),
        )
        return self.work(caller, lambda context: run(context, request))

    def status(self, caller: Caller, method: str, url: str, body: Resource | None = None, **conditions: str) -> int:
        """Return the status of one request."""
        try:
            return self.ask(caller, method, url, body, **conditions).status
        except FhirError as error:
            return error.status

    def patch(self, caller: Caller, url: str, operations: list[Resource]) -> int:
        """Send a JSON Patch; return the status."""
        target = parse_target("PATCH", url)
        request = Request(target, body=msgspec.json.encode(operations), media_type="application/json-patch+json")
        try:
            return self.work(caller, lambda context: run(context, request)).status
        except FhirError as error:
            return error.status

    def get(self, caller: Caller, url: str) -> Resource:
        """Return the resource at a URL."""
        return decode(self.ask(caller, "GET", url).content or b"")


@pytest.fixture
def desk(dsn: str) -> Desk:
    """Requests against this module's database."""
    return Desk(dsn)


@pytest.fixture
def anyone() -> Caller:
    """A caller who may do everything."""
    return anonymous()


def caller_with(*grants: Grant) -> Caller:
    """Return a caller with these grants."""
    return Caller("tester", DEFAULT_TENANT, grants)
