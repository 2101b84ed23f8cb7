"""Many clients at once, two workers, https://hl7.org/fhir/R4/http.html#concurrency."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar
from uuid import uuid4

import httpx
import pytest

from tests.integration.answers import Resource, bundle_of, count, create, entry, find, resource_of
from tests.server import RunningServer

THREADS = 16
SYSTEM = "http://example.org/concurrency"
T = TypeVar("T")


@pytest.fixture(scope="module")
def server(dsn: str) -> Iterator[RunningServer]:
    """A server with two workers: conflicts must be settled by the database, not by a process."""
    with RunningServer.on_database(dsn, workers=2) as running:
        yield running


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of that server."""
    with server.client() as client:
        yield client


def together(server: RunningServer, act: Callable[[httpx.Client, int], T]) -> list[T]:
    """Run an act in every thread, all begun at the same moment, each with a client of its own."""
    barrier = Barrier(THREADS)

    def one(number: int) -> T:
        with server.client() as client:
            client.get("/Patient/none")  # a connection is open before the others begin
            barrier.wait()
            return act(client, number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


def patient(value: str, **more: object) -> Resource:
    """Return a Patient with an identifier."""
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], **more}


def test_equal_conditional_creates_make_one_resource(server: RunningServer, http: httpx.Client) -> None:
    value = str(uuid4())
    condition = f"identifier={SYSTEM}|{value}"

    def act(client: httpx.Client, number: int) -> tuple[int, str]:
        if number % 3 == 0:
            bundle = bundle_of("transaction", entry("POST", "Patient", patient(value), ifNoneExist=condition))
            response = client.post("/", json=bundle)
            answer = resource_of(response)["entry"][0]["response"]
            return int(answer["status"][:3]), answer["location"].split("/")[1]
        if number % 3 == 1:
            response = client.put(f"/Patient?{condition}", json=patient(value))
        else:
            response = client.post("/Patient", json=patient(value), headers={"if-none-exist": condition})
        return response.status_code, resource_of(response)["id"]

    answers = together(server, act)
    assert Counter(status for status, _ in answers) == {201: 1, 200: THREADS - 1}
    assert len({id_ for _, id_ in answers}) == 1
    assert count(http, "Patient", identifier=f"{SYSTEM}|{value}") == 1


def test_updates_of_one_resource_lose_no_version(server: RunningServer, http: httpx.Client) -> None:
    stored = create(http, patient("u"))
    path = f"/Patient/{stored['id']}"
    rounds = 4

    def act(client: httpx.Client, number: int) -> list[tuple[int, str]]:
        responses = [
            client.put(path, json={**stored, "gender": "other", "language": f"x-{number}"}) for _ in range(rounds)
        ]
        return [(r.status_code, r.headers.get("etag", "")) for r in responses]

    answers = [a for batch in together(server, act) for a in batch]
    assert {status for status, _ in answers} == {200}
    total = THREADS * rounds + 1
    assert sorted(int(tag[3:-1]) for _, tag in answers) == list(range(2, total + 1))
    history = resource_of(http.get(f"{path}/_history?_count=1000"))
    assert [e["resource"]["meta"]["versionId"] for e in history["entry"]] == [str(n) for n in range(total, 0, -1)]
    stamps = [e["resource"]["meta"]["lastUpdated"] for e in history["entry"]]
    assert stamps == sorted(stamps, reverse=True)


def test_with_if_match_one_update_of_a_version_wins(server: RunningServer, http: httpx.Client) -> None:
    stored = create(http, patient("w"))
    path = f"/Patient/{stored['id']}"

    def act(client: httpx.Client, number: int) -> int:
        if number % 2:
            bundle = bundle_of("transaction", entry("PUT", path[1:], stored, ifMatch='W/"1"'))
            return client.post("/", json=bundle).status_code
        return client.put(path, json=stored, headers={"if-match": 'W/"1"'}).status_code

    assert Counter(together(server, act)) == {200: 1, 412: THREADS - 1}
    assert resource_of(http.get(path))["meta"]["versionId"] == "2"


def test_one_id_is_created_once(server: RunningServer, http: httpx.Client) -> None:
    id_ = str(uuid4())

    def act(client: httpx.Client, number: int) -> int:
        return client.put(f"/Patient/{id_}", json=patient("c", id=id_, language=f"x-{number}")).status_code

    assert Counter(together(server, act)) == {201: 1, 200: THREADS - 1}
    assert resource_of(http.get(f"/Patient/{id_}/_history"))["total"] == THREADS


def test_conflicting_transactions_are_whole_and_never_a_server_error(server: RunningServer, http: httpx.Client) -> None:
    stored = [create(http, patient(f"t{n}")) for n in range(6)]
    fresh = [str(uuid4()) for _ in range(4)]
    mark = str(uuid4())

    def act(client: httpx.Client, number: int) -> int:
        order = stored if number % 2 else stored[::-1]
        ids = fresh if number % 3 else fresh[::-1]
        entries = [entry("PUT", f"Patient/{p['id']}", {**p, "language": f"x-{number}"}) for p in order]
        entries += [entry("PUT", f"Patient/{i}", patient("f", id=i, language=f"x-{number}")) for i in ids]
        entries.append(entry("POST", "Patient", patient(mark)))
        return client.post("/", json=bundle_of("transaction", *entries)).status_code

    statuses = Counter(together(server, act))
    assert set(statuses) <= {200, 409}
    assert statuses[200] > 0
    assert count(http, "Patient", identifier=f"{SYSTEM}|{mark}") == statuses[200]
    current = [resource_of(http.get(f"/Patient/{i}")) for i in [p["id"] for p in stored] + fresh]
    # All were last written by one and the same transaction.
    assert len({p["language"] for p in current}) == 1
    assert [p["meta"]["versionId"] for p in current] == [str(statuses[200] + 1)] * 6 + [str(statuses[200])] * 4


def test_deletes_and_updates_race(server: RunningServer, http: httpx.Client) -> None:
    stored = create(http, patient("race"))
    path = f"/Patient/{stored['id']}"

    def act(client: httpx.Client, number: int) -> int:
        return (client.delete(path) if number % 2 else client.put(path, json=stored)).status_code

    assert set(together(server, act)) <= {200, 201, 204}
    history = resource_of(http.get(f"{path}/_history"))
    versions = [int(e["response"]["etag"][3:-1]) for e in history["entry"]]
    assert versions == list(range(len(versions), 0, -1))
    shown = http.get(path).status_code
    assert shown == (410 if history["entry"][0]["request"]["method"] == "DELETE" else 200)
    assert [p["id"] for p in find(http, "Patient", identifier="race")] == ([stored["id"]] if shown == 200 else [])


def test_random_transactions_on_the_same_resources_lose_nothing(server: RunningServer, http: httpx.Client) -> None:
    """Every increment that was acknowledged is there in the end; what is refused is 409 or 412, and nothing fails.

    Counters are only changed under ``If-Match``. Beside them, the same transactions create, replace, patch, delete and
    conditionally update and delete resources that all clients share, in any order.
    """
    marker = str(uuid4())
    counters = [create(http, patient(f"{marker}-c{n}", multipleBirthInteger=1))["id"] for n in range(4)]
    shared = [f"{uuid4()}" for _ in range(4)]

    def noise(choice: random.Random) -> list[Resource]:
        id_, value = choice.choice(shared), f"{marker}-{choice.randrange(3)}"
        condition = f"Patient?identifier={SYSTEM}|{value}"
        data = base64.b64encode(b'[{"op":"add","path":"/active","value":true}]').decode()
        patch = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
        return [
            entry("PUT", f"Patient/{id_}", patient("shared", id=id_)),
            entry("DELETE", f"Patient/{choice.choice(shared)}"),
            entry("PATCH", f"Patient/{choice.choice(shared)}", patch),
            entry("PUT", condition, patient(value)),
            entry("POST", "Patient", patient(value), ifNoneExist=condition.partition("?")[2]),
            entry("DELETE", condition),
        ]

    def act(client: httpx.Client, number: int) -> tuple[Counter[str], Counter[int]]:
        choice, done, statuses = random.Random(number), Counter[str](), Counter[int]()
        for _ in range(12):
            entries, counted = [], choice.sample(counters, choice.randint(1, 3))
            for id_ in counted:
                read = client.get(f"/Patient/{id_}")
                body, etag = resource_of(read), read.headers["etag"]
                body["multipleBirthInteger"] += 1
                value = [{"op": "replace", "path": "/multipleBirthInteger", "value": body["multipleBirthInteger"]}]
                data = base64.b64encode(json.dumps(value).encode()).decode()
                patch = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
                method = choice.choice(["PUT", "PATCH"])
                sent = body if method == "PUT" else patch
                entries.append(entry(method, f"Patient/{id_}", sent, ifMatch=etag))
            entries += choice.sample(noise(choice), choice.randint(0, 2))
            choice.shuffle(entries)
            response = client.post("/", json=bundle_of("transaction", *entries))
            statuses[response.status_code] += 1
            if response.status_code == 200:
                done.update(counted)
            elif response.status_code == 409:
                assert response.headers["retry-after"]
                assert resource_of(response)["issue"][0]["code"] == "conflict"
        return done, statuses

    outcomes = together(server, act)
    done = sum((d for d, _ in outcomes), Counter[str]())
    statuses = sum((s for _, s in outcomes), Counter[int]())
    # 404 and 410: an entry patches or deletes what is not there; 400: two entries mean one resource.
    assert set(statuses) <= {200, 400, 404, 409, 410, 412}, statuses
    assert statuses[200] > THREADS, statuses
    for id_ in counters:
        stored = resource_of(http.get(f"/Patient/{id_}"))
        assert stored["multipleBirthInteger"] == 1 + done[id_], statuses
        assert stored["meta"]["versionId"] == str(1 + done[id_])
    for n in range(3):
        assert count(http, "Patient", identifier=f"{SYSTEM}|{marker}-{n}") <= 1
