"""Imported code systems in operations and searches, and what a transaction that is undone leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from conformance.decode import decode, encode
from conformance.terminology.code_system import Concept
from conformance.terminology.files.read import ConceptFile
from conformance.terminology.files.write import write_concepts
from fhir_server.auth.caller import DEFAULT_TENANT, anonymous
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.interactions.request import Conditions, Request, parse_query, parse_target
from fhir_server.interactions.run import run
from fhir_server.operations.registry import register
from fhir_server.operations.standard import STANDARD
from fhir_server.search.environment import Environment
from fhir_server.search.terms import answer
from fhir_server.store.code_system_files import store_file
from fhir_server.store.code_systems import CodeSystems
from fhir_server.store.database import Database, Session
from tests.operations.conftest import Resource, observation, resource

T = TypeVar("T")
DRUGS = "http://own.org/cs/drugs"


class _Undo(Exception):
    """Ends a transaction."""


def _work(dsn: str, cache: Path, act: Callable[[Context], Awaitable[T]]) -> T:
    """Run an act on a server with imported code systems."""

    async def go() -> T:
        database = Database(dsn, max_connections=2)
        await database.open()
        try:
            server = Server(
                database, b"key", register(STANDARD), instant(), code_systems=CodeSystems(database, cache / "cache")
            )
            return await act(Context(server, anonymous(), "http://test/fhir", instant()))
        finally:
            await database.close()

    return asyncio.run(go())


async def _ask(context: Context, method: str, url: str, body: Resource | None = None) -> Resource:
    path, _, query = url.partition("?")
    target = parse_target(method, path, parse_query(query))
    answer = await run(context, Request(target, Conditions(), body=None if body is None else encode(body)))
    return decode(answer.content) if answer.content else {}


async def _import(context: Context, folder: Path) -> None:
    path = folder / "drugs.made"
    described = {"resourceType": "CodeSystem", "url": DRUGS, "version": "2026", "title": "Drugs", "content": "complete"}
    written = {**described, "hierarchyMeaning": "is-a"}
    concepts = [("opioid", []), ("codeine", ["opioid"]), ("aspirin", [])]
    write_concepts(path, written, [(Concept(code, code.capitalize()), parents) for code, parents in concepts])
    async with context.database.session() as session:
        await store_file(session, DEFAULT_TENANT, path, ConceptFile(path).resource, lambda *_: None)


def test_an_imported_code_system_is_known_to_operations_and_searches(dsn: str, tmp_path: Path) -> None:
    async def act(context: Context) -> tuple[Resource, Resource, Resource, Resource]:
        await _import(context, tmp_path)
        for code in ("codeine", "aspirin"):
            coded = {"code": {"coding": [{"system": DRUGS, "code": code}]}}
            await _ask(context, "PUT", f"Observation/{code}", observation(code, "p") | coded)
        # A resource that only names the code system doesn't hide it.
        stub = resource("CodeSystem", "drugs", url=DRUGS, status="active", content="not-present")
        await _ask(context, "PUT", "CodeSystem/drugs", stub)
        return (
            await _ask(context, "GET", f"CodeSystem/$lookup?system={DRUGS}&code=codeine"),
            await _ask(context, "GET", f"CodeSystem/$subsumes?system={DRUGS}&codeA=opioid&codeB=codeine"),
            await _ask(context, "GET", f"Observation?code:below={DRUGS}|opioid"),
            await _ask(context, "GET", "metadata?mode=terminology"),
        )

    found, relation, observations, terms = _work(dsn, tmp_path, act)
    assert {"name": "display", "valueString": "Codeine"} in found["parameter"]
    assert relation["parameter"] == [{"name": "outcome", "valueCode": "subsumes"}]
    assert [entry["resource"]["id"] for entry in observations["entry"]] == ["codeine"]
    assert {"uri": DRUGS, "version": [{"code": "2026", "isDefault": True}]} in terms["codeSystem"]


def test_what_a_transaction_saw_is_forgotten_when_it_is_undone(dsn: str, tmp_path: Path) -> None:
    url = "http://own.org/vs/undone"
    listed = {"include": [{"system": "urn:x", "concept": [{"code": "first"}]}]}
    value_set = resource("ValueSet", "undone", url=url, status="active", compose=listed)

    async def act(context: Context) -> list[object]:
        await _ask(context, "PUT", "ValueSet/undone", value_set)
        await context.server.tenant_parameters.refresh()
        environment = Environment(DEFAULT_TENANT, context.parameters, context.base_url)
        question = ("in", url)
        found: list[object] = []

        async def ask(session: Session) -> None:
            answers = await answer(session, environment, [question], context.server.terminologies)
            found.append(answers[question])

        with contextlib.suppress(_Undo):
            async with context.database.transaction() as session:
                await session.execute(
                    "UPDATE resource SET content = convert_to(replace(convert_from(content, 'UTF8'), 'first', 'second'),"
                    " 'UTF8') WHERE id = 'undone'"
                )
                await ask(session)
                raise _Undo
        async with context.database.session() as session:
            await ask(session)
        return found

    assert _work(dsn, tmp_path, act) == [frozenset({("urn:x", "second")}), frozenset({("urn:x", "first")})]
