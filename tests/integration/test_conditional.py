"""Conditional create, update and delete, https://hl7.org/fhir/R4/http.html#ccreate and #cond-update."""

from __future__ import annotations

import json
from uuid import uuid4

import httpx
import pytest

from fhir_server.interactions.conditions import MAX_MATCHES
from tests.integration.answers import (
    Resource,
    bundle_of,
    count,
    create,
    entry,
    expressions_of,
    outcome_of,
    resource_of,
)

SYSTEM = "http://example.org/conditional"


def patient(value: str, **more: object) -> Resource:
    """Return a Patient with an identifier."""
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], **more}


def query(value: str) -> str:
    """Return the condition that finds it."""
    return f"identifier={SYSTEM}|{value}"


def test_a_conditional_create_happens_once(client: httpx.Client) -> None:
    value = str(uuid4())
    headers = {"if-none-exist": query(value)}
    first = client.post("/Patient", json=patient(value), headers=headers)
    for condition in (query(value), f"Patient?{query(value)}", f"?{query(value)}", f"{query(value)}&_format=json"):
        again = client.post("/Patient", json=patient(value), headers={"if-none-exist": condition})
        assert (first.status_code, again.status_code) == (201, 200)
        assert resource_of(again) == resource_of(first)
    assert count(client, "Patient", identifier=f"{SYSTEM}|{value}") == 1
    assert client.delete(f"/Patient/{resource_of(first)['id']}").status_code == 204
    assert client.post("/Patient", json=patient(value), headers=headers).status_code == 201


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("", 412),
        ("identifier=", 412),
        ("_format=json", 412),
        ("nonsense=1", 400),
        ("identifier=x&_count=1", 400),
        ("identifier=x&_sort=name", 400),
        ("birthdate=yesterday", 400),
        ("Observation?identifier=x", 400),
        ("name=%zz", 400),
        ("name=%00", 400),
        ("name=%ff", 400),
    ],
)
def test_conditions_that_are_none(client: httpx.Client, condition: str, status: int) -> None:
    before = count(client, "Patient")
    outcome_of(client.post("/Patient", json=patient("x"), headers={"if-none-exist": condition}), status)
    outcome_of(client.put(f"/Patient?{condition}", json=patient("x")), 400 if "Observation?" in condition else status)
    outcome_of(client.delete(f"/Patient?{condition}"), 400 if "Observation?" in condition else status)
    assert count(client, "Patient") == before


def test_a_conditional_update_creates_then_updates(client: httpx.Client) -> None:
    value = str(uuid4())
    url = f"/Patient?{query(value)}"
    created = client.put(url, json=patient(value))
    id_ = resource_of(created)["id"]
    assert created.status_code == 201
    updated = client.put(url, json=patient(value, active=True))
    assert (updated.status_code, resource_of(updated)["id"]) == (200, id_)
    assert client.put(url, json=patient(value, id=id_)).headers["etag"] == 'W/"3"'
    outcome_of(client.put(url, json=patient(value, id="other")), 400)
    outcome_of(client.put(url, json=patient(value), headers={"if-match": 'W/"1"'}), 412)
    assert client.put(url, json=patient(value), headers={"if-match": 'W/"3"'}).status_code == 200


def test_a_conditional_update_without_match_leaves_other_resources_alone(client: httpx.Client) -> None:
    bystander = create(client, patient(str(uuid4())))
    url = f"/Patient?{query(str(uuid4()))}"
    outcome_of(client.put(url, json=patient("new", id=bystander["id"])), 412)
    assert resource_of(client.get(f"/Patient/{bystander['id']}")) == bystander
    fresh = str(uuid4())
    assert resource_of(client.put(url, json=patient("new", id=fresh)))["id"] == fresh


def test_a_conditional_delete_takes_one(client: httpx.Client) -> None:
    value = str(uuid4())
    id_ = create(client, patient(value))["id"]
    assert client.delete(f"/Patient?{query(value)}").status_code == 204
    outcome_of(client.get(f"/Patient/{id_}"), 410)
    assert client.delete(f"/Patient?{query(value)}").status_code == 204


def test_several_matches_change_nothing(client: httpx.Client) -> None:
    value = str(uuid4())
    ids = [create(client, patient(value))["id"] for _ in range(2)]
    for response in (
        client.post("/Patient", json=patient(value), headers={"if-none-exist": query(value)}),
        client.put(f"/Patient?{query(value)}", json=patient(value)),
    ):
        assert outcome_of(response, 412)["issue"][0]["code"] == "multiple-matches"
    for id_ in ids:
        assert resource_of(client.get(f"/Patient/{id_}"))["meta"]["versionId"] == "1"


def test_a_conditional_delete_takes_every_match(client: httpx.Client) -> None:
    value = str(uuid4())
    ids = [create(client, patient(value))["id"] for _ in range(3)]
    other = create(client, patient(str(uuid4())))
    outcome_of(client.delete(f"/Patient?{query(value)}", headers={"if-match": 'W/"7"'}), 412)
    assert count(client, "Patient", identifier=f"{SYSTEM}|{value}") == 3
    response = client.delete(f"/Patient?{query(value)}", headers={"prefer": "return=OperationOutcome"})
    assert response.status_code == 200
    assert "3 resource(s)" in resource_of(response)["issue"][0]["diagnostics"]
    for id_ in ids:
        outcome_of(client.get(f"/Patient/{id_}"), 410)
    assert resource_of(client.get(f"/Patient/{other['id']}")) == other
    assert client.delete(f"/Patient?{query(value)}", headers={"if-match": "*"}).status_code == 412


def test_a_conditional_delete_in_a_bundle_takes_every_match(client: httpx.Client) -> None:
    value = str(uuid4())
    ids = [create(client, patient(value))["id"] for _ in range(3)]
    delete = entry("DELETE", f"Patient?{query(value)}")
    clash = entry("PUT", f"Patient/{ids[1]}", patient("x", id=ids[1]))
    outcome = outcome_of(client.post("/", json=bundle_of("transaction", delete, clash)), 400)
    assert outcome["issue"][0]["code"] == "duplicate"
    answer = resource_of(client.post("/", json=bundle_of("transaction", delete)))
    assert answer["entry"][0]["response"]["status"] == "204 No Content"
    assert count(client, "Patient", identifier=f"{SYSTEM}|{value}") == 0


def test_more_than_one_request_may_delete_is_refused(client: httpx.Client) -> None:
    value = str(uuid4())
    entries = [entry("POST", "Patient", patient(value)) for _ in range(MAX_MATCHES + 1)]
    assert client.post("/", json=bundle_of("transaction", *entries)).status_code == 200
    outcome = outcome_of(client.delete(f"/Patient?{query(value)}"), 412)
    assert outcome["issue"][0]["code"] == "too-costly"
    assert count(client, "Patient", identifier=f"{SYSTEM}|{value}") == MAX_MATCHES + 1
    match = resource_of(client.get(f"/Patient?{query(value)}&_count=1"))["entry"][0]["resource"]["id"]
    assert client.delete(f"/Patient/{match}").status_code == 204
    assert client.delete(f"/Patient?{query(value)}").status_code == 204
    assert count(client, "Patient", identifier=f"{SYSTEM}|{value}") == 0


def test_if_none_match_keeps_an_update_from_replacing(client: httpx.Client) -> None:
    value, fresh = str(uuid4()), str(uuid4())
    stored = create(client, patient(value))
    never = {"if-none-match": "*"}
    outcome_of(client.put(f"/Patient/{stored['id']}", json=stored, headers=never), 412)
    outcome_of(client.put(f"/Patient?{query(value)}", json=patient(value), headers=never), 412)
    assert client.put(f"/Patient/{fresh}", json=patient("new", id=fresh), headers=never).status_code == 201
    other = str(uuid4())
    assert client.put(f"/Patient?{query(other)}", json=patient(other), headers=never).status_code == 201


@pytest.mark.parametrize("base", ["", "own"])
def test_conditional_references_resolve_in_any_write(client: httpx.Client, base: str) -> None:
    value = str(uuid4())
    known = create(client, patient(value))
    prefix = f"{client.base_url}".rstrip("/") + "/" if base else ""

    def about(identifier: str) -> Resource:
        subject = {"reference": f"{prefix}Patient?identifier={SYSTEM}|{identifier}"}
        return {"resourceType": "Observation", "status": "final", "code": {"text": "x?"}, "subject": subject}

    wanted = {"reference": f"Patient/{known['id']}"}
    created = create(client, about(value))
    assert created["subject"] == wanted
    again = client.put(f"/Observation/{created['id']}", json={**about(value), "id": created["id"]})
    assert resource_of(again)["subject"] == wanted
    batch = bundle_of(
        "batch", entry("POST", "Observation", about(value)), entry("POST", "Observation", about("nobody"))
    )
    first, second = resource_of(client.post("/", json=batch, headers={"prefer": "return=representation"}))["entry"]
    assert first["resource"]["subject"] == wanted
    assert second["response"]["status"] == "412"
    assert expressions_of(second["response"]["outcome"]) == ["Bundle.entry[1].resource.subject.reference"]
    patch = json.dumps([{"op": "add", "path": "/focus", "value": [about(value)["subject"]]}])
    patched = client.patch(
        f"/Observation/{created['id']}", content=patch, headers={"content-type": "application/json-patch+json"}
    )
    assert resource_of(patched)["focus"] == [wanted]
    escaped = json.dumps(about(value)).replace("?", "\\u003f")
    response = client.post("/Observation", content=escaped, headers={"content-type": "application/fhir+json"})
    assert resource_of(response)["subject"] == wanted


@pytest.mark.parametrize(
    ("condition", "status"), [("identifier=nobody", 412), ("nonsense=1", 400), ("birthdate=soon", 400), ("", 412)]
)
def test_conditional_references_that_lead_nowhere(client: httpx.Client, condition: str, status: int) -> None:
    about = {"reference": f"Patient?{condition}"}
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "focus": [about]}
    outcome = outcome_of(client.post("/Observation", json=observation), status)
    assert expressions_of(outcome) == ["Observation.focus[0].reference"]
