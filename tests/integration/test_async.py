"""``Prefer: respond-async`` over HTTP, https://hl7.org/fhir/R4/async.html: accepted, in progress, finished, forgotten."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import psycopg
import pytest

from fhir_server.auth.caller import DEFAULT_TENANT
from fhir_server.auth.tokens import create_token
from fhir_server.store.database import Database
from tests.integration.answers import bundle_of, count, create, entry, outcome_of, resource_of
from tests.server import RunningServer

LATER = {"Prefer": "respond-async"}
PATIENCE = 60


def kick_off(client: httpx.Client, method: str, url: str, **arguments: Any) -> str:
    """Send a request that is answered later; return where its state is."""
    response = client.request(method, url, headers={**LATER, **arguments.pop("headers", {})}, **arguments)
    assert response.status_code == 202, response.text
    assert resource_of(response)["resourceType"] == "OperationOutcome"
    place = response.headers["content-location"]
    assert place.startswith(f"{client.base_url}_async/")
    return str(place)


def await_result(client: httpx.Client, place: str) -> dict[str, Any]:
    """Ask for the state until the job is finished; return the entry of its Bundle."""
    until = time.monotonic() + PATIENCE
    while True:
        response = client.get(place)
        if response.status_code != 202:
            break
        assert response.headers["x-progress"]
        assert int(response.headers["retry-after"]) >= 1
        assert time.monotonic() < until, "the job did not finish"
        time.sleep(0.05)
    assert response.status_code == 200, response.text
    bundle = resource_of(response)
    assert bundle["type"] == "batch-response"
    (only,) = bundle["entry"]
    return dict(only)


def test_a_search_later_finds_what_it_finds_now(client: httpx.Client) -> None:
    patient = create(client, {"resourceType": "Patient", "name": [{"family": "Asynchronous"}]})
    done = await_result(client, kick_off(client, "GET", "/Patient?name=asynchronous"))
    assert done["response"]["status"] == "200 OK"
    assert [e["resource"]["id"] for e in done["resource"]["entry"]] == [patient["id"]]
    links = {link["relation"]: link["url"] for link in done["resource"]["link"]}
    assert links["self"] == f"{client.base_url}Patient?name=asynchronous"


def test_a_search_by_post_and_a_history_and_an_operation(client: httpx.Client) -> None:
    patient = create(client, {"resourceType": "Patient", "name": [{"family": "Posted"}]})
    by_post = kick_off(client, "POST", "/Patient/_search", data={"name": "posted"})
    history = kick_off(client, "GET", f"/Patient/{patient['id']}/_history")
    assert [e["resource"]["id"] for e in await_result(client, by_post)["resource"]["entry"]] == [patient["id"]]
    assert await_result(client, history)["resource"]["type"] == "history"
    suggested = await_result(client, kick_off(client, "GET", "/Encounter/$suggest-codes?text=Type+2+diabetes"))
    assert suggested["response"]["status"] == "200 OK", suggested


def test_a_batch_and_a_transaction_take_effect_once(client: httpx.Client) -> None:
    for type_ in ("batch", "transaction"):
        family = f"Later{type_}"
        bundle = bundle_of(type_, entry("POST", "Patient", {"resourceType": "Patient", "name": [{"family": family}]}))
        done = await_result(client, kick_off(client, "POST", "", json=bundle))
        assert done["resource"]["type"] == f"{type_}-response"
        assert [e["response"]["status"] for e in done["resource"]["entry"]] == ["201 Created"]
        assert count(client, "Patient", family=family) == 1


@pytest.mark.parametrize(
    ("method", "url", "body", "status"),
    [
        ("GET", "/Patient?birthdate=nonsense", None, "400"),
        ("GET", "/Patient/$no-such-thing", None, None),
        ("POST", "", {"resourceType": "Bundle", "type": "collection"}, "400"),
        (
            "POST",
            "",
            bundle_of("transaction", entry("POST", "Patient", {"resourceType": "Patient", "gender": "x"})),
            "422",
        ),
    ],
)
def test_what_is_wrong_is_told(
    client: httpx.Client, method: str, url: str, body: dict[str, Any] | None, status: str | None
) -> None:
    """In the result; what isn't offered at all is refused at once."""
    if status is None:
        outcome_of(client.request(method, url, headers=LATER), 404)
        return
    done = await_result(client, kick_off(client, method, url, json=body))
    assert done["response"]["status"][:3] in (status, "400"), done
    assert done["response"]["outcome"]["issue"][0]["severity"] in ("error", "fatal")


def test_quick_requests_are_answered_at_once(client: httpx.Client) -> None:
    """A preference may be left aside."""
    response = client.post("/Patient", json={"resourceType": "Patient"}, headers=LATER)
    assert response.status_code == 201
    assert client.get(f"/Patient/{resource_of(response)['id']}", headers=LATER).status_code == 200


def test_a_result_can_be_forgotten(client: httpx.Client) -> None:
    place = kick_off(client, "GET", "/Patient")
    await_result(client, place)
    assert client.delete(place).status_code == 202
    assert client.get(place).status_code == 410
    outcome_of(client.delete(place), 404)
    outcome_of(client.get("/_async/0190-never"), 404)
    outcome_of(client.post(place), 405)


def test_a_result_is_its_owners_alone(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection, RunningServer.on_database(dsn, auth=True) as server:
        tokens = [_token(dsn, name) for name in ("one", "other")]
        with (
            server.client(Authorization=f"Bearer {tokens[0]}") as mine,
            server.client(Authorization=f"Bearer {tokens[1]}") as theirs,
        ):
            place = kick_off(mine, "GET", "/Patient")
            await_result(mine, place)
            outcome_of(theirs.get(place), 404)
            outcome_of(theirs.delete(place), 404)
            assert mine.get(place).status_code == 200
            connection.execute(
                "UPDATE job SET expires_at = now() - interval '1 second' WHERE tenant = %s", (DEFAULT_TENANT,)
            )
            outcome_of(mine.get(place), 404)


def _token(dsn: str, name: str) -> str:
    async def make() -> str:
        database = Database(dsn, max_connections=1)
        await database.open()
        try:
            async with database.session() as session:
                return await create_token(session, DEFAULT_TENANT, name)
        finally:
            await database.close()

    return asyncio.run(make())
