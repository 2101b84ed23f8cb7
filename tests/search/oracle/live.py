"""The server's side: resources written over HTTP, queries answered by it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from tests.search.oracle.asked import Query

IN_FLIGHT = 6
BUNDLE = 250
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode


class _Search(msgspec.Struct):
    mode: str


class _Entry(msgspec.Struct):
    search: _Search
    resource: msgspec.Raw
    fullUrl: str = ""  # noqa: N815 - FHIR's name


class _Link(msgspec.Struct):
    relation: str
    url: str


class _Bundle(msgspec.Struct):
    link: list[_Link]
    entry: list[_Entry] = []
    total: int | None = None


class Answer(msgspec.Struct):
    """What the server found: ``Type/id`` in order, the total if asked for, or what it said instead."""

    found: list[str]
    total: int | None = None
    refusal: str | None = None


def write(http: httpx.Client, resources: Sequence[dict[str, Any]]) -> None:
    """Write resources in transactions, in order, and take over the ``meta`` that the server gave them."""
    for start in range(0, len(resources), BUNDLE):
        part = resources[start : start + BUNDLE]
        entries = [{"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in part]
        body = _ENCODE({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        answer = http.post("", content=body, headers={"Content-Type": "application/fhir+json"})
        assert answer.status_code == 200, answer.text[:2000]
        for resource, entry in zip(part, answer.json()["entry"], strict=True):
            resource.setdefault("meta", {})["lastUpdated"] = entry["response"]["lastModified"]


def ask(base_url: str, queries: Sequence[tuple[Query, int]]) -> list[Answer]:
    """Return the answers to (query, page size) pairs; all pages are read."""
    return asyncio.run(_ask(base_url, queries))


async def _ask(base_url: str, queries: Sequence[tuple[Query, int]]) -> list[Answer]:
    answers: dict[int, Answer] = {}
    waiting = iter(enumerate(queries))
    async with httpx.AsyncClient(timeout=60, headers={"Prefer": "handling=strict"}) as http:

        async def work() -> None:
            for number, (query, count) in waiting:
                answers[number] = await _answer(http, base_url, query, count)

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return [answers[number] for number in range(len(queries))]


async def _answer(http: httpx.AsyncClient, base_url: str, query: Query, count: int) -> Answer:
    pairs = [*query.pairs, ("_count", str(count)), ("_total", "accurate")]
    found: list[str] = []
    if query.posted:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        response = await http.post(f"{base_url}{query.path}/_search", content=urlencode(pairs), headers=form)
    else:
        response = await http.get(f"{base_url}{query.path}?{urlencode(pairs)}")
    while True:
        if response.status_code != 200:
            return Answer(found, refusal=f"{response.status_code} {response.text[:600]}")
        bundle = msgspec.json.decode(response.content, type=_Bundle)
        found += [e.fullUrl.removeprefix(f"{base_url}/") for e in bundle.entry if e.search.mode == "match"]
        following = next((link.url for link in bundle.link if link.relation == "next"), None)
        if following is None:
            return Answer(found, bundle.total)
        response = await http.get(following)
