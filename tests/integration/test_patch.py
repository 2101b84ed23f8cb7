"""patch over HTTP and in Bundles, https://hl7.org/fhir/R4/http.html#patch."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

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

SYSTEM = "http://example.org/patch"
JSON_PATCH = {"content-type": "application/json-patch+json"}


def patient(value: str, **more: object) -> Resource:
    """Return a Patient with an identifier."""
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], **more}


def send(client: httpx.Client, url: str, *operations: Resource, **headers: str) -> httpx.Response:
    """Send a JSON Patch."""
    return client.patch(url, content=json.dumps(operations), headers={**JSON_PATCH, **headers})


def op(name: str, path: str, value: Any = None) -> Resource:
    """Return one operation of a JSON Patch."""
    return {"op": name, "path": path, **({} if name == "remove" else {"value": value})}


def fhirpath_patch(path: str, name: str, **value: Any) -> Resource:
    """Return a FHIRPath Patch that adds an element."""
    parts = [
        {"name": "type", "valueCode": "add"},
        {"name": "path", "valueString": path},
        {"name": "name", "valueString": name},
        {"name": "value", **value},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def as_binary(*operations: Resource) -> Resource:
    """Return the Binary that carries a JSON Patch in a Bundle."""
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


def test_a_patch_makes_a_new_version(client: httpx.Client) -> None:
    stored = create(client, patient(str(uuid4()), active=True))
    url = f"/Patient/{stored['id']}"
    response = send(client, url, op("replace", "/active", False), op("add", "/birthDate", "1984-02-29"))
    after = resource_of(response)
    assert (response.status_code, response.headers["etag"]) == (200, 'W/"2"')
    assert response.headers["content-location"].endswith(f"{url}/_history/2")
    assert "last-modified" in response.headers
    assert (after["active"], after["birthDate"], after["meta"]["versionId"]) == (False, "1984-02-29", "2")
    assert resource_of(client.get(url)) == after
    assert count(client, "Patient", identifier=stored["identifier"][0]["value"], birthdate="1984") == 1
    assert resource_of(client.get(f"{url}/_history/1")) == stored


def test_what_comes_back_is_the_clients_choice(client: httpx.Client) -> None:
    url = f"/Patient/{create(client, patient('r'))['id']}"
    minimal = send(client, url, op("add", "/active", True), prefer="return=minimal")
    assert (minimal.status_code, minimal.content) == (200, b"")
    told = send(client, url, op("add", "/active", True), prefer="return=OperationOutcome")
    assert resource_of(told)["resourceType"] == "OperationOutcome"


def test_fhirpath_patch(client: httpx.Client) -> None:
    url = f"/Patient/{create(client, patient('f'))['id']}"
    response = client.patch(
        url,
        json=fhirpath_patch("Patient", "active", valueBoolean=True),
        headers={"content-type": "application/fhir+json"},
    )
    assert response.status_code == 200, response.text
    assert resource_of(response)["active"] is True


def test_if_match(client: httpx.Client) -> None:
    url = f"/Patient/{create(client, patient('m'))['id']}"
    outcome_of(send(client, url, op("add", "/active", True), **{"if-match": 'W/"2"'}), 412)
    assert send(client, url, op("add", "/active", True), **{"if-match": 'W/"1"'}).status_code == 200
    conditional = f"/Patient?_id={url.rpartition('/')[2]}"
    outcome_of(send(client, conditional, op("add", "/active", True), **{"if-match": 'W/"1"'}), 412)
    assert send(client, conditional, op("add", "/active", True), **{"if-match": 'W/"2"'}).status_code == 200


def test_conditional_patch(client: httpx.Client) -> None:
    value = str(uuid4())
    url = f"/Patient?identifier={SYSTEM}|{value}"
    outcome_of(send(client, url, op("add", "/active", True)), 404)
    first = create(client, patient(value))
    response = send(client, url, op("add", "/active", True))
    assert (response.status_code, resource_of(response)["id"]) == (200, first["id"])
    create(client, patient(value))
    assert outcome_of(send(client, url, op("add", "/active", False)), 412)["issue"][0]["code"] == "multiple-matches"
    outcome_of(send(client, "/Patient", op("add", "/active", False)), 412)
    outcome_of(send(client, "/Patient?nonsense=1", op("add", "/active", False)), 400)


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        (op("replace", "/id", "other"), 422),
        (op("remove", "/id"), 422),
        (op("replace", "/resourceType", "Group"), 422),
        (op("replace", "", {"resourceType": "Group"}), 422),
        (op("replace", "", []), 422),
        (op("add", "/birthDate", "soon"), 422),
        (op("add", "/nonsense", 1), 422),
        (op("test", "/active", True), 422),
        (op("remove", "/active"), 422),
        ({"op": "nonsense", "path": "/active"}, 400),
        ({"op": "add"}, 400),
    ],
)
def test_patches_that_are_refused(client: httpx.Client, operation: Resource, status: int) -> None:
    stored = create(client, patient("refused"))
    outcome_of(send(client, f"/Patient/{stored['id']}", operation), status)
    assert resource_of(client.get(f"/Patient/{stored['id']}")) == stored


def test_what_can_not_be_patched(client: httpx.Client) -> None:
    outcome_of(send(client, f"/Patient/{uuid4()}", op("add", "/active", True)), 404)
    url = f"/Patient/{create(client, patient('gone'))['id']}"
    assert client.delete(url).status_code == 204
    outcome_of(send(client, url, op("add", "/active", True)), 410)
    url = f"/Patient/{create(client, patient('here'))['id']}"
    outcome_of(client.patch(url, content=b"[]", headers={"content-type": "text/csv"}), 415)
    outcome_of(client.patch(url, headers=JSON_PATCH), 400)
    outcome_of(client.patch(url, content=b"{", headers=JSON_PATCH), 400)


def test_meta_of_the_server_can_not_be_patched(client: httpx.Client) -> None:
    url = f"/Patient/{create(client, patient('meta'))['id']}"
    tag = {"system": SYSTEM, "code": "x"}
    changed = {"versionId": "7", "lastUpdated": "2020-01-01T00:00:00Z", "tag": [tag]}
    after = resource_of(send(client, url, op("replace", "/meta", changed)))
    assert (after["meta"]["versionId"], after["meta"]["tag"]) == ("2", [tag])
    assert not after["meta"]["lastUpdated"].startswith("2020-01-01")


@pytest.mark.parametrize("type_", ["batch", "transaction"])
def test_patches_in_bundles(client: httpx.Client, type_: str) -> None:
    value = str(uuid4())
    one, two = create(client, patient("one")), create(client, patient(value))
    urn = f"urn:uuid:{uuid4()}"
    entries = [
        entry("PATCH", f"Patient/{one['id']}", fhirpath_patch("Patient", "active", valueBoolean=True)),
        entry(
            "PATCH",
            f"Patient?identifier={SYSTEM}|{value}",
            as_binary(op("add", "/active", False)),
            urn,
            ifMatch='W/"1"',
        ),
    ]
    response = client.post("/", json=bundle_of(type_, *entries), headers={"prefer": "return=representation"})
    answers = resource_of(response)["entry"]
    assert [(a["response"]["status"], a["response"]["etag"]) for a in answers] == [("200 OK", 'W/"2"')] * 2
    assert [a["resource"]["active"] for a in answers] == [True, False]
    assert [resource_of(client.get(f"/Patient/{p['id']}"))["active"] for p in (one, two)] == [True, False]


def test_references_in_a_patch_follow_the_entries(client: httpx.Client) -> None:
    stored, known = create(client, patient("member")), str(uuid4())
    create(client, patient(known))
    urn = f"urn:uuid:{uuid4()}"
    organization = {"resourceType": "Organization", "name": "Clinic"}
    link = {"other": {"reference": f"Patient?identifier={SYSTEM}|{known}"}, "type": "seealso"}
    patch = as_binary(op("add", "/managingOrganization", {"reference": urn}), op("add", "/link", [link]))
    bundle = bundle_of(
        "transaction",
        entry("PATCH", f"Patient/{stored['id']}", patch),
        entry("POST", "Organization", organization, urn),
    )
    answers = resource_of(client.post("/", json=bundle))["entry"]
    after = resource_of(client.get(f"/Patient/{stored['id']}"))
    made = answers[1]["response"]["location"].partition("/_history")[0]
    assert after["managingOrganization"]["reference"] == made
    assert after["link"][0]["other"]["reference"].startswith("Patient/")


def test_a_transaction_with_a_bad_patch_changes_nothing(client: httpx.Client) -> None:
    value, stored = str(uuid4()), create(client, patient("t"))
    path = f"Patient/{stored['id']}"
    good = entry("POST", "Patient", patient(value))
    for bad, status, where in (
        (entry("PATCH", path, as_binary(op("test", "/active", True))), 422, "Bundle.entry[1]"),
        (entry("PATCH", path, as_binary(op("add", "/birthDate", "soon"))), 422, "Bundle.entry[1].resource.birthDate"),
        (entry("PATCH", path, patient("x")), 400, "Bundle.entry[1].resource"),
        (
            entry("PATCH", path, {"resourceType": "Binary", "contentType": "text/plain"}),
            400,
            "Bundle.entry[1].resource",
        ),
        (entry("PATCH", path, {**as_binary(), "contentType": "text/plain"}), 415, "Bundle.entry[1]"),
        (entry("PATCH", path), 400, "Bundle.entry[1].resource"),
        (entry("PATCH", "Patient/nobody", as_binary()), 404, "Bundle.entry[1]"),
        (entry("PATCH", "Patient?identifier=nobody", as_binary()), 404, "Bundle.entry[1]"),
        (entry("PATCH", path, as_binary(), ifMatch='W/"9"'), 412, "Bundle.entry[1]"),
    ):
        outcome = outcome_of(client.post("/", json=bundle_of("transaction", good, bad)), status)
        assert expressions_of(outcome)[0].startswith(where), outcome
    twice = entry("PATCH", path, as_binary(op("add", "/active", True)))
    outcome = outcome_of(client.post("/", json=bundle_of("transaction", twice, twice)), 400)
    assert outcome["issue"][0]["code"] == "duplicate"
    assert resource_of(client.get(f"/{path}")) == stored
    assert count(client, "Patient", identifier=f"{SYSTEM}|{value}") == 0
