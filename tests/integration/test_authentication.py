"""``--auth on``: bearer tokens over HTTP, RFC 6750."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from fhir_server.auth.caller import DEFAULT_TENANT
from fhir_server.auth.tokens import create_token
from fhir_server.store.database import Database
from fhir_server.store.tokens import revoke_tokens
from tests.integration.answers import bundle_of, create, entry, outcome_of, resource_of
from tests.server import RunningServer

PATIENT = {"resourceType": "Patient"}


@pytest.fixture(scope="module")
def server(dsn: str) -> Iterator[RunningServer]:
    """A server that asks for a token."""
    with RunningServer.on_database(dsn, auth=True) as running:
        yield running


def make_token(dsn: str, subject: str, *, tenant: int = DEFAULT_TENANT, expires_at: datetime | None = None) -> str:
    """Make a token in the server's database."""

    async def make() -> str:
        database = Database(dsn, max_connections=1)
        await database.open()
        try:
            async with database.session() as session:
                return await create_token(session, tenant, subject, expires_at=expires_at)
        finally:
            await database.close()

    return asyncio.run(make())


def revoke(dsn: str, subject: str) -> None:
    """Revoke a subject's tokens."""

    async def run() -> None:
        database = Database(dsn, max_connections=1)
        await database.open()
        try:
            async with database.session() as session:
                assert await revoke_tokens(session, DEFAULT_TENANT, subject, datetime.now(UTC)) == 1
        finally:
            await database.close()

    asyncio.run(run())


def ask(server: RunningServer, authorization: str | None) -> httpx.Response:
    """Search with an Authorization header."""
    headers = {} if authorization is None else {"authorization": authorization}
    return httpx.get(f"{server.base_url}/Patient", headers=headers)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/Patient"),
        ("GET", "/Patient/1"),
        ("GET", "/Patient/1/_history"),
        ("GET", "/Patient/1/_history/1"),
        ("POST", "/Patient"),
        ("PUT", "/Patient/1"),
        ("DELETE", "/Patient/1"),
        ("POST", "/Patient/_search"),
        ("POST", "/"),
        ("POST", "/Patient/$anything"),
        ("POST", "/$anything"),
    ],
)
def test_nothing_without_a_credential(server: RunningServer, method: str, path: str) -> None:
    response = httpx.request(method, server.base_url + path)
    assert outcome_of(response, 401)["issue"][0]["code"] == "login"
    assert response.headers["www-authenticate"] == 'Bearer realm="praxis"'


def test_the_capability_statement_is_public(server: RunningServer) -> None:
    statement = resource_of(httpx.get(f"{server.base_url}/metadata"))
    assert "Bearer" in statement["rest"][0]["security"]["description"]


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer x",
        "Bearer praxis_1_" + "A" * 43,
        "Bearer praxis_999999999_" + "A" * 43,
        "Bearer praxis_99999999999999999999_" + "A" * 43,
        "Bearer praxis_1_" + "A" * 5000,
        "bearer '; DROP TABLE access_token; --",
    ],
)
def test_unknown_tokens(server: RunningServer, authorization: str) -> None:
    response = ask(server, authorization)
    outcome_of(response, 401)
    assert response.headers["www-authenticate"] == 'Bearer realm="praxis", error="invalid_token"'


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic dXNlcjpwYXNz", "praxis_1_x"])
def test_other_schemes(server: RunningServer, authorization: str) -> None:
    outcome_of(ask(server, authorization), 401)


def test_a_token_opens_its_tenant_until_it_expires_or_is_revoked(server: RunningServer, dsn: str) -> None:
    token = make_token(dsn, "app")
    with server.client(authorization=f"Bearer {token}") as client:
        stored = create(client, PATIENT)
        assert resource_of(client.get(f"/Patient/{stored['id']}")) == stored
        assert client.get("/Patient", headers={"authorization": f"bEaReR  {token}"}).status_code == 200
        # Another tenant sees none of it, and conditions of both do not meet.
        other = make_token(dsn, "other", tenant=2)
        headers = {"authorization": f"Bearer {other}"}
        outcome_of(client.get(f"/Patient/{stored['id']}", headers=headers), 404)
        assert "entry" not in resource_of(client.get("/Patient", headers=headers))
        bundle = bundle_of("transaction", entry("GET", f"Patient/{stored['id']}"))
        outcome_of(client.post("/", json=bundle, headers=headers), 404)
    assert ask(server, f"Bearer {token[:-1]}").status_code == 401
    past = make_token(dsn, "late", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    outcome_of(ask(server, f"Bearer {past}"), 401)
    revoked = make_token(dsn, "gone")
    revoke(dsn, "gone")
    outcome_of(ask(server, f"Bearer {revoked}"), 401)
