"""$fhirpath in process and over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.operations.conftest import Clinic, Resource, resource

ADA = resource("Patient", "ada", birthDate="1815-12-10", name=[{"family": "Lovelace", "given": ["Ada", "Augusta"]}])
ADA["contact"] = [{"gender": "male"}]
JSON_VALUE = "http://fhir.forms-lab.com/StructureDefinition/json-value"


def text(name: str, value: str) -> Resource:
    return {"name": name, "valueString": value}


def results(answer: Resource) -> list[tuple[str, list[Any]]]:
    found = [p for p in answer["parameter"] if p["name"] == "result"]
    return [(p["valueString"], p.get("part", [])) for p in found]


def evaluated(clinic: Clinic, expression: str, *more: Resource) -> list[tuple[str, list[Any]]]:
    return results(
        clinic.call("$fhirpath", text("expression", expression), {"name": "resource", "resource": ADA}, *more)
    )


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("name.given", [text("string", "Ada"), text("string", "Augusta")]),
        ("birthDate", [{"name": "date", "valueDate": "1815-12-10"}]),
        ("name", [{"name": "HumanName", "valueHumanName": ADA["name"][0]}]),
        ("name.count()", [{"name": "integer", "valueInteger": 2 - 1}]),
        ("1.50", [{"name": "decimal", "valueDecimal": 1.5}]),
        ("name.exists()", [{"name": "boolean", "valueBoolean": True}]),
        ("telecom", []),
        ("$this", [{"name": "Patient", "resource": ADA}]),
        ("birthDate + 1 year", [{"name": "date", "valueDate": "1816-12-10"}]),
        ("4 'mg'",
         [{"name": "Quantity", "valueQuantity": {"value": 4, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}}]),
        ("2 days", [{"name": "Quantity", "valueQuantity": {"value": 2, "unit": "days"}}]),
        ("5L", [text("string", "5")]),
        ("contact", [{"name": "Patient.contact", "extension": [{"url": JSON_VALUE, "valueString": '{"gender":"male"}'}]}]),
        ("''", [{"name": "string", "extension": [{"url": JSON_VALUE, "valueString": '""'}]}]),
        ("'a\\u0001'", [{"name": "string", "extension": [{"url": JSON_VALUE, "valueString": '"a\\u0001"'}]}]),
        ("@T10:00", [{"name": "time", "extension": [{"url": JSON_VALUE, "valueString": '"10:00"'}]}]),
        ("%factory.create(Coding)", [{"name": "Coding", "extension": [{"url": JSON_VALUE, "valueString": "{}"}]}]),
        ("name.family.trace('f').exists()",
         [{"name": "boolean", "valueBoolean": True}, {**text("trace", "f"), "part": [text("string", "Lovelace")]}]),
    ],
)  # fmt: skip
def test_results_have_their_types(clinic: Clinic, expression: str, parts: list[Resource]) -> None:
    assert evaluated(clinic, expression) == [("Patient", parts)]


def test_the_request_is_echoed(clinic: Clinic) -> None:
    variables = {"name": "variables", "part": [{"name": "wanted", "valueCode": "Ada"}]}
    answer = clinic.call(
        "$fhirpath",
        text("expression", "given.where($this = %wanted)"),
        text("context", "name"),
        {"name": "resource", "resource": ADA},
        variables,
    )
    echo = {part["name"]: part for part in answer["parameter"][0]["part"]}
    assert answer["parameter"][0]["name"] == "parameters"
    assert echo["expression"]["valueString"] == "given.where($this = %wanted)"
    assert echo["context"]["valueString"] == "name"
    assert echo["resource"]["resource"] == ADA
    assert echo["variables"] == variables
    assert echo["evaluator"]["valueString"].startswith("Praxis ")
    assert results(answer) == [("name[0]", [text("string", "Ada")])]


def test_each_context_has_its_result(clinic: Clinic) -> None:
    found = evaluated(clinic, "$this.length()", text("context", "name.given"))
    assert [(place, part["valueInteger"]) for place, (part,) in found] == [("name.given[0]", 3), ("name.given[1]", 7)]


def test_variables_may_be_resources_and_elements(clinic: Clinic) -> None:
    other = {
        "name": "variables",
        "part": [{"name": "other", "resource": ADA}, {"name": "name", "valueHumanName": {"family": "B"}}],
    }
    assert evaluated(clinic, "%other.birthDate | %name.family", other) == [
        ("Patient", [{"name": "date", "valueDate": "1815-12-10"}, text("string", "B")])
    ]


def test_entries_of_a_bundle_and_contained_resources_are_resolved(clinic: Clinic) -> None:
    observation = resource("Observation", "o", status="final", code={"text": "x"}, subject={"reference": "Patient/ada"})
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": "http://x/Patient/ada", "resource": ADA},
            {"fullUrl": "http://x/Observation/o", "resource": observation},
        ],
    }
    answer = clinic.call(
        "$fhirpath",
        text("expression", "entry.resource.subject.resolve().name.family"),
        {"name": "resource", "resource": bundle},
    )
    assert results(answer) == [("Bundle", [text("string", "Lovelace")])]


def test_stored_resources_and_urls(clinic: Clinic) -> None:
    clinic.put(ADA)
    assert results(clinic.fetch("Patient/ada/$fhirpath?expression=name.family")) == [
        ("Patient", [text("string", "Lovelace")])
    ]
    assert results(clinic.fetch("$fhirpath?expression=1%2B1")) == [
        ("%resource", [{"name": "integer", "valueInteger": 2}])
    ]
    assert clinic.refusal("GET", "Patient/nobody/$fhirpath?expression=id").status == 404


@pytest.mark.parametrize(
    ("expression", "status", "message"),
    [
        ("name.where(", 400, "at line 1, column 12: expected an expression"),
        ("name\n..given", 400, "at line 2, column 2: expected an identifier"),
        ("nothing()", 422, "there is no function nothing()"),
        ("name.given + 'x'", 422, "must be a single item"),
        ("%unknown", 422, "%unknown is not defined"),
        ("'a'.memberOf('http://x')", 422, "needs a terminology"),
        ("'" + "a" * 40 + "b'.matches('^(a|aa)+$')", 422, "takes too long"),
        ("'x'" + ".select($this.combine($this))" * 14, 422, "more than 10,000 items"),
    ],
)
def test_refusals_say_what_is_wrong_and_where(clinic: Clinic, expression: str, status: int, message: str) -> None:
    body: Resource = {
        "resourceType": "Parameters",
        "parameter": [text("expression", expression), {"name": "resource", "resource": ADA}],
    }
    refused = clinic.refusal("POST", "$fhirpath", body)
    assert (refused.status, len(refused.issues)) == (status, 1)
    assert message in refused.issues[0].diagnostics


def test_what_is_not_declared_is_refused(clinic: Clinic) -> None:
    assert clinic.refusal("GET", "$fhirpath").status == 400
    assert clinic.refusal("GET", "$fhirpath?expression=1&terminologyserver=x").status == 400


def test_over_http(client: httpx.Client) -> None:
    body = {
        "resourceType": "Parameters",
        "parameter": [text("expression", "name.given.first()"), {"name": "resource", "resource": ADA}],
    }
    answer = client.post("/$fhirpath", json=body)
    assert answer.status_code == 200
    assert results(answer.json()) == [("Patient", [text("string", "Ada")])]
    plain = client.post("/$fhirpath?expression=birthDate", json=ADA)
    assert results(plain.json()) == [("Patient", [{"name": "date", "valueDate": "1815-12-10"}])]
    refused = client.get("/$fhirpath", params={"expression": "name..given"})
    assert refused.status_code == 400
    issue = refused.json()["issue"][0]
    assert issue["diagnostics"].endswith("at line 1, column 6: expected an identifier")
    assert issue["expression"] == ["Parameters.parameter.where(name = 'expression')"]
    definitions = [
        o["definition"] for o in client.get("/metadata").json()["rest"][0]["operation"] if o["name"] == "fhirpath"
    ]
    assert definitions == ["https://praxis.example/fhir/OperationDefinition/fhirpath"]
