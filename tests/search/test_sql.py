"""One compilation per shape, and plans that use the indexes."""

from __future__ import annotations

import json

import psycopg
import pytest

from fhir_server.search.bind import bind
from fhir_server.search.environment import Environment
from fhir_server.search.index import index
from fhir_server.search.page import page
from fhir_server.search.parse import parse
from fhir_server.search.registry import standard
from fhir_server.search.rewrites import Rewritten, rewrite
from fhir_server.search.statement import Run
from fhir_server.store.hashing import value_hash
from fhir_server.store.tables import type_ids
from tests.search.world import World

ROWS = 6000


def statement(world: World, resource_type: str, *parameters: tuple[str, str]) -> Run:
    query = bind(resource_type, parse(parameters), Environment(world.tenant, standard()), strict=True)
    return page(rewrite(query, world.caller(), Environment(world.tenant, standard())), None)


def test_queries_of_one_shape_share_their_text(world: World) -> None:
    one, first = statement(world, "Patient", ("identifier", "a|1"), ("gender", "male"), ("birthdate", "ge2000"))
    two, second = statement(world, "Patient", ("identifier", "b|2"), ("active", "true"), ("birthdate", "ge1990-05"))
    assert one is two
    assert first != second
    assert one.count("%s") == len(first)
    other, _ = statement(world, "Patient", ("identifier", "a|1"), ("birthdate", "lt2000"))
    assert other != one


def test_chains_are_part_of_the_shape(world: World) -> None:
    one, first = statement(world, "Observation", ("patient.name", "needle"), ("code", "a"))
    two, second = statement(world, "Observation", ("patient.name", "other"), ("code", "b"))
    assert one is two
    assert first != second
    assert one.count("%s") == len(first)
    assert "needle" not in one
    texts = {one}
    for chain in ("subject.name", "patient.name:exact", "patient.organization.name", "performer:Patient.birthdate"):
        texts.add(statement(world, "Observation", (chain, "2020"), ("code", "a"))[0])
    assert len(texts) == 5
    # The parameter that refers is a value, its salt: only the types on the way are text.
    same, _ = statement(world, "Observation", ("performer:Patient.name", "needle"), ("code", "a"))
    assert same is one


def test_a_chain_that_was_not_authorized_is_no_sql(world: World) -> None:
    query = bind("Observation", parse([("patient.name", "x")]), Environment(world.tenant, standard()))
    with pytest.raises(TypeError, match="not authorized"):
        page(Rewritten(query), None)


def test_required_tokens_become_one_containment_test(world: World) -> None:
    text, _ = statement(world, "Observation", ("code", "a"), ("patient", "1"), ("status", "final"))
    assert text.count("tokens") == 1
    assert "@>" in text
    text, _ = statement(world, "Observation", ("code", "a,b"), ("patient", "1"), ("status", "final"))
    assert (text.count("@>"), text.count("&&")) == (1, 1)


def test_no_value_is_ever_part_of_the_text(world: World) -> None:
    text, _ = statement(
        world, "Patient", ("name", "needle1"), ("name:exact", "needle2"), ("identifier", "needle3"), ("_id", "needle4")
    )
    assert "needle" not in text


@pytest.fixture
def filled(world: World) -> World:
    """Many Observations of some patients, with statistics."""
    with psycopg.connect(world.dsn, autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy(
            "COPY resource (tenant, type, key, reference_hash, last_updated, version, method, id, tokens, content)"
            " FROM STDIN"
        ) as copy:
            dates = []
            for key in range(1, ROWS + 1):
                resource = {
                    "resourceType": "Observation", "id": f"o{key}", "status": "final",
                    "subject": {"reference": f"Patient/{key % 300}"}, "code": {"coding": [{"code": f"c{key % 7}"}]},
                    "effectiveDateTime": f"20{key % 20 + 10}-01-{key % 27 + 1:02}",
                }  # fmt: skip
                entries = index("Observation", resource, world.tenant)
                dates += [(world.tenant, e.parameter, key, e.low, e.high) for e in entries.dates]
                copy.write_row((
                    world.tenant, type_ids()["Observation"], key, value_hash(f"Observation/o{key}"), "2020-01-01", 1,
                    "C", resource["id"], entries.tokens, json.dumps(resource).encode(),
                ))  # fmt: skip
        with cursor.copy("COPY date_index FROM STDIN") as copy:
            for row in dates:
                copy.write_row(row)
        cursor.execute("VACUUM ANALYZE resource_observation, date_index")
    return world


def plan(world: World, *parameters: tuple[str, str]) -> str:
    text, values = statement(world, "Observation", *parameters)
    with psycopg.connect(world.dsn) as connection:
        rows = connection.execute(b"EXPLAIN " + text.encode(), values).fetchall()
    return "\n".join(line for (line,) in rows)


def test_plans(filled: World) -> None:
    for parameters in (
        [("patient", "7")],
        [("patient", "7"), ("code", "c1")],
        [("patient", "nobody")],
        [("patient", "7"), ("_sort", "-date")],
        [("patient", "7"), ("date", "ge2020"), ("date", "lt2021")],
        [("patient", "7,8")],
    ):
        assert "tokens_idx" in plan(filled, *parameters), parameters
    for chain in ([("patient._id", "7")], [("patient.gender", "male"), ("_sort", "-date")], [("subject.name", "x,y")]):
        text = plan(filled, *chain)
        assert "tokens_idx" in text, chain
        assert "Tid Scan on resource_observation" in text, chain
        assert "InitPlan" in text, chain
        assert "Seq Scan on resource_observation" not in text, chain
    common = plan(filled, ("status", "final"))
    assert "tenant_type_key" in common
    assert "Sort" not in common
    assert "date_index" in plan(filled, ("date", "2013-01-04"))
    assert "Seq Scan on date_index" not in plan(filled, ("date", "2013-01-04"))
    assert "pkey" in plan(filled, ("_id", "o5"))
    assert "last_updated" in plan(filled, ("_sort", "-_lastUpdated"))
