"""Every rule refuses what breaks it, with the expected code and FHIRPath, and nothing besides."""

import json
from typing import Any

import pytest

from conformance.decode import check, decode
from conformance.issues import InvalidResource
from conformance.primitives import MAX_STRING

EXTENSION = {"url": "http://example.org/e", "valueCode": "c"}
TEXT = {"text": "t"}
PATIENT: dict[str, Any] = {"resourceType": "Patient"}
OBSERVATION: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": TEXT}
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION: dict[str, Any] = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}}


def patient(**elements: Any) -> dict[str, Any]:
    return {**PATIENT, **elements}


def observation(**elements: Any) -> dict[str, Any]:
    return {**OBSERVATION, **elements}


def quantity(value: Any) -> dict[str, Any]:
    return observation(valueQuantity={"value": value})


def condition(*codings: dict[str, Any]) -> dict[str, Any]:
    return {**CONDITION, "clinicalStatus": {"coding": list(codings)}}


def bundle(*resources: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": r} for r in resources]}


def without(resource: dict[str, Any], name: str) -> dict[str, Any]:
    return {k: v for k, v in resource.items() if k != name}


VALID: list[Any] = [
    PATIENT,
    patient(birthDate="1970-03-30", _birthDate={"extension": [EXTENSION]}),
    patient(birthDate="1970-03-30", _birthDate={"id": "b"}),
    patient(_birthDate={"extension": [EXTENSION]}),
    patient(name=[{"given": ["a", None], "_given": [None, {"extension": [EXTENSION]}]}]),
    patient(name=[{"_given": [{"extension": [EXTENSION]}]}]),
    patient(name=[{"given": ["a"], "_given": [{"id": "x"}]}]),
    patient(deceasedBoolean=False),
    patient(deceasedDateTime="2000", _deceasedDateTime={"extension": [EXTENSION]}),
    patient(_deceasedDateTime={"extension": [EXTENSION]}),
    patient(contact=[{"gender": "female"}]),
    patient(photo=[{"contentType": "image/png", "data": "YWJj ZGU="}]),
    patient(extension=[{"url": "u", "extension": [EXTENSION]}]),
    patient(extension=[{"id": "i", "url": "u", "_valueCode": {"extension": [EXTENSION]}}]),
    patient(name=[{"text": "a\u00a0b\tc\nd\re \u0661 \U0001f600"}]),
    patient(name=[{"text": "backslash \\b \\f \\u0000 and brackets {} [[[[ }}}}"}]),
    patient(multipleBirthInteger=2**31 - 1),
    patient(birthDate="2000-02-29"),
    without(OBSERVATION, "status") | {"_status": {"extension": [EXTENSION]}},
    quantity(1), quantity(-0.5), quantity(1e300),
    observation(effectiveInstant="2015-02-07T13:28:17.239+02:00"),
    observation(effectiveDateTime="2016-12-31T23:59:60Z"),
    observation(valueTime="23:59:59.123"),
    condition({"system": "http://example.org", "code": "mine"}, {"system": CLINICAL, "code": "active"}),
    {**CONDITION, "clinicalStatus": TEXT},
    bundle(PATIENT, observation(contained=[PATIENT])),
    patient(contained=[{"resourceType": "Observation", "status": "final", "code": TEXT}]),
    {"resourceType": "Parameters", "parameter": [{"name": "r", "resource": PATIENT}]},
    {"resourceType": "Parameters", "parameter": [{"name": "p", "part": [{"name": "q", "valueCode": "c"}]}]},
    {"resourceType": "Binary", "contentType": "text/plain", "data": "A" * (MAX_STRING + 4)},
]  # fmt: skip

INVALID: list[tuple[Any, list[tuple[str, str | None]]]] = [
    # What is not a resource
    ([], [("structure", None)]),
    ({}, [("structure", None)]),
    ({"resourceType": "Nope"}, [("structure", None)]),
    ({"resourceType": "HumanName"}, [("structure", None)]),
    ({"resourceType": "DomainResource"}, [("structure", None)]),
    ({"resourceType": 1}, [("structure", None)]),
    # Unknown elements
    (patient(foo=1), [("structure", "Patient.foo")]),
    (patient(**{"foo bar`": 1}), [("structure", "Patient.`foo bar\\``")]),
    (patient(_id={"id": "a"}), [("structure", "Patient._id")]),
    (patient(name=[{"resourceType": "HumanName", "family": "f"}]), [("structure", "Patient.name[0].resourceType")]),
    (patient(contact=[{"birthDate": "2000"}]), [("structure", "Patient.contact[0].birthDate")]),
    (patient(fhir_comments=["c"]), [("structure", "Patient.fhir_comments")]),
    # Cardinality
    (patient(name={"family": "f"}), [("structure", "Patient.name")]),
    (patient(name=[]), [("structure", "Patient.name")]),
    (patient(name=[None]), [("structure", "Patient.name[0]")]),
    (patient(gender=["male"]), [("structure", "Patient.gender")]),
    (patient(maritalStatus=[TEXT]), [("structure", "Patient.maritalStatus")]),
    (patient(maritalStatus=None), [("structure", "Patient.maritalStatus")]),
    (without(OBSERVATION, "status"), [("required", "Observation.status")]),
    (without(OBSERVATION, "code"), [("required", "Observation.code")]),
    (patient(link=[{"type": "refer"}]), [("required", "Patient.link[0].other")]),
    ({"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": TEXT}, [
        ("required", "MedicationRequest.medication"), ("structure", "MedicationRequest.subject.text")]),
    (patient(extension=[{"valueCode": "c"}]), [("required", "Patient.extension[0].url")]),
    ({"resourceType": "ImplementationGuide", "url": "u", "name": "n", "status": "draft", "packageId": "p"},
        [("required", "ImplementationGuide.fhirVersion")]),
    # Choices
    (patient(deceasedBoolean=True, deceasedDateTime="2000"), [("structure", "Patient.deceased")]),
    (patient(deceasedBoolean=True, _deceasedDateTime={"extension": [EXTENSION]}), [("structure", "Patient.deceased")]),
    (patient(deceasedString="yes"), [("structure", "Patient.deceasedString")]),
    (observation(valueString="a", valueInteger=1, valueBoolean=True), [("structure", "Observation.value")]),
    (observation(valueQuantity={"value": "1"}), [("value", "Observation.value.value")]),
    # Empty things
    (patient(name=[{}]), [("structure", "Patient.name[0]")]),
    (patient(name=[{"id": "n"}]), [("structure", "Patient.name[0]")]),
    (patient(name=[{"family": ""}]), [("value", "Patient.name[0].family")]),
    (patient(maritalStatus={}), [("structure", "Patient.maritalStatus")]),
    (patient(_birthDate={}), [("structure", "Patient.birthDate")]),
    (patient(_birthDate={"id": "b"}), [("structure", "Patient.birthDate")]),
    (patient(_birthDate=None), [("structure", "Patient.birthDate")]),
    # Primitive arrays and their siblings
    (patient(name=[{"given": ["a", None]}]), [("structure", "Patient.name[0].given[1]")]),
    (patient(name=[{"given": [None], "_given": [None]}]), [("structure", "Patient.name[0].given[0]")]),
    (patient(name=[{"_given": [None, {"extension": [EXTENSION]}]}]), [("structure", "Patient.name[0].given[0]")]),
    (patient(name=[{"given": ["a", "b"], "_given": [{"id": "x"}]}]), [("structure", "Patient.name[0].given")]),
    (patient(name=[{"given": ["a"], "_given": []}]), [("structure", "Patient.name[0].given")]),
    (patient(name=[{"given": "a"}]), [("structure", "Patient.name[0].given")]),
    (patient(name=[{"given": ["a", 1]}]), [("value", "Patient.name[0].given[1]")]),
    (patient(name=[{"given": ["a"], "_given": {"id": "x"}}]), [("structure", "Patient.name[0].given")]),
    (patient(_birthDate={"extension": [{"url": "u"}]}), [("invariant", "Patient.birthDate.extension[0]")]),
    (patient(birthDate="2000", _birthDate={"value": "x"}), [("structure", "Patient.birthDate.value")]),
    # Extensions
    (patient(extension=[{"url": "u"}]), [("invariant", "Patient.extension[0]")]),
    (patient(extension=[{"id": "i", "url": "u"}]), [("invariant", "Patient.extension[0]")]),
    (patient(extension=[{**EXTENSION, "extension": [EXTENSION]}]), [("invariant", "Patient.extension[0]")]),
    (patient(extension=[{**EXTENSION, "valueString": "s"}]), [("structure", "Patient.extension[0].value")]),
    # Primitive formats
    (patient(id="a b"), [("value", "Patient.id")]),
    (patient(id="a" * 65), [("value", "Patient.id")]),
    (patient(id="a\n"), [("value", "Patient.id")]),
    (patient(active="true"), [("value", "Patient.active")]),
    (patient(active=1), [("value", "Patient.active")]),
    (patient(birthDate="2023-02-30"), [("value", "Patient.birthDate")]),
    (patient(birthDate="2023-02-29"), [("value", "Patient.birthDate")]),
    (patient(birthDate="1900-02-29"), [("value", "Patient.birthDate")]),
    (patient(birthDate="2023-04-31"), [("value", "Patient.birthDate")]),
    (patient(birthDate="2023-13"), [("value", "Patient.birthDate")]),
    (patient(birthDate="0000"), [("value", "Patient.birthDate")]),
    (patient(birthDate="2023-01-01T00:00:00Z"), [("value", "Patient.birthDate")]),
    (patient(deceasedDateTime="2023-01-01T10:00:00"), [("value", "Patient.deceased")]),
    (patient(deceasedDateTime="2023-01-01T10:00Z"), [("value", "Patient.deceased")]),
    (patient(deceasedDateTime="2023-01-01T24:00:00Z"), [("value", "Patient.deceased")]),
    (patient(deceasedDateTime="2023-01-01T10:00:00+14:30"), [("value", "Patient.deceased")]),
    (observation(issued="2023-01-01"), [("value", "Observation.issued")]),
    (observation(valueTime="25:00:00"), [("value", "Observation.value")]),
    (patient(multipleBirthInteger=2**31), [("value", "Patient.multipleBirth")]),
    (patient(multipleBirthInteger=-(2**31) - 1), [("value", "Patient.multipleBirth")]),
    (patient(multipleBirthInteger=1.5), [("value", "Patient.multipleBirth")]),
    (patient(multipleBirthInteger=1.0), [("value", "Patient.multipleBirth")]),
    (patient(multipleBirthInteger=True), [("value", "Patient.multipleBirth")]),
    (patient(telecom=[{"rank": 0}]), [("value", "Patient.telecom[0].rank")]),
    (patient(photo=[{"size": -1}]), [("value", "Patient.photo[0].size")]),
    (patient(photo=[{"data": "YWJ"}]), [("value", "Patient.photo[0].data")]),
    (patient(photo=[{"data": "Y===" }]), [("value", "Patient.photo[0].data")]),
    (patient(photo=[{"url": "a b"}]), [("value", "Patient.photo[0].url")]),
    (patient(photo=[{"contentType": " image/png"}]), [("value", "Patient.photo[0].contentType")]),
    (patient(extension=[{"url": "u", "valueOid": "urn:oid:3.1"}]), [("value", "Patient.extension[0].value")]),
    (patient(extension=[{"url": "u", "valueUuid": "urn:uuid:1"}]), [("value", "Patient.extension[0].value")]),
    (patient(name=[{"family": "a\u0000b"}]), [("value", "Patient.name[0].family")]),
    (patient(name=[{"family": "a\u000cb"}]), [("value", "Patient.name[0].family")]),
    (patient(name=[{"family": "a" * (MAX_STRING + 1)}]), [("too-long", "Patient.name[0].family")]),
    (patient(name=[{"family": 1}]), [("value", "Patient.name[0].family")]),
    (patient(name=[{"family": {"a": 1}}]), [("value", "Patient.name[0].family")]),
    (quantity("1.0"), [("value", "Observation.value.value")]),
    (quantity(True), [("value", "Observation.value.value")]),
    # Required bindings
    (patient(gender="nope"), [("code-invalid", "Patient.gender")]),
    (patient(gender="Male"), [("code-invalid", "Patient.gender")]),
    (patient(contact=[{"gender": "x"}]), [("code-invalid", "Patient.contact[0].gender")]),
    (patient(name=[{"use": "x"}, {"use": "y"}]), [
        ("code-invalid", "Patient.name[0].use"), ("code-invalid", "Patient.name[1].use")]),
    (condition({"system": CLINICAL, "code": "nope"}), [("code-invalid", "Condition.clinicalStatus")]),
    (condition({"code": "active"}), [("code-invalid", "Condition.clinicalStatus")]),
    (condition({"display": "Active"}), [("code-invalid", "Condition.clinicalStatus")]),
    # Resources in resources
    (bundle(patient(foo=1), patient(gender="x")), [
        ("structure", "Bundle.entry[0].resource.foo"), ("code-invalid", "Bundle.entry[1].resource.gender")]),
    (bundle({"id": "a"}), [("structure", "Bundle.entry[0].resource")]),
    (bundle({"resourceType": "Nope"}), [("structure", "Bundle.entry[0].resource")]),
    (bundle("x"), [("structure", "Bundle.entry[0].resource")]),
    (patient(contained=[patient(contained=[PATIENT])]), [("invariant", "Patient.contained[0].contained")]),
    (patient(contained=[{"resourceType": "Observation"}]), [
        ("required", "Patient.contained[0].status"), ("required", "Patient.contained[0].code")]),
    ({"resourceType": "Parameters", "parameter": [{"name": "r", "resource": {}}]},
        [("structure", "Parameters.parameter[0].resource")]),
    # Several at once
    (patient(active="x", gender="y", name=[{"given": ["a", ""]}], contact=[{"name": {"given": ["a", 5]}}], foo=1), [
        ("structure", "Patient.foo"), ("value", "Patient.active"), ("value", "Patient.name[0].given[1]"),
        ("code-invalid", "Patient.gender"), ("value", "Patient.contact[0].name.given[1]")]),
]  # fmt: skip


def summarize(error: InvalidResource) -> list[tuple[str, str | None]]:
    assert all(i.severity == "error" and i.diagnostics for i in error.issues)
    return [(i.code, i.expression) for i in error.issues]


@pytest.mark.parametrize("resource", VALID, ids=lambda r: json.dumps(r)[:60])
def test_conforming_resources_are_accepted(resource: dict[str, Any]) -> None:
    assert json.loads(json.dumps(decode(json.dumps(resource).encode()), default=float)) == resource
    check(resource)


@pytest.mark.parametrize(("resource", "issues"), INVALID, ids=lambda r: json.dumps(r)[:60])
def test_each_rule_refuses_with_code_and_expression(resource: Any, issues: list[tuple[str, str | None]]) -> None:
    with pytest.raises(InvalidResource) as refused:
        decode(json.dumps(resource).encode())
    assert summarize(refused.value) == issues
    with pytest.raises(InvalidResource) as refused:
        check(resource)
    assert summarize(refused.value) == issues
