"""Every page of 50,000 matches while four writers insert, update and delete.

Every resource that was there throughout appears exactly once; one that came or went meanwhile appears at most once.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.server import RunningServer

MATCHES = 50_000
ENTRIES = 500
WRITERS = 4
CODE = "walk"


def observation(number: int, status: str = "final") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": status,
        "code": {"coding": [{"system": "http://example.org", "code": CODE}]},
        "effectiveDateTime": f"2024-01-{number % 28 + 1:02d}T{number % 24:02d}:00:00Z",
    }


def put(number: int) -> dict[str, Any]:
    return {"resource": observation(number), "request": {"method": "PUT", "url": f"Observation/o{number}"}}


@pytest.fixture(scope="module")
def walked(server: RunningServer) -> RunningServer:
    """A server with the matches in it."""
    with server.client() as http:
        for start in range(0, MATCHES, ENTRIES):
            bundle = {
                "resourceType": "Bundle",
                "type": "transaction",
                "entry": [put(n) for n in range(start, start + ENTRIES)],
            }
            assert http.post("/", json=bundle).status_code == 200
    return server


class Writer:
    """Inserts new resources, updates any, and deletes those of its own share."""

    def __init__(self, number: int) -> None:
        self.rng = random.Random(number)
        self.fresh = (MATCHES + number + WRITERS * step for step in itertools.count())
        self.share = list(range(number, MATCHES, 50 * WRITERS))
        self.deleted: set[str] = set()
        self.written = 0

    async def run(self, http: httpx.AsyncClient, stop: asyncio.Event) -> None:
        """Write until told to stop."""
        while not stop.is_set():
            match self.rng.randrange(3 if self.share else 2):
                case 0:
                    number = next(self.fresh)
                    response = await http.put(f"/Observation/o{number}", json=observation(number))
                case 1:
                    number = self.rng.randrange(MATCHES)
                    while f"o{number}" in self.deleted or number % (50 * WRITERS) < WRITERS:
                        number = self.rng.randrange(MATCHES)
                    response = await http.put(f"/Observation/o{number}", json=observation(number, "amended"))
                case _:
                    number = self.share.pop(self.rng.randrange(len(self.share)))
                    self.deleted.add(f"o{number}")
                    response = await http.delete(f"/Observation/o{number}")
            assert response.status_code < 400, response.text
            self.written += 1


async def walk(http: httpx.AsyncClient, query: str, count: int) -> list[str]:
    ids, _ = await follow(http, f"/Observation?{query}&_count={count}", "next")
    return ids


async def walk_back(http: httpx.AsyncClient, query: str, count: int) -> list[str]:
    """Return what the pages from the last to the first hold."""
    _, last = await follow(http, f"/Observation?{query}&_count=1000", "next")
    ids, _ = await follow(http, last.replace("_count=1000", f"_count={count}"), "previous")
    return ids


async def follow(http: httpx.AsyncClient, url: str, relation: str) -> tuple[list[str], str]:
    """Return the ids on all pages that links of a relation lead to, and the last page's URL."""
    ids: list[str] = []
    while True:
        response = await http.get(url)
        assert response.status_code == 200, response.text
        page = response.json()
        ids += [entry["resource"]["id"] for entry in page.get("entry", [])]
        following = next((link["url"] for link in page["link"] if link["relation"] == relation), None)
        if following is None:
            return ids, url
        url = following


Walk = Callable[[httpx.AsyncClient, str, int], Awaitable[list[str]]]


async def walk_while_written(base_url: str, query: str, count: int, how: Walk) -> tuple[list[str], list[Writer]]:
    stop = asyncio.Event()
    writers = [Writer(number) for number in range(WRITERS)]
    async with httpx.AsyncClient(base_url=base_url, timeout=60) as http:
        tasks = [asyncio.create_task(writer.run(http, stop)) for writer in writers]
        try:
            ids = await how(http, query, count)
        finally:
            stop.set()
        await asyncio.gather(*tasks)
    return ids, writers


@pytest.mark.parametrize(
    ("query", "count", "how"),
    [
        (f"code={CODE}", 100, walk),
        (f"code={CODE}&_sort=date", 250, walk),
        (f"code={CODE}&_sort=-date,_id", 1000, walk),
        (f"code={CODE}&_sort=date", 500, walk_back),
    ],
)
def test_pages_hold_each_resource_once(walked: RunningServer, query: str, count: int, how: Walk) -> None:
    before = asyncio.run(_all_ids(walked.base_url))  # the walk before this one has deleted some
    assert len(before) > MATCHES * 0.9
    ids, writers = asyncio.run(walk_while_written(walked.base_url, query, count, how))
    deleted = set().union(*(writer.deleted for writer in writers))
    assert [id_ for id_, count in Counter(ids).items() if count > 1] == []
    assert sorted(before - deleted - set(ids)) == []
    assert all(writer.written for writer in writers)


async def _all_ids(base_url: str) -> set[str]:
    async with httpx.AsyncClient(base_url=base_url, timeout=60) as http:
        return set(await walk(http, f"code={CODE}", 1000))
