"""A bulk load leaves the same rows as an ordinary one, and never a database without its indexes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench.scale import make_file
from conformance.decode import encode
from fhir_server.auth.caller import DEFAULT_TENANT
from fhir_server.jobs.load import Summary, load_paths
from fhir_server.jobs.load_crew import LoadStoppedError
from fhir_server.jobs.load_database import CALLER, open_database
from fhir_server.jobs.missing_indexes import keep_indexes
from fhir_server.search.execute import search
from fhir_server.store.database import Database
from fhir_server.store.search_indexes import (
    BulkLoadUnderWay,
    build_missing,
    find_missing,
    is_clear,
    without_indexes,
)
from tests.jobs.test_load import broken_target, bundle, ndjson, patient, post, stored, versions, write
from tests.shared import shared

TABLES = (
    "resource, resource_history, string_index, date_index, number_index, contained, text_dictionary, unit_dictionary, "
    "load_ledger, full_text, full_text_progress"
)
ROWS = {
    "resource": """SELECT type, id, reference_hash, version, method, tokens,
        regexp_replace(convert_from(content, 'UTF8'), '"lastUpdated":"[^"]*"', '') FROM resource""",
    "history": "SELECT type, id, version, method FROM resource_history",
    "strings": """SELECT n.type, n.id, s.parameter, s.value FROM string_index AS s
        LEFT JOIN named AS n ON n.tenant = s.tenant AND n.key = s.key""",
    "dates": """SELECT n.type, n.id, s.parameter, s.low, s.high FROM date_index AS s
        LEFT JOIN named AS n ON n.tenant = s.tenant AND n.key = s.key""",
    "numbers": """SELECT n.type, n.id, s.parameter, s.value, s.low, s.high, s.system_code, s.code, s.unit
        FROM number_index AS s LEFT JOIN named AS n ON n.tenant = s.tenant AND n.key = s.key""",
    "contained": """SELECT type, id, reference_hash, version, method, tokens, content, container_type, container_id,
        container_key IN (SELECT key FROM resource) FROM contained""",
    "texts": "SELECT parameter, value, token FROM text_dictionary",
    "units": "SELECT dimension, token, multiplier, addend, divisor FROM unit_dictionary",
    "ledger": "SELECT digest, source, entries FROM load_ledger",
}
NAMED = """WITH named AS (SELECT tenant, key, type, id FROM resource
    UNION ALL SELECT tenant, key, type, container_type || '/' || container_id || '#' || id FROM contained) """

GIVEN_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-")


def load(dsn: str, *paths: Path, bulk: bool = True, workers: int = 0) -> Summary:
    """Load paths into the database."""
    return load_paths(
        list(paths),
        partial(open_database, dsn),
        workers=workers,
        bulk=without_indexes(dsn) if bulk else None,
    )


def empty(dsn: str) -> None:
    """Empty the database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {TABLES}".encode())


def rows(dsn: str) -> dict[str, list[str]]:
    """Return all that a load has stored but keys, times and what has to do with an id that it gave; in order."""
    with psycopg.connect(dsn) as connection:
        found = {name: map(repr, connection.execute((NAMED + sql).encode())) for name, sql in ROWS.items()}
        return {name: sorted(row for row in made if not GIVEN_ID.search(row)) for name, made in found.items()}


def missing(dsn: str) -> list[str]:
    """Return the search indexes that aren't there."""
    with psycopg.connect(dsn) as connection:
        return find_missing(connection)


def loaded_both_ways(dsn: str, *paths: Path, workers: int = 0, runs: int = 1) -> dict[str, list[str]]:
    """Load into the empty database either way; return the rows, which are the same."""
    found, summaries = [], []
    for bulk in (False, True):
        empty(dsn)
        for _ in range(runs):
            summary = load(dsn, *paths, bulk=bulk, workers=workers)
        known = (summary.units + summary.known_units, summary.entries + summary.known_entries)
        summaries.append((*known, summary.failed, sorted(summary.failures)))
        found.append(rows(dsn))
    assert summaries[0] == summaries[1]
    for name in ROWS:
        assert found[0][name] == found[1][name], name
    assert missing(dsn) == []
    return found[1]


@pytest.fixture(autouse=True)
def _emptied(dsn: str) -> Iterator[None]:
    empty(dsn)
    yield
    build_missing(dsn)
    empty(dsn)


@pytest.mark.parametrize("workers", [0, 2])
def test_visits_come_to_the_same_rows(dsn: str, tmp_path: Path, workers: int) -> None:
    make_file(tmp_path / "visits.ndjson", 0, 60)
    found = loaded_both_ways(dsn, tmp_path, workers=workers)
    assert len(found["resource"]) == len(found["ledger"]) == 1200
    assert found["units"]


def test_official_examples_come_to_the_same_rows(dsn: str) -> None:
    # Twice, for some Bundles read what a later file holds.
    found = loaded_both_ways(dsn, shared("examples"), runs=2)
    assert len(found["resource"]) > 600
    assert found["contained"]
    assert found["texts"]
    assert any("#" in row for row in found["strings"])


def test_bundles_with_ids_come_to_the_same_rows(dsn: str, tmp_path: Path) -> None:
    urn = "urn:uuid:7a5c3b0e-40f6-4a1c-94f8-6d0f7f0c9b11"
    seen = {"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "AMB"}}
    seen["subject"] = {"reference": urn}
    put = {"resource": patient("q"), "request": {"method": "PUT", "url": "Patient/q"}}
    write(tmp_path / "a.json", bundle("collection", {"fullUrl": urn, "resource": patient("p")}, {"resource": seen}))
    write(tmp_path / "b.json", bundle("transaction", put))
    write(tmp_path / "c.json", bundle("searchset", {"fullUrl": "http://x.example/Patient/s", "resource": patient("s")}))
    found = loaded_both_ways(dsn, tmp_path)
    assert any('"reference":"Patient/p"' in row for row in found["resource"])


def test_new_ids_are_given_and_references_follow(dsn: str, tmp_path: Path) -> None:
    urn = "urn:uuid:0b9a83f4-15e1-4a4b-8f0b-1d7c2e5f9a44"
    seen = {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}, "subject": {"reference": urn}}
    summary = load(dsn, write(tmp_path / "a.json", bundle("transaction", post(patient(), urn), post(seen))))
    assert (summary.units, summary.entries, summary.failed) == (1, 2, 0)
    with psycopg.connect(dsn) as connection:
        contents = [json.loads(row[0]) for row in connection.execute("SELECT content FROM resource").fetchall()]
    made = {content["resourceType"]: content for content in contents}
    assert made["Encounter"]["subject"]["reference"] == f"Patient/{made['Patient']['id']}"


def test_what_is_refused_is_named_alike(dsn: str, tmp_path: Path) -> None:
    lines = [patient(f"p{n}") for n in range(12)]
    lines[3]["birthDate"] = "yesterday"
    lines[7]["generalPractitioner"] = [{"reference": "urn:uuid:1c2ab1d5-8a8c-46e7-9d49-7a63a3bd2f60"}]
    lines[9]["generalPractitioner"] = [{"reference": "Practitioner?identifier=nobody"}]
    ndjson(tmp_path / "patients.ndjson", lines)
    write(tmp_path / "whole.json", bundle("transaction", post(patient()), post(patient(gender="nope"))))
    write(tmp_path / "wrong.json", {"resourceType": "Nonsense", "id": "x"})
    found = loaded_both_ways(dsn, tmp_path)
    assert len(found["resource"]) == 9


def test_an_id_that_comes_twice_gets_a_second_version(dsn: str, tmp_path: Path) -> None:
    ndjson(tmp_path / "a.ndjson", [patient("same", gender="male"), patient("other"), patient("same", gender="female")])
    found = loaded_both_ways(dsn, tmp_path)
    assert len(found["resource"]) == 2
    assert len(found["history"]) == 1


def test_what_is_stored_already_is_replaced_or_known(dsn: str, tmp_path: Path) -> None:
    old, new = [patient(f"p{n}") for n in range(5)], [patient(f"p{n}") for n in range(3, 8)]
    new[1]["gender"] = "male"
    load(dsn, ndjson(tmp_path / "old.ndjson", old), bulk=False)
    summary = load(dsn, ndjson(tmp_path / "new.ndjson", new))
    assert (summary.entries, summary.known_entries, summary.failed) == (4, 1, 0)
    assert stored(dsn) == {"Patient": 8}
    assert versions(dsn) == 1


def test_a_second_run_changes_nothing(dsn: str, tmp_path: Path) -> None:
    ndjson(tmp_path / "a.ndjson", [patient(f"p{n}") for n in range(30)])
    write(tmp_path / "b.json", bundle("transaction", post(patient()), post(patient())))
    assert load(dsn, tmp_path).entries == 32
    before = rows(dsn)
    again = load(dsn, tmp_path)
    assert (again.entries, again.known_entries, again.failed) == (0, 32, 0)
    assert rows(dsn) == before


def test_conditions_wait_for_what_they_ask_for(dsn: str, tmp_path: Path) -> None:
    staff = {"resourceType": "Practitioner", "id": "s", "identifier": [{"system": "http://x.example", "value": "7"}]}
    seen = patient("p", generalPractitioner=[{"reference": "Practitioner?identifier=http://x.example|7"}])
    found = {"resource": patient(), "request": {"method": "POST", "url": "Patient", "ifNoneExist": "_id=p"}}
    write(tmp_path / "a.json", seen)
    write(tmp_path / "b.json", bundle("transaction", found))
    write(tmp_path / "c.json", staff)
    summary = load(dsn, tmp_path)
    assert summary.failed == 0
    assert stored(dsn)["Practitioner"] == 1
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT content FROM resource WHERE id = 'p'").fetchone()
    assert row is not None
    assert json.loads(row[0])["generalPractitioner"] == [{"reference": "Practitioner/s"}]


def test_searches_answer_alike(dsn: str, tmp_path: Path) -> None:
    make_file(tmp_path / "visits.ndjson", 0, 20)
    queries = [
        ("Patient", [("family", "a"), ("_sort", "_id")]),
        ("Patient", [("birthdate", "lt1980"), ("_sort", "birthdate")]),
        ("Observation", [("patient", "p3"), ("code", "http://loinc.org|8302-2")]),
        ("Observation", [("patient.identifier", "S00000004"), ("_count", "100")]),
        ("Observation", [("value-quantity", "gt100"), ("_count", "100")]),
        ("Encounter", [("_has:Observation:encounter:code", "8310-5"), ("_count", "100")]),
    ]

    async def ask() -> list[set[str]]:
        database = Database(dsn, max_connections=1)
        await database.open()
        try:
            async with database.searching() as session:
                return [await _ids(session, *query) for query in queries]
        finally:
            await database.close()

    answers = []
    for bulk in (False, True):
        empty(dsn)
        load(dsn, tmp_path, bulk=bulk)
        answers.append(asyncio.run(ask()))
    assert answers[0] == answers[1]
    assert all(answers[0])


async def _ids(session: Any, resource_type: str, query: list[tuple[str, str]]) -> set[str]:
    page = await search(session, CALLER, resource_type, query, cursor_key=b"0" * 32, strict=True)
    return {match.id for match in page.matches}


@contextmanager
def _dying(dsn: str) -> Iterator[None]:
    """Do what a process does that dies amid a bulk load: the connection that holds the lock goes, nothing is built."""
    with suppress(KeyboardInterrupt), without_indexes(dsn):
        yield
        raise KeyboardInterrupt


def test_a_load_that_dies_leaves_whole_units_and_is_gone_on_with(dsn: str, tmp_path: Path) -> None:
    lines = [patient(f"p{n}", birthDate="1980-01-02") for n in range(40)]
    half, all_ = ndjson(tmp_path / "half.ndjson", lines[:20]), ndjson(tmp_path / "all.ndjson", lines)
    with _dying(dsn):
        load(dsn, half, bulk=False)
    assert len(missing(dsn)) == 9
    assert is_clear(dsn)  # to go on with
    summary = load(dsn, all_)
    assert (summary.entries, summary.known_entries) == (20, 20)
    assert missing(dsn) == []
    assert stored(dsn) == {"Patient": 40}


def test_what_opens_the_database_builds_what_a_dead_load_left_out(dsn: str) -> None:
    with _dying(dsn):
        assert build_missing(dsn) == []  # while a load holds the lock they are its own affair
    assert len(build_missing(dsn)) == 9
    assert build_missing(dsn) == []
    with psycopg.connect(dsn) as connection:
        partitions = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'resource_tokens'::regclass"
        ).fetchone()
        valid = connection.execute("SELECT bool_and(indisvalid) FROM pg_index").fetchone()
    assert partitions == (146,)
    assert valid == (True,)


def test_a_running_server_builds_what_is_missing(dsn: str) -> None:
    with _dying(dsn):
        pass
    assert len(missing(dsn)) == 9

    async def run() -> None:
        stop = asyncio.Event()
        keeping = asyncio.ensure_future(keep_indexes(dsn, stop, every=0.01))
        # It looks at once, and only then whether it is to stop.
        asyncio.get_running_loop().call_later(0.01, stop.set)
        await keeping

    asyncio.run(run())
    assert missing(dsn) == []


def test_only_one_loads_in_bulk_at_a_time(dsn: str) -> None:
    with without_indexes(dsn), pytest.raises(BulkLoadUnderWay), without_indexes(dsn):
        pass
    assert missing(dsn) == []


def test_indexes_are_built_when_the_target_is_gone(dsn: str, tmp_path: Path) -> None:
    file = ndjson(tmp_path / "a.ndjson", [patient("a")])
    with pytest.raises(LoadStoppedError):
        load_paths([file], broken_target, workers=1, bulk=without_indexes(dsn))
    assert missing(dsn) == []


def test_an_empty_database_that_nobody_else_uses_is_clear(dsn: str, tmp_path: Path) -> None:
    assert is_clear(dsn)
    with psycopg.connect(dsn, application_name="praxis"):
        assert not is_clear(dsn)
    load(dsn, ndjson(tmp_path / "a.ndjson", [patient("a")]), bulk=False)
    assert not is_clear(dsn)


def test_texts_are_stored_as_they_are(dsn: str, tmp_path: Path) -> None:
    name = "\\N\ttab\n\\. é"
    load(dsn, ndjson(tmp_path / "a.ndjson", [patient("a", name=[{"family": name}])]))
    with psycopg.connect(dsn) as connection:
        contents = connection.execute("SELECT tenant, content FROM resource").fetchall()
    ((tenant, content),) = contents
    assert tenant == DEFAULT_TENANT
    assert json.loads(content)["name"] == [{"family": name}]


def test_a_file_name_is_noted_whatever_is_in_it(dsn: str, tmp_path: Path) -> None:
    name = "tab\t new\n line \\N é.ndjson"
    (tmp_path / name).write_bytes(encode(patient("a")) + b"\n")
    load(dsn, tmp_path)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT source FROM load_ledger").fetchone() == (f"{tmp_path}/{name}:1",)
