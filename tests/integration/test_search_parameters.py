"""SearchParameters of tenants and $reindex, over HTTP and in process."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from conformance.decode import decode
from fhir_server.jobs.reindex import Position
from fhir_server.search.index import INDEX_FORMAT
from tests.integration.answers import count, create, expressions_of, find, outcome_of, resource_of
from tests.integration.test_async import PATIENCE, await_result
from tests.server import RunningServer
from tests.shared import shared

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"
Resource = dict[str, Any]


@pytest.fixture
def own(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of this module's own server."""
    with server.client() as http:
        yield http


def parameter(**elements: Any) -> Resource:
    """Return an active SearchParameter on Patient."""
    return {
        "resourceType": "SearchParameter",
        "url": f"http://example.org/SearchParameter/{elements.get('code', 'x')}",
        "name": "Example",
        "status": "active",
        "description": "An example",
        "base": ["Patient"],
        "type": "string",
        **elements,
    }


def reindex(client: httpx.Client, *types: str) -> str:
    """Run $reindex to its end; return what it tells."""
    body = {"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": t} for t in types]}
    response = client.post("/$reindex", json=body if types else {"resourceType": "Parameters"})
    assert response.status_code == 202, response.text
    done = await_result(client, response.headers["content-location"])
    assert done["response"]["status"] == "200 OK", done
    return str(done["resource"]["issue"][0]["diagnostics"])


def warnings_of(client: httpx.Client, url: str) -> list[str]:
    """Return the diagnostics of a search's outcome entry."""
    bundle = resource_of(client.get(url))
    outcomes = [e["resource"] for e in bundle.get("entry", []) if e["search"]["mode"] == "outcome"]
    return [issue["diagnostics"] for outcome in outcomes for issue in outcome["issue"]]


def test_a_parameter_takes_effect_and_older_data_after_reindexing(own: httpx.Client) -> None:
    older = create(own, {"resourceType": "Patient", "maritalStatus": {"text": "Widowed"}})
    version = older["meta"]
    unknown = resource_of(own.get("/Patient?marital=wid"))
    assert "marital" in unknown["entry"][-1]["resource"]["issue"][0]["diagnostics"]

    made = create(own, parameter(code="marital", expression="Patient.maritalStatus.text"))
    newer = create(own, {"resourceType": "Patient", "maritalStatus": {"text": "widow"}})
    assert [r["id"] for r in find(own, "Patient", marital="wid")] == [newer["id"]]
    assert "$reindex" in warnings_of(own, "/Patient?marital=wid")[0]
    assert "$reindex" in warnings_of(own, "/Patient?_sort=marital")[0]
    assert "$reindex" in warnings_of(own, "/Observation?subject:Patient.marital=wid")[0]
    assert warnings_of(own, "/Patient?name=wid") == []
    refused = own.put("/Patient?marital=wid", json={"resourceType": "Patient"})
    outcome_of(refused, 412)

    assert reindex(own, "Patient") == "Index entries made anew: Patient 2."
    assert {r["id"] for r in find(own, "Patient", marital="wid")} == {older["id"], newer["id"]}
    assert warnings_of(own, "/Patient?marital=wid") == []
    assert [r["id"] for r in find(own, "Patient", _sort="marital")] == [newer["id"], older["id"]]
    assert resource_of(own.get(f"/Patient/{older['id']}"))["meta"] == version
    assert len(resource_of(own.get(f"/Patient/{older['id']}/_history"))["entry"]) == 1

    statement = resource_of(own.get("/metadata"))
    patient = next(r for r in statement["rest"][0]["resource"] if r["type"] == "Patient")
    assert next(p for p in patient["searchParam"] if p["name"] == "marital")["definition"] == made["url"]

    changed = {**made, "expression": "Patient.maritalStatus.coding.display"}
    assert own.put(f"/SearchParameter/{made['id']}", json=changed).status_code == 200
    assert "$reindex" in warnings_of(own, "/Patient?marital=wid")[0]
    assert own.put(f"/SearchParameter/{made['id']}", json={**made, "status": "retired"}).status_code == 200
    assert "marital" in warnings_of(own, "/Patient?marital=wid")[0]
    assert own.delete(f"/SearchParameter/{made['id']}").status_code == 204
    outcome_of(own.get("/Patient?marital=wid", headers={"Prefer": "handling=strict"}), 400)


@pytest.mark.parametrize(
    ("elements", "place"),
    [
        ({"code": "bad", "expression": "Patient.nothing"}, "SearchParameter.expression"),
        ({"code": "bad", "expression": "Patient.name.where("}, "SearchParameter.expression"),
        ({"code": "bad", "expression": "Observation.code"}, "SearchParameter.expression"),
        ({"code": "bad"}, "SearchParameter.expression"),
        ({"code": "bad", "expression": "Patient.name", "base": ["Patient", "Robot"]}, "SearchParameter.base[1]"),
        ({"code": "birthdate", "expression": "Patient.deceased", "type": "date"}, "SearchParameter.code"),
        ({"code": "a:b", "expression": "Patient.name"}, "SearchParameter.code"),
        ({"code": "_mine", "expression": "Patient.name"}, "SearchParameter.code"),
        ({"code": "bad", "expression": "Patient.name", "type": "special"}, "SearchParameter.type"),
        (
            {"code": "bad", "expression": "Patient.link.other", "type": "reference", "target": ["Robot"]},
            "SearchParameter.target[0]",
        ),
        (
            {
                "code": "bad",
                "expression": "Patient",
                "type": "composite",
                "component": [{"definition": "http://example.org/none", "expression": "name"}],
            },
            "SearchParameter.component[0].definition",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(own: httpx.Client, elements: Resource, place: str) -> None:
    outcome = outcome_of(own.post("/SearchParameter", json=parameter(**elements)))
    assert place in expressions_of(outcome), outcome
    draft = own.post("/SearchParameter", json=parameter(**elements, status="draft"))
    assert draft.status_code == 201 or "base" in place or "target" in place, draft.text


def test_an_expression_that_fails_on_a_resource_fails_no_write(own: httpx.Client) -> None:
    """It needs a single name; a Patient with two is stored, and not found by it."""
    create(own, parameter(code="shout", expression="Patient.name.family.upper()"))
    one = create(own, {"resourceType": "Patient", "name": [{"family": "Shout"}]})
    create(own, {"resourceType": "Patient", "name": [{"family": "Shout"}, {"family": "Other"}]})
    assert [r["id"] for r in find(own, "Patient", **{"shout:exact": "SHOUT"})] == [one["id"]]


def test_reindex_refuses_unknown_types_and_get(own: httpx.Client) -> None:
    wanted = {"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": "Robot"}]}
    outcome_of(own.post("/$reindex", json=wanted), 400)
    outcome_of(own.get("/$reindex"), 405)
    outcome_of(own.post("/Robot/$reindex", json={"resourceType": "Parameters"}), 404)


def test_writes_go_on_while_everything_is_reindexed(own: httpx.Client) -> None:
    """A resource that changes meanwhile has exactly the entries of its newest version."""
    patients = [create(own, {"resourceType": "Patient", "name": [{"family": f"Old{n}"}]}) for n in range(40)]
    response = own.post("/Patient/$reindex", json={"resourceType": "Parameters"})
    assert response.status_code == 202
    place, round_ = response.headers["content-location"], 0
    while own.get(place).status_code == 202:
        round_ += 1
        for patient in patients:
            changed = {**patient, "name": [{"family": f"New{round_}"}]}
            assert own.put(f"/Patient/{patient['id']}", json=changed).status_code == 200
    assert round_ > 0
    assert count(own, "Patient", family="old") == 0
    found = {n: count(own, "Patient", **{"family:exact": f"New{n}"}) for n in range(1, round_ + 1)}
    assert found == {**dict.fromkeys(range(1, round_), 0), round_: 40}
    assert count(own, "Patient", family="new") == 40


def test_us_core(dsn: str) -> None:
    """The package loads as it is; all of its SearchParameters work, those of extensions also on what was there before."""
    package = shared("spec", "us-core", "hl7.fhir.us.core-6.1.0.tgz")
    with tarfile.open(package) as archive:
        members = [m.name for m in archive.getmembers() if m.name.startswith("package/SearchParameter-")]
        definitions = [decode(archive.extractfile(name).read(), "SearchParameter") for name in members]  # type: ignore[union-attr]
    assert len(definitions) == 106
    amy = {
        "resourceType": "Patient",
        "id": "amy",
        "extension": [
            {
                "url": f"{US_CORE}/us-core-race",
                "extension": [{"url": "ombCategory", "valueCoding": {"system": "urn:x", "code": "2106-3"}}],
            }
        ],
    }
    with RunningServer.on_database(dsn) as server, server.client() as client:
        assert client.put("/Patient/amy", json=amy).status_code == 201
        command = [sys.executable, "-m", "fhir_server.cli", "load", str(package)]
        done = subprocess.run(command, env={**server.environment}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ", 0 failed" in done.stdout
        assert "package/example/: 183 files that are not part of the package's definitions" in " ".join(
            done.stdout.split()
        )
        assert count(client, "SearchParameter", _id=",".join(d["id"] for d in definitions)) == 106
        for definition in definitions:
            for base in definition["base"]:
                value = {"date": "2020", "reference": "Patient/x"}.get(definition["type"], "x")
                url = f"/{base}?{definition['code']}={value}&_summary=count"
                response = client.get(url, headers={"Prefer": "handling=strict"})
                assert response.status_code == 200, f"{definition['id']}: {response.text}"
        assert count(client, "Patient", race="2106-3", _id="amy") == 0
        reindex(client)
        assert count(client, "Patient", race="2106-3", _id="amy") == 1
        assert count(client, "Patient", race="1002-5", _id="amy") == 0
        assert warnings_of(client, "/Patient?race=2106-3") == []
        asserted = {
            "resourceType": "Condition",
            "subject": {"reference": "Patient/amy"},
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/condition-assertedDate",
                    "valueDateTime": "2021-05-04",
                }
            ],
        }
        made = create(client, asserted)
        assert [r["id"] for r in find(client, "Condition", **{"asserted-date": "ge2021"})] == [made["id"]]
        assert find(client, "Condition", **{"asserted-date": "ge2022"}) == []


def test_an_older_index_format_is_made_anew_by_itself(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        with RunningServer.on_database(dsn) as server, server.client() as client:
            patient = create(client, {"resourceType": "Patient", "name": [{"family": "Formerly"}]})
        connection.execute("UPDATE resource_patient SET tokens = '{}' WHERE id = %s", (patient["id"],))
        connection.execute("DELETE FROM string_index")
        connection.execute("DELETE FROM index_format WHERE tenant <> 0")
        connection.execute("UPDATE index_format SET format = 1")
        with RunningServer.on_database(dsn) as server, server.client() as client:
            until = time.monotonic() + PATIENCE
            while warnings_of(client, "/Patient?family=formerly"):
                assert time.monotonic() < until
                time.sleep(0.1)
            assert [r["id"] for r in find(client, "Patient", family="formerly")] == [patient["id"]]
            while connection.execute("SELECT format FROM index_format WHERE tenant = 0").fetchone() != (INDEX_FORMAT,):
                assert time.monotonic() < until
                time.sleep(0.1)
        assert connection.execute("SELECT count(*) FROM index_format").fetchone() == (1,)


def test_reindexing_goes_on_after_a_crash(dsn: str) -> None:
    """Also when every process is killed at once."""
    with RunningServer.on_database(dsn) as server, server.client() as client:
        patient = create(client, {"resourceType": "Patient", "multipleBirthInteger": 3})
        create(client, parameter(code="births", type="number", expression="Patient.multipleBirth.ofType(integer)"))
        response = client.post("/Patient/$reindex", json={"resourceType": "Parameters"})
        place = response.headers["content-location"].removeprefix(str(client.base_url))
        until = time.monotonic() + PATIENCE
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not connection.execute("SELECT FROM job WHERE status = 'running'").fetchall():
                assert time.monotonic() < until
                time.sleep(0.05)
        server.kill_group()
    with RunningServer.on_database(dsn) as server, server.client() as client:
        assert await_result(client, place)["response"]["status"] == "200 OK"
        assert [r["id"] for r in find(client, "Patient", births="3")] == [patient["id"]]
        assert warnings_of(client, "/Patient?births=3") == []


def test_what_is_kept_of_a_position_is_small() -> None:
    """A position is written with every batch."""
    position = Position("http://x", ["Patient"], [(f"us-core-{n}", 1, ["Patient"]) for n in range(106)])
    encoded = msgspec.json.encode(position)
    assert len(encoded) < 5000
    assert msgspec.json.decode(encoded, type=Position) == position
