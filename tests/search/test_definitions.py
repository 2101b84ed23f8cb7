"""A tenant's definitions as its processes know them: where they come from, and when they are known anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from conformance.terminology.errors import MissingResource
from conformance.validation import Validator, has_errors
from fhir_server.auth.caller import Caller, Grant
from fhir_server.errors import Unprocessable
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.interactions.request import Request, parse_target
from fhir_server.interactions.run import run
from fhir_server.operations.packages import install, read_content, remove
from fhir_server.search import definitions
from fhir_server.search.definitions import Find, Library
from fhir_server.store.database import Database, Session
from fhir_server.store.packages import COUNTED_TYPES
from fhir_server.store.tables import type_ids
from tests.conformance.packages.archives import package
from tests.shared import shared

Json = dict[str, Any]
T = TypeVar("T")
PATIENT = "http://hl7.org/fhir/StructureDefinition/Patient"
URL = "http://example.org/v"


def value_set(version: str, **more: Any) -> Json:
    """Return a ValueSet."""
    return {"resourceType": "ValueSet", "url": URL, "version": version, "status": "active", **more}


class Process:
    """A process of a server, and a tenant at it."""

    def __init__(self, database: Database, tenant: int) -> None:
        self.server = Server(database, b"key", {}, instant())
        self.tenant = tenant

    async def library(self) -> Library:
        """Return the tenant's library as it is now."""
        self.server.tenant_parameters.expect_change()
        await self.server.tenant_parameters.prepare(self.tenant)
        return self.server.definitions.library(self.tenant)

    async def settle(self, ask: Callable[[Find], T]) -> T:
        """Ask the library as it is now."""
        library = await self.library()
        async with self.server.database.session() as session:
            return await library.settle(session, ask)

    async def title(self, canonical: str) -> str | None:
        """Return the title of a ValueSet."""
        found = await self.settle(lambda find: find("ValueSet", canonical))
        return None if found is None else str(found.get("title"))

    async def write(self, method: str, url: str, body: bytes | None = None) -> None:
        """Run an interaction."""
        context = Context(self.server, Caller("x", self.tenant, (Grant(),)), "http://test/fhir", instant())
        assert (await run(context, Request(parse_target(method, url), body=body))).status < 300

    async def install(self, *resources: Json, **manifest: Any) -> None:
        """Install a package."""
        content = read_content(package(*resources, **manifest))

        async with self.server.database.transaction() as session:
            await self._install(session, content)

    async def _install(self, session: Session, content: Any) -> None:
        await install(session, self.tenant, content, ignore_missing=True, subject="x", base_url="", now=instant())


def at(dsn: str, tenant: int, act: Callable[[Process, Process], Awaitable[T]]) -> T:
    """Let two processes of a tenant act."""

    async def go() -> T:
        database = Database(dsn, max_connections=4)
        await database.open()
        try:
            return await act(Process(database, tenant), Process(database, tenant))
        finally:
            await database.close()

    return asyncio.run(go())


def test_who_has_no_definitions_asks_no_database(dsn: str) -> None:
    async def act(one: Process, _: Process) -> None:
        library = await one.library()
        assert library.generation == 0
        found = library.find("StructureDefinition", PATIENT)
        assert found is not None
        assert found["snapshot"]
        assert library.find("ValueSet", "http://example.org/none") is None
        assert await library.guides(one.server.database.session) == definitions.Guides()

    at(dsn, 2, act)


def test_resources_go_before_packages_and_those_before_what_is_built_in(dsn: str) -> None:
    async def act(one: Process, other: Process) -> None:
        official = "http://hl7.org/fhir/ValueSet/administrative-gender"
        assert (await one.settle(lambda find: find("ValueSet", official))) is not None
        await one.install(value_set("1.10.0", title="new"), value_set("1.9.0", title="old"))
        await one.install(value_set("1", url=official, title="ours"), name="b.c")
        assert await other.title(URL) == "new"
        assert await other.title(f"{URL}|1.9.0") == "old"
        assert await other.title(f"{URL}|3") is None
        assert await other.title(official) == "ours"
        before = await one.library()
        assert await one.library() is before

        await one.write(
            "PUT",
            "ValueSet/a",
            b'{"resourceType":"ValueSet","id":"a","url":"%b","status":"active","title":"own"}' % URL.encode(),
        )
        assert await one.library() is not before
        assert await other.title(URL) == "own"
        assert await other.title(f"{URL}|1.10.0") == "new"
        await one.write("DELETE", "ValueSet/a")
        assert await other.title(URL) == "new"

        async with one.server.database.transaction() as session:
            assert await remove(session, one.tenant, "b.c", None) == ["1.0.0"]
        assert await other.title(official) != "ours"

    at(dsn, 3, act)


@pytest.mark.parametrize("resource_type", sorted(COUNTED_TYPES))
def test_every_write_of_a_definition_counts(dsn: str, resource_type: str) -> None:
    async def act(one: Process, _: Process) -> None:
        async def generation() -> int:
            return (await one.library()).generation

        start = await generation()
        async with one.server.database.transaction() as session:
            await session.execute(
                f"INSERT INTO resource_{resource_type.lower()} "
                "SELECT %s, t, 1, 1, now(), 1, 'C', 'a', '{}', NULL FROM (SELECT %s::int2 AS t) AS x",
                (one.tenant, type_ids()[resource_type]),
            )
        assert await generation() == start + 1
        async with one.server.database.transaction() as session:
            await session.execute(f"UPDATE resource_{resource_type.lower()} SET tokens = '{{1}}' WHERE tenant = 4")
        assert await generation() == start + 1
        async with one.server.database.transaction() as session:
            await session.execute(f"DELETE FROM resource_{resource_type.lower()} WHERE tenant = 4")
        assert await generation() == start + 2

    at(dsn, 4, act)


def test_a_question_may_take_more_than_is_kept_but_not_any_number(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "MOST_KEPT", 3)
    monkeypatch.setattr(definitions, "MOST_ASKED", 20)

    async def act(one: Process, _: Process) -> None:
        await one.install(*(value_set("1", url=f"{URL}/{n}", title=str(n)) for n in range(30)))

        def ask(number: int) -> Callable[[Find], list[str]]:
            return lambda find: [str((find("ValueSet", f"{URL}/{n}") or {}).get("title")) for n in range(number)]

        assert await one.settle(ask(20)) == [str(n) for n in range(20)]
        with pytest.raises(Unprocessable, match="more than 20 definitions"):
            await one.settle(ask(30))
        library = await one.library()
        with pytest.raises(MissingResource):
            library.find("ValueSet", f"{URL}/0")
        assert library.find("Patient", URL) is None

    at(dsn, 6, act)


def test_a_validator_goes_by_us_core_once_it_is_installed(dsn: str) -> None:
    archive = shared("spec", "us-core", "hl7.fhir.us.core-6.1.0.tgz").read_bytes()
    profile = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"
    patient = {"resourceType": "Patient", "meta": {"profile": [profile]}, "gender": "male"}

    async def act(one: Process, other: Process) -> None:
        async with one.server.database.transaction() as session:
            await one._install(session, read_content(archive))
        issues = await other.settle(lambda find: Validator(find=find).validate(patient))
        assert has_errors(issues)
        assert any("identifier" in issue.diagnostics or "identifier" in str(issue.expression) for issue in issues)
        guides = await (await other.library()).guides(other.server.database.session)
        assert ("Patient", profile) in guides.profiles
        assert len(guides.profiles) == 49

    at(dsn, 10, act)
