"""PRAXIS_REFERENTIAL_INTEGRITY=enforce, https://hl7.org/fhir/R4/http.html#integrity; the default allows everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.integration.answers import Resource, bundle_of, create, entry, expressions_of, outcome_of, resource_of
from tests.server import RunningServer


@pytest.fixture(scope="module")
def strict_server(dsn: str) -> Iterator[RunningServer]:
    """A server with two workers that keeps references from leading nowhere."""
    server = RunningServer.on_database(dsn, workers=2)
    server.environment["PRAXIS_REFERENTIAL_INTEGRITY"] = "enforce"
    with server:
        yield server


@pytest.fixture
def strict(strict_server: RunningServer) -> Iterator[httpx.Client]:
    """A client of that server."""
    with strict_server.client() as client:
        yield client


def observation(subject: str, **more: object) -> Resource:
    """Return an Observation about a subject."""
    about = {"reference": subject}
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": about, **more}


PATIENT = {"resourceType": "Patient"}


def test_by_default_references_may_lead_anywhere(client: httpx.Client) -> None:
    patient = create(client, PATIENT)
    create(client, observation("Patient/nobody"))
    create(client, observation(f"Patient/{patient['id']}"))
    assert client.delete(f"/Patient/{patient['id']}").status_code == 204


def test_every_dangling_reference_is_named(strict: httpx.Client) -> None:
    gone = create(strict, PATIENT)
    assert strict.delete(f"/Patient/{gone['id']}").status_code == 204
    here = create(strict, PATIENT)
    broken = observation(
        f"Patient/{gone['id']}",
        performer=[{"reference": f"Patient/{here['id']}"}, {"reference": "Practitioner/nobody/_history/3"}],
        encounter={"reference": f"{str(strict.base_url).rstrip('/')}/Encounter/nobody"},
        focus=[{"reference": "#c"}, {"reference": "http://elsewhere.example/Patient/1"}, {"display": "x"}],
        contained=[
            {"resourceType": "Patient", "id": "c", "managingOrganization": {"reference": "Organization/nobody"}}
        ],
    )
    outcome = outcome_of(strict.post("/Observation", json=broken), 422)
    assert set(expressions_of(outcome)) == {
        "Observation.subject.reference",
        "Observation.performer[1].reference",
        "Observation.encounter.reference",
        "Observation.contained[0].managingOrganization.reference",
    }
    assert {i["code"] for i in outcome["issue"]} == {"not-found"}
    good = create(strict, observation(f"Patient/{here['id']}"))
    outcome_of(strict.put(f"/Observation/{good['id']}", json={**broken, "id": good["id"]}), 422)
    patch = json.dumps([{"op": "replace", "path": "/subject/reference", "value": "Patient/nobody"}])
    headers = {"content-type": "application/json-patch+json"}
    outcome_of(strict.patch(f"/Observation/{good['id']}", content=patch, headers=headers), 422)
    assert resource_of(strict.get(f"/Observation/{good['id']}")) == good
    itself = str(uuid4())
    link = [{"other": {"reference": f"Patient/{itself}"}, "type": "seealso"}]
    assert strict.put(f"/Patient/{itself}", json={**PATIENT, "id": itself, "link": link}).status_code == 201


def test_what_others_refer_to_is_not_deleted(strict: httpx.Client) -> None:
    patient = create(strict, PATIENT)
    address = f"Patient/{patient['id']}"
    referrers = [create(strict, observation(address)) for _ in range(11)]
    outcome = outcome_of(strict.delete(f"/{address}"), 409)
    told = outcome["issue"][0]["diagnostics"]
    assert sum(f"Observation/{r['id']}" in told for r in referrers) == 10
    assert "and others" in told
    outcome_of(strict.delete(f"/Patient?_id={patient['id']}"), 409)
    assert strict.get(f"/{address}").status_code == 200
    for referrer in referrers:
        assert strict.delete(f"/Observation/{referrer['id']}").status_code == 204
    assert strict.delete(f"/{address}").status_code == 204


def test_a_transaction_counts_as_a_whole(strict: httpx.Client) -> None:
    urn, fixed = f"urn:uuid:{uuid4()}", str(uuid4())
    made = bundle_of(
        "transaction",
        entry("POST", "Observation", observation(urn)),
        entry("POST", "Observation", observation(f"Patient/{fixed}")),
        entry("POST", "Patient", PATIENT, urn),
        entry("PUT", f"Patient/{fixed}", {**PATIENT, "id": fixed}),
    )
    answers = resource_of(strict.post("/", json=made))["entry"]
    addresses = [a["response"]["location"].partition("/_history")[0] for a in answers]
    bad = bundle_of(
        "transaction",
        entry("DELETE", addresses[3]),
        entry("POST", "Observation", observation("Patient/nobody")),
        entry("POST", "Observation", observation(addresses[3])),
    )
    outcome = outcome_of(strict.post("/", json=bad), 422)
    assert set(expressions_of(outcome)) == {
        "Bundle.entry[1].resource.subject.reference",
        "Bundle.entry[2].resource.subject.reference",
        "Bundle.entry[0]",
    }
    assert strict.get(f"/{addresses[3]}").status_code == 200
    moved = {**observation(addresses[2]), "id": addresses[1].rpartition("/")[2]}
    good = bundle_of("transaction", entry("DELETE", addresses[3]), entry("PUT", addresses[1], moved))
    assert strict.post("/", json=good).status_code == 200
    every = bundle_of("transaction", *[entry("DELETE", a) for a in addresses[:3]])
    assert strict.post("/", json=every).status_code == 200


def test_a_deletion_and_a_reference_never_slip_past_each_other(strict_server: RunningServer) -> None:
    """Whoever comes second is refused, so no resource is left that refers to nothing."""

    def write(address: str) -> int:
        with strict_server.client() as client:
            return client.post("/Observation", json=observation(address)).status_code

    def delete(address: str) -> int:
        with strict_server.client() as client:
            return client.delete(f"/{address}").status_code

    with strict_server.client() as client, ThreadPoolExecutor(8) as pool:
        for _ in range(12):
            address = f"Patient/{create(client, PATIENT)['id']}"
            writes = [pool.submit(write, address) for _ in range(3)]
            deletion = pool.submit(delete, address)
            writes += [pool.submit(write, address) for _ in range(3)]
            statuses = [w.result() for w in writes]
            gone = client.get(f"/{address}").status_code == 410
            assert deletion.result() == (204 if gone else 409)
            assert set(statuses) <= ({422} if gone else {201})
