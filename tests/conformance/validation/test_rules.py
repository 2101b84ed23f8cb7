"""Rules that the specification states in prose: attachments, codings, narratives, references, Bundles, questionnaires."""

import base64
import hashlib
from typing import Any

import pytest

from conformance.validation import Policy, Validator
from tests.conformance.validation.definitions import errors, validator

Json = dict[str, Any]
DATA = b"hello"
TEXT = base64.b64encode(DATA).decode()
HASH = base64.b64encode(hashlib.sha1(DATA, usedforsecurity=False).digest()).decode()


def patient(**said: Any) -> Json:
    return {"resourceType": "Patient", **said}


def bundle(kind: str, *entries: Json, **said: Any) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries), **said}


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ({"data": TEXT, "size": 5, "hash": HASH}, []),
        ({"data": TEXT, "size": 6}, [("Patient.photo[0].size", "att-size")]),
        ({"data": TEXT, "hash": TEXT}, [("Patient.photo[0].hash", "att-hash")]),
        ({"url": "http://test.example/x", "size": 6}, []),
    ],
)
def test_attachments(photo: Json, expected: list[tuple[str, str]]) -> None:
    assert errors(validator(), patient(photo=[{"contentType": "text/plain", **photo}])) == expected


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        ({"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M"}, []),
        ({"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "?"}, ["coding-code"]),
        ({"system": "marital", "code": "M"}, ["coding-system"]),
        ({"system": "http://test.example/unknown", "code": "M"}, []),
    ],
)
def test_codings(coding: Json, expected: list[str]) -> None:
    assert [key for _, key in errors(validator(), patient(maritalStatus={"coding": [coding]}))] == expected


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("<p>text</p>", []),
        ("<p>&nbsp;a &lt; b</p>", []),
        ("<script>x</script>", ["txt-1"]),
        ('<p onclick="x">text</p>', ["txt-1"]),
        ('<a href="javascript:x">text</a>', ["txt-1"]),
        ("<p>text", ["txt-1"]),
        ("  ", ["txt-2"]),
        ('<img src="#x"/>', []),
    ],
)
def test_narratives(inside: str, expected: list[str]) -> None:
    text = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{inside}</div>'}
    assert errors(validator(), patient(text=text)) == [("Patient.text.div", key) for key in expected]


def observation(**said: Any) -> Json:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **said}


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ({"reference": "Patient/1"}, []),
        ({"reference": "https://test.example/fhir/Patient/1/_history/2"}, []),
        ({"reference": "urn:uuid:9c5d5d0c-9a0e-4a3a-9d0f-0e5f1c0a5b11"}, []),
        ({"reference": "Patient?identifier=x|1"}, []),
        ({"display": "somebody"}, []),
        ({"reference": "somebody"}, [("Observation.subject.reference", "reference-form")]),
        ({"reference": "Nothing/1"}, [("Observation.subject.reference", "reference-form")]),
        ({"reference": "Practitioner/1"}, [("Observation.subject", "reference")]),
        ({"reference": "Patient/1", "type": "Group"}, [("Observation.subject.type", "reference-type")]),
        ({"type": "Practitioner", "identifier": {"value": "1"}}, [("Observation.subject", "reference")]),
        ({"reference": "#1"}, [("Observation.subject", "ref-1")]),
    ],
)
def test_references(subject: Json, expected: list[tuple[str, str]]) -> None:
    assert errors(validator(), observation(subject=subject)) == expected


def test_contained_resources_are_referred_to() -> None:
    inside = {"resourceType": "Patient", "id": "p"}
    assert errors(validator(), observation(contained=[inside], subject={"reference": "#p"})) == []
    found = errors(validator(), observation(contained=[inside], subject={"reference": "Patient/p"}))
    assert found == [("Observation.contained[0]", "dom-3")]
    shown = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><img src="#p"/></div>'}
    assert errors(validator(), observation(contained=[inside], text=shown)) == []


def test_full_urls_agree_with_the_resource() -> None:
    base = "http://test.example/fhir"
    resource = patient(id="1")
    assert errors(validator(), bundle("collection", {"fullUrl": f"{base}/Patient/1", "resource": resource})) == []
    for url in (f"{base}/Patient/2", f"{base}/Group/1", "Patient/1"):
        found = errors(validator(), bundle("collection", {"fullUrl": url, "resource": resource}))
        assert found == [("Bundle.entry[0].fullUrl", "bdl-fullurl")], url


def test_pages_have_one_link_of_a_kind() -> None:
    links = [
        {"relation": relation, "url": "http://test.example/x"} for relation in ("self", "next", "next", "item", "item")
    ]
    assert errors(validator(), {"resourceType": "Bundle", "type": "searchset", "link": links}) == [
        ("Bundle.link", "bdl-link")
    ]


def document(*entries: Json) -> Json:
    composition = {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "x"},
        "date": "2020",
        "author": [{"reference": "Practitioner/p"}],
        "title": "x",
    }
    first = {"fullUrl": "http://test.example/fhir/Composition/c", "resource": composition}
    known = {"identifier": {"system": "http://test.example/ids", "value": "1"}, "timestamp": "2020-01-01T00:00:00Z"}
    return bundle("document", first, *entries, **known)


def test_a_document_has_what_its_composition_refers_to() -> None:
    author = {"resourceType": "Practitioner", "id": "p"}
    entry = {"fullUrl": "http://test.example/fhir/Practitioner/p", "resource": author}
    assert errors(validator(), document(entry)) == []
    missing = [("Bundle.entry[0].resource.author[0].reference", "bdl-document")]
    assert errors(validator(), document()) == missing
    elsewhere = {"fullUrl": "http://other.example/fhir/Practitioner/p", "resource": author}
    assert errors(validator(), document(elsewhere)) == missing


def test_outcomes_of_a_search_are_operation_outcomes() -> None:
    entry = {"fullUrl": "http://test.example/Patient/1", "resource": patient(id="1"), "search": {"mode": "outcome"}}
    assert errors(validator(), bundle("searchset", entry)) == [("Bundle.entry[0].search.mode", "bdl-outcome")]


def test_capability_statements_give_search_parameters_their_type() -> None:
    parameter = {"name": "name", "definition": "http://hl7.org/fhir/SearchParameter/individual-given", "type": "token"}
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2020",
        "kind": "requirements",
        "description": "x",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server", "resource": [{"type": "Patient", "searchParam": [parameter]}]}],
    }
    where = "CapabilityStatement.rest[0].resource[0].searchParam[0].type"
    assert errors(validator(), statement) == [(where, "searchparam-type")]


QUESTIONNAIRE = {
    "resourceType": "Questionnaire",
    "url": "http://test.example/Questionnaire/q",
    "status": "active",
    "item": [
        {"linkId": "smoker", "text": "?", "type": "boolean", "required": True},
        {
            "linkId": "often",
            "text": "?",
            "type": "choice",
            "required": True,
            "enableWhen": [{"question": "smoker", "operator": "=", "answerBoolean": True}],
            "answerOption": [{"valueCoding": {"system": "http://test.example/c", "code": "daily"}}],
        },
    ],
}


def response(*items: Json, status: str = "completed") -> Json:
    url = "http://test.example/Questionnaire/q"
    return {"resourceType": "QuestionnaireResponse", "questionnaire": url, "status": status, "item": list(items)}


def answer(link: str, **value: Any) -> Json:
    return {"linkId": link, "answer": [value]}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([answer("smoker", valueBoolean=False)], []),
        ([answer("smoker", valueBoolean=True)], [("QuestionnaireResponse", "questionnaire-required")]),
        (
            [
                answer("smoker", valueBoolean=True),
                answer("often", valueCoding={"system": "http://test.example/c", "code": "daily"}),
            ],
            [],
        ),
        (
            [
                answer("smoker", valueBoolean=True),
                answer("often", valueCoding={"system": "http://test.example/c", "code": "x"}),
            ],
            [("QuestionnaireResponse.item[1].answer[0].value", "questionnaire-option")],
        ),
        (
            [answer("smoker", valueString="no")],
            [("QuestionnaireResponse.item[0].answer[0].value", "questionnaire-type")],
        ),
        (
            [answer("smoker", valueBoolean=False), answer("other", valueBoolean=True)],
            [("QuestionnaireResponse.item[1].linkId", "questionnaire-linkid")],
        ),
        (
            [
                answer("smoker", valueBoolean=False),
                answer("often", valueCoding={"system": "http://test.example/c", "code": "daily"}),
            ],
            [("QuestionnaireResponse.item[1]", "questionnaire-enabled")],
        ),
    ],
)
def test_questionnaire_responses(items: list[Json], expected: list[tuple[str, str]]) -> None:
    assert errors(validator(QUESTIONNAIRE), response(*items)) == expected


def test_answers_may_be_missing_while_the_response_is_in_progress() -> None:
    started = response(answer("smoker", valueBoolean=True), status="in-progress")
    assert errors(validator(QUESTIONNAIRE), started) == []


def test_a_policy_may_forbid_markup_and_example_urls_and_demand_profiles() -> None:
    resource = patient(name=[{"text": "<b>x</b>"}], photo=[{"url": "http://www.example.org/x"}])
    assert errors(validator(), resource) == []
    strict = Validator(lambda _type, _canonical: None, policy=Policy(markup=False, example_urls=False))
    assert errors(strict, resource) == [
        ("Patient.name[0].text", "policy-markup"),
        ("Patient.photo[0].url", "policy-example-url"),
    ]
    vital = "http://hl7.org/fhir/StructureDefinition/vitalsigns"
    demanding = Validator(lambda _type, _canonical: None, policy=Policy(profiles={"Observation": (vital,)}))
    assert ("Observation.category", "min") in errors(demanding, observation())
