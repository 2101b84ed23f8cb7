"""/metadata, https://hl7.org/fhir/R4/capabilitystatement.html: valid, and no promise too many."""

from __future__ import annotations

from collections import defaultdict

import httpx

from conformance.decode import check
from conformance.definitions import resource_types, search_parameters
from tests.integration.answers import Resource, create, resource_of
from tests.integration.minimal import minimal

# A value each type of search parameter can take.
VALUES = {
    "token": "x",
    "reference": "Patient/1",
    "string": "x",
    "date": "2020-01-01",
    "number": "1",
    "quantity": "1",
    "uri": "http://example.org",
}
NEAR = "42.25|-83.69|10|km"


def value_for(url: str, kind: str) -> str:
    """Return a value that a search parameter can have."""
    if kind == "special":
        return NEAR
    if kind == "composite":
        by_url = {p.url: p for p in search_parameters()}
        components = next(p for p in search_parameters() if p.url == url).component
        return "$".join(VALUES[by_url[definition].type] for definition, _ in components)
    return VALUES[kind]


def statement(client: httpx.Client) -> Resource:
    """Return the valid CapabilityStatement."""
    out = resource_of(client.get("/metadata"))
    check(out)
    return out


def test_it_describes_this_server(client: httpx.Client) -> None:
    told = statement(client)
    assert told["fhirVersion"] == "4.0.1"
    assert told["implementation"]["url"] == str(client.base_url).rstrip("/")
    assert told["kind"] == "instance"
    (rest,) = told["rest"]
    assert [r["type"] for r in rest["resource"]] == list(resource_types())
    assert {i["code"] for i in rest["interaction"]} == {"transaction", "batch", "history-system", "search-system"}
    assert told["format"] == [
        "application/fhir+json",
        "json",
        "application/fhir+xml",
        "xml",
        "application/fhir+ndjson",
        "ndjson",
    ]
    assert "application/json-patch+json" in told["patchFormat"]


def test_every_search_parameter_it_names_can_be_searched_by(client: httpx.Client) -> None:
    for resource in statement(client)["rest"][0]["resource"]:
        parameters: list[tuple[str, str | int | float | bool | None]] = [
            (p["name"], value_for(p["definition"], p["type"])) for p in resource["searchParam"]
        ]
        response = client.get(f"/{resource['type']}", params=parameters, headers={"prefer": "handling=strict"})
        assert response.status_code == 200, (resource["type"], response.text)


def test_every_include_it_names_is_taken(client: httpx.Client) -> None:
    create(client, minimal("Patient"))
    by_kind: dict[str, list[tuple[str, str | int | float | bool | None]]] = defaultdict(list)
    for resource in statement(client)["rest"][0]["resource"]:
        by_kind[resource["type"]] += [("_include", value) for value in resource.get("searchInclude", ())]
        by_kind[resource["type"]] += [("_revinclude", value) for value in resource.get("searchRevInclude", ())]
    for name in ("Patient", "Observation", "Encounter", "Task", "Practitioner"):
        for start in range(0, len(by_kind[name]), 100):
            query = by_kind[name][start : start + 100]
            response = client.get(f"/{name}", params=query, headers={"prefer": "handling=strict"})
            assert response.status_code == 200, response.text


def test_every_operation_it_names_answers(client: httpx.Client) -> None:
    for resource in statement(client)["rest"][0]["resource"]:
        for operation in resource.get("operation", ()):
            # Some are called on a type, some on a resource only.
            places = (resource["type"], f"{resource['type']}/nobody")
            answers = [client.post(f"/{p}/${operation['name']}", json={"resourceType": "Parameters"}) for p in places]
            assert all(answer.status_code < 500 for answer in answers)
            assert any("is not supported" not in str(resource_of(answer)) for answer in answers), operation
