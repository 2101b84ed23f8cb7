"""``$expunge``: what is removed is gone for good, with its versions and index rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.integration.answers import Resource, count, create, outcome_of, resource_of
from tests.server import RunningServer


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of a server over a database of this module's own."""
    with server.client() as client:
        yield client


def expunge(client: httpx.Client, where: str, **flags: Any) -> httpx.Response:
    """Call the operation."""
    names = {bool: "valueBoolean", int: "valueInteger"}
    parameters = [{"name": name, names[type(value)]: value} for name, value in flags.items()]
    body = {"resourceType": "Parameters", **({"parameter": parameters} if parameters else {})}
    return client.post(f"{where}/$expunge", json=body)


def removed(client: httpx.Client, where: str, **flags: Any) -> int:
    """Call the operation and return its count."""
    response = expunge(client, where, **flags)
    assert response.status_code == 200, response.text
    (out,) = resource_of(response)["parameter"]
    assert out["name"] == "count"
    return int(out["valueInteger"])


def versions(client: httpx.Client, url: str) -> list[str]:
    """Return the version ids in a history."""
    return [e["response"]["etag"] for e in resource_of(client.get(f"{url}/_history")).get("entry", [])]


def with_versions(client: httpx.Client, number: int, **more: object) -> tuple[str, Resource]:
    """Create a Patient with so many versions; return its URL."""
    stored = create(client, {"resourceType": "Patient", **more})
    for _ in range(number - 1):
        client.put(f"/Patient/{stored['id']}", json=stored).raise_for_status()
    return f"/Patient/{stored['id']}", stored


def test_previous_versions_of_an_instance(http: httpx.Client) -> None:
    url, stored = with_versions(http, 5)
    other, _ = with_versions(http, 2)
    assert removed(http, url, expungeDeletedResources=True) == 0
    assert removed(http, url, expungePreviousVersions=True, limit=3) == 3
    assert removed(http, url, expungePreviousVersions=True) == 1
    assert versions(http, url) == ['W/"5"']
    assert resource_of(http.get(f"{url}/_history"))["total"] == 1
    outcome_of(http.get(f"{url}/_history/4"), 404)
    assert versions(http, other) == ['W/"2"', 'W/"1"']
    assert http.put(url, json=stored).headers["etag"] == 'W/"6"'


def test_deleted_resources_of_an_instance_and_a_type(http: httpx.Client) -> None:
    url, stored = with_versions(http, 2)
    http.delete(url)
    assert removed(http, url, expungeDeletedResources=True) == 3
    outcome_of(http.get(url), 404)
    outcome_of(http.get(f"{url}/_history"), 404)
    outcome_of(expunge(http, url, expungeDeletedResources=True), 404)
    assert http.put(url, json=stored).headers["etag"] == 'W/"1"'
    dead = [with_versions(http, 1)[0] for _ in range(3)]
    alive, _ = with_versions(http, 2)
    for each in dead:
        http.delete(each)
    organization = create(http, {"resourceType": "Organization", "name": "x"})
    http.delete(f"/Organization/{organization['id']}")
    assert removed(http, "/Patient", expungeDeletedResources=True, limit=2) == 4
    assert removed(http, "/Patient", expungeDeletedResources=True, limit=2) == 2
    assert {http.get(each).status_code for each in dead} == {404}
    assert versions(http, alive) == ['W/"2"', 'W/"1"']
    assert http.get(f"/Organization/{organization['id']}").status_code == 410
    assert removed(http, "", expungeDeletedResources=True) == 2


def test_everything(http: httpx.Client, dsn: str) -> None:
    family = f"F{uuid4().hex}"
    url, stored = with_versions(http, 3, name=[{"family": family}], birthDate="1984-02-29")
    create(
        http, {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "valueQuantity": {"value": 1}}
    )
    outcome_of(expunge(http, "/Patient", expungeEverything=True), 400)
    outcome_of(expunge(http, url, expungeEverything=True), 400)
    assert removed(http, "", expungeEverything=True, limit=1) > 0
    assert removed(http, "", expungeEverything=True) > 0
    assert removed(http, "", expungeEverything=True) == 0
    with psycopg.connect(dsn) as connection:
        for table in ("resource", "resource_history", "string_index", "date_index", "number_index", "load_ledger"):
            rows = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
            assert rows == (0,), table
    assert http.put(url, json=stored).status_code == 201
    assert count(http, "Patient", family=family) == 1


def test_what_is_refused(http: httpx.Client) -> None:
    url, _ = with_versions(http, 2)
    outcome_of(expunge(http, url), 400)
    outcome_of(expunge(http, url, expungePreviousVersions=False), 400)
    outcome_of(expunge(http, url, expungePreviousVersions=True, limit=0), 400)
    outcome_of(expunge(http, url, nonsense=True), 400)
    outcome_of(expunge(http, "/Patient/nobody", expungePreviousVersions=True), 404)
    outcome_of(http.get(f"{url}/$expunge?expungePreviousVersions=true"), 405)
    assert versions(http, url) == ['W/"2"', 'W/"1"']
