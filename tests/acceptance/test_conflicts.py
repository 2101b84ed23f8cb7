"""32 clients write to the same few resources for a minute: nothing is lost, nothing half done, and no answer is a 5xx.

Every acknowledged change is kept with the versions that it made. Afterwards the history of each resource must be
exactly these changes in the order of their versions, and each must have built on the one before it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.server import RunningServer

CLIENTS = 32
SECONDS = float(os.environ.get("PRAXIS_CONFLICT_SECONDS", "60"))
ACCOUNTS = [f"account-{number}" for number in range(12)]
NAMED = [f"named-{number}" for number in range(6)]
SYSTEM = "http://example.org/conflicts"
START = 1000
REFUSED = (409, 412)


@dataclass
class Journal:
    """What was acknowledged: id → version → the change that made it; and how each request was answered."""

    made: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    statuses: Counter[str] = field(default_factory=Counter)

    def keep(self, id_: str, version: int, change: dict[str, Any]) -> None:
        """Note the change that made a version."""
        assert version not in self.made[id_], f"{id_}/{version} was acknowledged twice"
        self.made[id_][version] = change


def account(id_: str, amount: int, mark: str) -> dict[str, Any]:
    return {
        "resourceType": "Basic",
        "id": id_,
        "identifier": [{"system": SYSTEM, "value": id_}],
        "code": {"text": mark},
        "extension": [{"url": f"{SYSTEM}/amount", "valueInteger": amount}],
    }


def amount_of(resource: dict[str, Any]) -> int:
    return int(resource["extension"][0]["valueInteger"])


def version_of(etag: str) -> int:
    return int(etag.removeprefix('W/"').removesuffix('"'))


class Client:
    """One client with its own connection and its own random choices."""

    def __init__(self, base_url: str, number: int, journal: Journal) -> None:
        self.http = httpx.AsyncClient(base_url=base_url, timeout=60)
        self.rng = random.Random(number)
        self.number = number
        self.journal = journal
        self.count = 0

    async def run(self, until: float) -> None:
        """Send random requests, one after the other, until the clock says so."""
        actions = [
            self.transfer,
            self.transfer,
            self.increment,
            self.patch,
            self.set_by_identifier,
            self.make_once,
            self.drop,
        ]
        async with self.http:
            while time.monotonic() < until:
                self.count += 1
                action = self.rng.choice(actions)
                response = await action(f"{self.number}.{self.count}")
                self.journal.statuses[f"{action.__name__} {response.status_code}"] += 1
                assert response.status_code < 500, response.text
                if response.status_code == 409:
                    assert response.headers.get("retry-after"), response.text

    async def transfer(self, mark: str) -> httpx.Response:
        """Move an amount between accounts, in one transaction that may read in any order and writes what it read."""
        chosen = self.rng.sample(ACCOUNTS, self.rng.randrange(2, 5))
        read = [(await self.http.get(f"/Basic/{id_}")).json() for id_ in chosen]
        deltas = [self.rng.randrange(-50, 51) for _ in chosen[1:]]
        deltas.append(-sum(deltas))
        entries = []
        for resource, delta in zip(read, deltas, strict=True):
            changed = account(resource["id"], amount_of(resource) + delta, mark)
            request = {
                "method": "PUT",
                "url": f"Basic/{resource['id']}",
                "ifMatch": f'W/"{resource["meta"]["versionId"]}"',
            }
            entries.append({"resource": changed, "request": request})
        response = await self.http.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        if response.status_code == 200:
            for id_, delta, entry, answer in zip(chosen, deltas, entries, response.json()["entry"], strict=True):
                change = {"delta": delta, "resource": entry["resource"]}
                self.journal.keep(id_, version_of(answer["response"]["etag"]), change)
        else:
            assert response.status_code in REFUSED, response.text
        return response

    async def increment(self, mark: str) -> httpx.Response:
        """Change one account by a conditional update that names the version it read."""
        id_ = self.rng.choice(ACCOUNTS)
        read = (await self.http.get(f"/Basic/{id_}")).json()
        delta = self.rng.randrange(1, 10)
        changed = account(id_, amount_of(read) + delta, mark)
        response = await self.http.put(
            "/Basic",
            params={"identifier": f"{SYSTEM}|{id_}"},
            json=changed,
            headers={"if-match": f'W/"{read["meta"]["versionId"]}"'},
        )
        if response.status_code == 200:
            self.journal.keep(id_, version_of(response.headers["etag"]), {"delta": delta, "resource": changed})
        else:
            assert response.status_code in REFUSED, response.text
        return response

    async def patch(self, mark: str) -> httpx.Response:
        """Change an account by a JSON Patch that tests the amount it replaces."""
        id_ = self.rng.choice(ACCOUNTS)
        read = (await self.http.get(f"/Basic/{id_}")).json()
        delta = self.rng.randrange(-9, 0)
        path = "/extension/0/valueInteger"
        steps = [
            {"op": "test", "path": path, "value": amount_of(read)},
            {"op": "replace", "path": path, "value": amount_of(read) + delta},
            {"op": "replace", "path": "/code/text", "value": mark},
        ]
        response = await self.http.patch(
            f"/Basic/{id_}", content=json.dumps(steps), headers={"content-type": "application/json-patch+json"}
        )
        if response.status_code == 200:
            changed = account(id_, amount_of(read) + delta, mark)
            self.journal.keep(id_, version_of(response.headers["etag"]), {"delta": delta, "resource": changed})
        else:
            assert response.status_code in (*REFUSED, 422), response.text
        return response

    async def set_by_identifier(self, mark: str) -> httpx.Response:
        """Write several named resources found by identifier, which may not exist, in one transaction in random order."""
        chosen = self.rng.sample(NAMED, 2)
        entries = [
            {
                "resource": {name: value for name, value in account(id_, 0, mark).items() if name != "id"},
                "request": {"method": "PUT", "url": f"Basic?identifier={SYSTEM}|{id_}"},
            }
            for id_ in chosen
        ]
        response = await self.http.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        if response.status_code == 200:
            for entry, answer in zip(entries, response.json()["entry"], strict=True):
                _, id_, _, version = answer["response"]["location"].rsplit("/", 3)
                self.journal.keep(id_, int(version), {"resource": entry["resource"]})
        else:
            assert response.status_code in REFUSED, response.text
        return response

    async def make_once(self, mark: str) -> httpx.Response:
        """Create a named resource unless it exists."""
        named = self.rng.choice(NAMED)
        body = {name: value for name, value in account(named, 0, mark).items() if name != "id"}
        response = await self.http.post("/Basic", json=body, headers={"if-none-exist": f"identifier={SYSTEM}|{named}"})
        if response.status_code == 201:
            self.journal.keep(response.json()["id"], 1, {"resource": body})
        else:
            assert response.status_code in (200, *REFUSED), response.text
        return response

    async def drop(self, _: str) -> httpx.Response:
        """Delete a named resource that was found by identifier."""
        named = self.rng.choice(NAMED)
        found = (await self.http.get("/Basic", params={"identifier": f"{SYSTEM}|{named}"})).json().get("entry", [])
        assert len(found) <= 1, f"{len(found)} resources have the identifier {named}"
        if not found:
            return await self.http.get("/Basic", params={"_count": "0"})
        id_ = found[0]["resource"]["id"]
        response = await self.http.delete(f"/Basic/{id_}")
        if response.status_code in (200, 204) and "etag" in response.headers:
            version = version_of(response.headers["etag"])
            if version not in self.journal.made[id_]:  # deleting what another has deleted answers with its version
                self.journal.keep(id_, version, {"resource": None})
        else:
            assert response.status_code in (200, 204, *REFUSED), response.text
        return response


async def work(base_url: str, journal: Journal) -> None:
    until = time.monotonic() + SECONDS
    clients = [Client(base_url, number, journal) for number in range(CLIENTS)]
    await asyncio.gather(*(client.run(until) for client in clients))


def history(http: httpx.Client, id_: str) -> dict[int, dict[str, Any]]:
    """Return version → entry, over all pages."""
    versions: dict[int, dict[str, Any]] = {}
    url: str | None = f"/Basic/{id_}/_history?_count=1000"
    while url:
        page = http.get(url).json()
        for entry in page["entry"]:
            version = version_of(entry["response"]["etag"])
            assert version not in versions
            versions[version] = entry
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    return versions


def without_meta(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in ("meta", "id")}


def test_conflicting_writers_lose_nothing(server: RunningServer) -> None:
    journal = Journal()
    with server.client() as http:
        for id_ in ACCOUNTS:
            assert http.put(f"/Basic/{id_}", json=account(id_, START, "start")).status_code == 201
            journal.keep(id_, 1, {"delta": 0, "resource": account(id_, START, "start")})
        asyncio.run(work(server.base_url, journal))
        for id_, changes in journal.made.items():
            stored = history(http, id_)
            assert sorted(stored) == sorted(changes) == list(range(1, len(stored) + 1)), id_
            for version, change in changes.items():
                resource = stored[version].get("resource")
                if change["resource"] is None:
                    assert stored[version]["request"]["method"] == "DELETE"
                else:
                    assert without_meta(resource) == without_meta(change["resource"]), f"{id_}/{version}"
                if version > 1 and "delta" in change:
                    before = stored[version - 1]["resource"]
                    assert amount_of(resource) == amount_of(before) + change["delta"], f"{id_}/{version}"
        total = sum(amount_of(http.get(f"/Basic/{id_}").json()) for id_ in ACCOUNTS)
        deltas = sum(change["delta"] for id_ in ACCOUNTS for change in journal.made[id_].values())
        assert total == START * len(ACCOUNTS) + deltas
        for named in NAMED:
            found = http.get("/Basic", params={"identifier": f"{SYSTEM}|{named}"}).json().get("entry", [])
            assert len(found) <= 1
    done = {name.split()[0] for name in journal.statuses if name.endswith((" 200", " 201", " 204"))}
    assert done == {"transfer", "increment", "patch", "set_by_identifier", "make_once", "drop"}
