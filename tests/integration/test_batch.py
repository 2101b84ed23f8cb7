"""batch Bundles over HTTP, https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from uuid import uuid4

import httpx

from tests.integration.answers import Resource, bundle_of, count, create, entry, expressions_of, outcome_of, resource_of

SYSTEM = "http://example.org/batch"


def patient(value: str, **more: object) -> Resource:
    """Return a Patient with an identifier."""
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], **more}


def test_each_entry_stands_by_itself(client: httpx.Client) -> None:
    value, stored = str(uuid4()), create(client, patient("stored"))
    path = f"Patient/{stored['id']}"
    entries = [
        entry("POST", "Patient", patient(value)),
        entry("POST", "Patient", patient("invalid", birthDate="soon")),
        entry("GET", "Patient/nobody"),
        entry("PUT", path, {**stored, "active": True}, ifMatch='W/"7"'),
        entry("PUT", path, {**stored, "active": True}, ifMatch='W/"1"'),
        entry("GET", path),
        entry("GET", f"Patient?identifier={SYSTEM}|{value}"),
        entry("POST", "Observation", patient("mismatch")),
        entry("PATCH", path),
        entry("POST", "/", bundle_of("batch")),
        entry("GET", "metadata"),
        entry("GET", "Patient?birthdate=soon"),
        {"resource": patient("no request")},
        entry("POST", "Patient", patient(value), ifNoneExist=f"identifier={SYSTEM}|{value}"),
        entry("DELETE", path),
        entry("GET", path),
        entry("POST", "Observation", {"resourceType": "Observation", "status": "nope", "code": {"text": "x"}}),
    ]
    response = client.post("/", json=bundle_of("batch", *entries))
    assert response.status_code == 200
    answer = resource_of(response)
    assert answer["type"] == "batch-response"
    statuses = [e["response"]["status"][:3] for e in answer["entry"]]
    assert statuses == (
        "201 400 404 412 200 200 200 400 400 400 200 400 400 200 204 410 422".split()  # noqa: SIM905 - reads better
    )
    for number, answered in enumerate(answer["entry"]):
        if answered["response"]["status"][0] == "4":
            places = expressions_of(answered["response"]["outcome"])
            assert places
            assert all(place.startswith(f"Bundle.entry[{number}]") for place in places), places
    assert answer["entry"][5]["resource"]["active"] is True
    assert len(answer["entry"][6]["resource"]["entry"]) == 1
    assert count(client, "Patient", identifier=f"{SYSTEM}|{value}") == 1


def test_a_batch_that_is_broken_itself_is_refused(client: httpx.Client) -> None:
    before = count(client, "Patient")
    good = entry("POST", "Patient", patient("good"))
    for broken in (
        {**bundle_of("batch", good), "nonsense": 1},
        {**bundle_of("batch", good), "entry": "x"},
        {**bundle_of("batch", good), "entry": [None]},
        {**bundle_of("batch", good), "timestamp": "soon"},
        {"resourceType": "Bundle", "type": "batch", "entry": []},
    ):
        outcome_of(client.post("/", json=broken), 400)
    assert count(client, "Patient") == before
    assert "entry" not in resource_of(client.post("/", json=bundle_of("batch")))


def test_many_entries(client: httpx.Client) -> None:
    value = str(uuid4())
    response = client.post("/", json=bundle_of("batch", *[entry("POST", "Patient", patient(value))] * 300))
    assert [e["response"]["status"] for e in resource_of(response)["entry"]] == ["201 Created"] * 300
    assert count(client, "Patient", identifier=f"{SYSTEM}|{value}") == 300
