"""$graphql over HTTP, https://hl7.org/fhir/R4/graphql.html."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.server import RunningServer

ALL = (
    {"resourceType": "Organization", "id": "clinic", "name": "Clinic"},
    {
        "resourceType": "Practitioner",
        "id": "doc",
        "name": [{"family": "Doe", "given": ["Jane", "Q"]}],
    },
    {
        "resourceType": "Patient",
        "id": "ada",
        "active": True,
        "name": [
            {"use": "official", "family": "Lovelace", "given": ["Ada", "Augusta"], "text": "Ada Lovelace"},
            {"use": "nickname", "given": ["Countess"]},
        ],
        "birthDate": "1815-12-10",
        "_birthDate": {"extension": [{"url": "http://example.org/sure", "valueBoolean": True}]},
        "generalPractitioner": [{"reference": "Practitioner/doc"}, {"reference": "#inside"}],
        "managingOrganization": {"reference": "Organization/clinic"},
        "contained": [{"resourceType": "Organization", "id": "inside", "name": "Inside"}],
    },
    {"resourceType": "Patient", "id": "lost", "managingOrganization": {"reference": "Organization/nowhere"}},
    *(
        {
            "resourceType": "Observation",
            "id": f"o{number}",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2", "display": "Height"}]},
            "subject": {"reference": "Patient/ada"},
            "effectiveDateTime": f"1850-01-0{number}",
            "valueQuantity": {"value": 160 + number, "unit": "cm"},
        }
        for number in range(1, 6)
    ),
    {
        "resourceType": "Observation",
        "id": "o6",
        "status": "amended",
        "code": {"text": "Mood"},
        "subject": {"reference": "Patient/ada"},
        "valueString": "good",
    },
)


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Any:
    with server.client() as client:
        for resource in ALL:
            assert client.put(f"/{resource['resourceType']}/{resource['id']}", json=resource).status_code == 201
        yield client


def ask(http: httpx.Client, query: str, path: str = "/$graphql", **variables: Any) -> dict[str, Any]:
    response = http.post(path, json={"query": query, "variables": variables})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def data(http: httpx.Client, query: str, path: str = "/$graphql", **variables: Any) -> Any:
    answer = ask(http, query, path, **variables)
    assert "errors" not in answer, answer
    return answer["data"]


def test_a_resource_with_its_references_and_what_refers_to_it(http: httpx.Client) -> None:
    query = """query ($id: String!, $few: Int) {
      Patient(id: $id) {
        resourceType __typename id active birthDate _birthDate { extension { url valueBoolean } }
        managingOrganization { reference resource { ... on Organization { name } } }
        heights: ObservationList(_reference: subject, code: "http://loinc.org|8302-2", _sort: "date", _count: $few) {
          effectiveDateTime valueQuantity { value unit } value { ... on Quantity { value } }
          subject { resource(type: Patient) { ... on Patient { id } } }
        }
      }
    }"""
    assert data(http, query, id="ada", few=2)["Patient"] == {
        "resourceType": "Patient",
        "__typename": "Patient",
        "id": "ada",
        "active": True,
        "birthDate": "1815-12-10",
        "_birthDate": {"extension": [{"url": "http://example.org/sure", "valueBoolean": True}]},
        "managingOrganization": {"reference": "Organization/clinic", "resource": {"name": "Clinic"}},
        "heights": [
            {
                "effectiveDateTime": f"1850-01-0{number}",
                "valueQuantity": {"value": 160 + number, "unit": "cm"},
                "value": {"value": 160 + number},
                "subject": {"resource": {"id": "ada"}},
            }
            for number in (1, 2)
        ],
    }


def test_an_instance_is_asked_directly(http: httpx.Client) -> None:
    found = data(
        http,
        "{ id name(use: official) { family } ObservationList(_reference: patient) { id } }",
        "/Patient/ada/$graphql",
    )
    assert found["name"] == [{"family": "Lovelace"}]
    assert {o["id"] for o in found["ObservationList"]} == {"o1", "o2", "o3", "o4", "o5", "o6"}
    assert http.get("/Patient/nobody/$graphql", params={"query": "{ id }"}).status_code == 404


def test_the_three_ways_to_send_a_query(http: httpx.Client) -> None:
    expected = {"data": {"Patient": {"id": "ada"}}}
    text = "{ Patient(id: ada) { id } }"
    assert http.get("/$graphql", params={"query": text}).json() == expected
    sent = http.post("/$graphql", content=text, headers={"content-type": "application/graphql"})
    assert sent.json() == expected
    several = "query one { Patient(id: ada) { id } } query two { Patient(id: lost) { id } }"
    named = http.post("/$graphql", json={"query": several, "operationName": "two"})
    assert named.json() == {"data": {"Patient": {"id": "lost"}}}


def test_lists_are_searches_and_connections_page(http: httpx.Client) -> None:
    found = data(http, '{ ObservationList(status: "amended", subject: "Patient/ada") { id valueString } }')
    assert found == {"ObservationList": [{"id": "o6", "valueString": "good"}]}
    page = """query ($at: [SearchValue]) {
      ObservationConnection(patient: "Patient/ada", _count: 4, _cursor: $at) {
        count pagesize next edges { mode resource { id } } } }"""
    first = data(http, page)["ObservationConnection"]
    assert (first["count"], first["pagesize"], len(first["edges"])) == (6, 4, 4)
    second = data(http, page, at=first["next"])["ObservationConnection"]
    ids = [edge["resource"]["id"] for edge in (*first["edges"], *second["edges"])]
    assert sorted(ids) == ["o1", "o2", "o3", "o4", "o5", "o6"]
    assert second["next"] is None


def test_list_arguments_and_directives(http: httpx.Client) -> None:
    query = """{ Patient(id: ada) {
      filtered: name(fhirpath: "given.count() = 1") { use }
      second: name(_offset: 1, _count: 1) { use }
      name @flatten { given family @first }
      one: name @first @flatten { text @singleton }
      names: name @slice(path: "use") { given }
      generalPractitioner @flatten { resource @flatten { ... on Practitioner { doctor: id } ... on Organization { organization: name } } }
    } }"""
    assert data(http, query)["Patient"] == {
        "filtered": [{"use": "nickname"}],
        "second": [{"use": "nickname"}],
        "given": ["Ada", "Augusta", "Countess"],
        "family": ["Lovelace"],
        "text": "Ada Lovelace",
        "names.official": {"given": ["Ada", "Augusta"]},
        "names.nickname": {"given": ["Countess"]},
        "doctor": ["doc"],
        "organization": ["Inside"],
    }


def test_fragments_skip_and_include(http: httpx.Client) -> None:
    query = """query ($full: Boolean = false) { Patient(id: ada) { ...short birthDate @include(if: $full) } }
    fragment short on Patient { id name(use: official) { family } ...more } fragment more on Patient { name(use: official) { text } }"""
    assert data(http, query)["Patient"] == {"id": "ada", "name": [{"family": "Lovelace", "text": "Ada Lovelace"}]}
    assert data(http, query, full=True)["Patient"]["birthDate"] == "1815-12-10"


def test_what_cannot_be_resolved_is_named(http: httpx.Client) -> None:
    broken = ask(
        http, "{ Patient(id: lost) { id managingOrganization { resource { ... on Organization { name } } } } }"
    )
    assert broken["data"] == {"Patient": {"id": "lost", "managingOrganization": {"resource": None}}}
    (error,) = broken["errors"]
    assert error["path"] == ["Patient", "managingOrganization", "resource"]
    assert error["extensions"]["resource"]["resourceType"] == "OperationOutcome"
    optional = (
        "{ Patient(id: lost) { managingOrganization { resource(optional: true) { ... on Organization { name } } } } }"
    )
    assert data(http, optional)["Patient"] == {"managingOrganization": {"resource": None}}
    assert ask(http, "{ Patient(id: nobody) { id } }")["data"] == {"Patient": None}
    refused = ask(http, '{ ObservationList(date: "soon") { id } PatientList(_id: ada) { id } }')
    assert refused["data"] == {"ObservationList": None, "PatientList": [{"id": "ada"}]}
    assert "soon" in refused["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("{ Patient(id: ada) { nothing } }", "nothing"),
        ("{ Patient { id } }", "id"),
        ("{ Patient(id: ada) ", "Syntax"),
        ("mutation { Patient(id: ada) { id } }", "mutation"),
        ("query ($a: String!) { Patient(id: $a) { id } }", "$a"),
        ("{ " + "a{" * 3000, "Syntax"),
        ("", "query"),
        ("query a { Patient(id: x) {id} } query b { Patient(id: x) {id} }", "several"),
    ],
)
def test_bad_queries_are_refused_with_an_outcome(http: httpx.Client, query: str, word: str) -> None:
    response = http.post("/$graphql", json={"query": query})
    assert response.status_code == 400, response.text
    assert word in json.dumps(response.json()["issue"])


def test_the_schema_can_be_asked_for(http: httpx.Client) -> None:
    found = data(http, '{ __type(name: "HumanName") { fields { name } } }')
    assert {"family", "given", "_given", "period"} <= {field["name"] for field in found["__type"]["fields"]}


def test_bodies_of_other_kinds_are_refused(http: httpx.Client) -> None:
    assert http.post("/$graphql", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    assert http.post("/$graphql", content=b"[]", headers={"content-type": "application/json"}).status_code == 400
