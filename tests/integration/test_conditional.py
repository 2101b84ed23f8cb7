"""Conditional create, update and delete, https://hl7.org/fhir/R4/http.html#ccreate and #cond-update."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from tests.integration.answers import Resource, count, create, outcome_of, resource_of

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
        client.delete(f"/Patient?{query(value)}"),
    ):
        assert outcome_of(response, 412)["issue"][0]["code"] == "multiple-matches"
    for id_ in ids:
        assert resource_of(client.get(f"/Patient/{id_}"))["meta"]["versionId"] == "1"
