"""Random searches find what a plain reading of https://hl7.org/fhir/R4/search.html finds, in the same order.

962 resources of 22 types go in through transactions, 5,000 searches come back over HTTP. The seed is fixed; a
failure prints the search, what is missing or too much, and those resources in short.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from random import Random

import pytest

from tests.search.oracle import live
from tests.search.oracle.asked import Query
from tests.search.oracle.plain_search import PlainSearch
from tests.search.oracle.queries import Asker
from tests.search.oracle.resources import make_resources
from tests.server import RunningServer

SEED = 20261122
EACH = 40
QUERIES = 5000
# One search in so many is read in small pages.
PAGED, PAGE, WHOLE = 10, 7, 1000
MOST_SHOWN = 12

# What searches are made of beyond plain parameters; each must come up.
FEATURES = frozenset(
    (
        "_filter", "_has", "_list", "_type", "compartment", "composite", "own base", "phonetic", "special", "units",
        "sort by reference", "sort by token", "sort by uri",
        "string:contains", "string:exact",
        "token:above", "token:below", "token:code-text", "token:in", "token:not", "token:not-in", "token:of-type", "token:text",
        "reference:[type]", "reference:above", "reference:below", "reference:code-text", "reference:identifier", "reference:text",
        "uri:above", "uri:below",
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def server(dsn: str) -> Iterator[RunningServer]:
    """A server with two workers over an empty database."""
    with RunningServer.on_database(dsn, workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def search(server: RunningServer) -> PlainSearch:
    """The resources, written to the server and known to the plain reading."""
    resources = make_resources(Random(SEED), EACH, server.base_url)
    with server.client() as http:
        live.write(http, resources)
    return PlainSearch(resources, server.base_url, datetime.now(UTC))


@pytest.fixture(scope="module")
def queries(search: PlainSearch) -> list[Query]:
    """The searches."""
    return list(islice(Asker(Random(SEED), search).queries(), QUERIES))


def test_searches_find_what_the_plain_reading_finds(
    server: RunningServer, search: PlainSearch, queries: list[Query]
) -> None:
    """Equal ids in equal order, whether in one page or in many, and the total is their number."""
    asked = [(query, PAGE if number % PAGED == 0 else WHOLE) for number, query in enumerate(queries)]
    answers = live.ask(server.base_url, asked)
    failures = [
        text
        for (query, _), answer in zip(asked, answers, strict=True)
        if (text := compare(search, query, answer)) is not None
    ]
    shown = "\n\n".join(failures[:MOST_SHOWN])
    assert not failures, f"{len(failures)} of {len(queries)} searches differ:\n\n{shown}"


def test_the_searches_are_worth_asking(search: PlainSearch, queries: list[Query]) -> None:
    """All parameters that have values come up on every type, all features do, and most searches find something."""
    named = {(q.resource_type, re.split("[.:]", name)[0]) for q in queries for name, _ in q.pairs}
    asker = Asker(Random(SEED), search)
    assert [
        (type_, parameter.code) for type_, parameter in asker.parameters if (type_, parameter.code) not in named
    ] == []
    counted = Counter(feature for query in queries for feature in query.features)
    assert [feature for feature in FEATURES if counted[feature] < 10] == []
    depths = Counter(name.count(".") for q in queries for name, _ in q.pairs)
    assert all(depths[depth] > 10 for depth in range(4))
    found = [len(search.search(q.resource_type, q.pairs, q.compartment)) for q in queries]
    assert sum(1 for number in found if number) > len(queries) / 2


def compare(search: PlainSearch, query: Query, answer: live.Answer) -> str | None:
    """Return what is wrong with an answer, None if nothing is."""
    expected = search.search(query.resource_type, query.pairs, query.compartment)
    if answer.refusal is not None:
        return f"{query}\n  refused: {answer.refusal}\n  expected {expected[:10]}"
    if answer.found == expected and answer.total == len(expected):
        return None
    missing = [name for name in expected if name not in answer.found]
    unexpected = [name for name in answer.found if name not in expected]
    if not missing and not unexpected:
        place = next((i for i, pair in enumerate(zip(expected, answer.found, strict=False)) if pair[0] != pair[1]), 0)
        around = slice(max(place - 1, 0), place + 4)
        order = f"order: expected {expected[around]} at {place}, found {answer.found[around]}"
        said = f"{order}, total {answer.total} of {len(expected)}"
        return "\n".join([f"{query}\n  {said}", *(shorten(search, name, query) for name in expected[around])])
    lines = [f"{query}\n  missing {missing[:10]}\n  unexpected {unexpected[:10]}"]
    return "\n".join([*lines, *(shorten(search, name, query) for name in [*missing[:2], *unexpected[:2]])])


def shorten(search: PlainSearch, name: str, query: Query) -> str:
    """Return what the searched parameters read in a resource, or its beginning."""
    place = search.place.get(name)
    if place is None:
        return f"  {name}: not one of ours"
    read = search.read_by(place, list(query.pairs))
    return f"  {name}: {json.dumps(read, default=str, ensure_ascii=False)[:1200]}"
