"""The expressions of R4's search parameters: results checked by hand, and all of them over all official examples."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from conformance.definitions import SearchParameter, resource_types, search_parameters
from conformance.fhirpath import FHIRPathError, compile_path, parse
from conformance.fhirpath.search import compile_generally
from tests.shared import shared

# QuestionnaireResponse-item-subject calls hasExtension(), which is neither in FHIRPath nor in FHIR's additions
SLOPPY = {"http://hl7.org/fhir/SearchParameter/questionnaireresponse-extensions-QuestionnaireResponse-item-subject"}


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://loinc.org", "code": code}]}


def to(reference: str) -> dict[str, Any]:
    return {"reference": reference}


SYSTOLIC, DIASTOLIC, PANEL = coded("8480-6"), coded("8462-4"), coded("85354-9")
MMHG = {"value": Decimal("120.0"), "unit": "mmHg"}
PHONE = {"system": "phone", "value": "1"}
EMAIL = {"system": "email", "value": "a@b.c"}
ADA = {"family": "Lovelace", "given": ["Ada", "Augusta"]}
BYRON = {"family": "Byron", "given": [None, "A."], "_given": [{"id": "x"}, None]}
PERIOD = {"start": "2020-01-01"}

OBSERVATION = {
    "resourceType": "Observation",
    "id": "o1",
    "meta": {"lastUpdated": "2020-01-01T00:00:00Z", "profile": ["http://x/p"]},
    "code": PANEL,
    "subject": to("Patient/1"),
    "effectiveDateTime": "2020-05",
    "component": [{"code": SYSTOLIC, "valueQuantity": MMHG}, {"code": DIASTOLIC, "valueCodeableConcept": PANEL}],
}
PATIENT = {
    "resourceType": "Patient",
    "name": [ADA, BYRON],
    "telecom": [PHONE, EMAIL, {"value": "no system"}],
    "address": [{"city": "London"}],
    "birthDate": "1815-12-10",
    "deceasedDateTime": "1852-11-27",
    "generalPractitioner": [to("Practitioner/1"), to("Organization/2")],
    "communication": [{"language": coded("en")}],
    "extension": [{"url": "http://x", "valueString": "x"}],
}
APPOINTMENT = {
    "resourceType": "Appointment",
    "contained": [{"resourceType": "Practitioner", "id": "p"}, {"resourceType": "Location", "id": "l"}],
    "participant": [
        {"actor": to("Patient/1")},
        {"actor": to("http://x.org/fhir/Patient/2")},
        {"actor": to("Patient/3/_history/4")},
        {"actor": to("#p")},
        {"actor": to("#l")},
        {"actor": {"type": "Patient", "identifier": {"value": "7"}}},
        {"actor": to("urn:uuid:c757873d-ec9a-4326-a141-556f43239520")},
        {"actor": {"display": "nobody"}},
    ],
}
RELATED = [
    {"type": "depends-on", "resource": "http://x/a"},
    {"type": "predecessor", "resource": "http://x/b"},
    {"type": "depends-on", "display": "no resource"},
]
CONTEXTS = [
    {"valueQuantity": MMHG},
    {"valueCodeableConcept": PANEL},
    {"valueRange": {"low": MMHG}},
    {"valueReference": to("Group/1")},
]
DIN = {"url": "http://hl7.org/fhir/SearchParameter/device-extensions-Device-din", "valueIdentifier": {"value": "1"}}

HAND_VERIFIED: list[tuple[dict[str, Any], str, list[tuple[str, Any]]]] = [
    (OBSERVATION, "_id", [("id", "o1")]),
    (OBSERVATION, "_lastUpdated", [("instant", "2020-01-01T00:00:00Z")]),
    (OBSERVATION, "_profile", [("canonical", "http://x/p")]),
    (OBSERVATION, "code", [("CodeableConcept", PANEL)]),
    (OBSERVATION, "combo-code", [("CodeableConcept", c) for c in (PANEL, SYSTOLIC, DIASTOLIC)]),
    (OBSERVATION | {"code": SYSTOLIC}, "combo-code", [("CodeableConcept", c) for c in (SYSTOLIC, DIASTOLIC)]),
    (OBSERVATION, "component-code", [("CodeableConcept", SYSTOLIC), ("CodeableConcept", DIASTOLIC)]),
    (OBSERVATION, "component-value-quantity", [("Quantity", MMHG)]),
    (OBSERVATION, "combo-value-quantity", [("Quantity", MMHG)]),
    (OBSERVATION, "combo-value-concept", [("CodeableConcept", PANEL)]),
    (OBSERVATION, "value-quantity", []),
    (OBSERVATION | {"valueQuantity": MMHG}, "value-quantity", [("Quantity", MMHG)]),
    (OBSERVATION | {"valueSampledData": {"data": "1 2"}}, "value-quantity", [("SampledData", {"data": "1 2"})]),
    (OBSERVATION | {"valueCodeableConcept": PANEL}, "value-quantity", []),
    (OBSERVATION | {"valueCodeableConcept": PANEL}, "value-concept", [("CodeableConcept", PANEL)]),
    (OBSERVATION | {"valueString": "high"}, "value-string", [("string", "high")]),
    (OBSERVATION | {"valueCodeableConcept": {"text": "high"}}, "value-string", [("string", "high")]),
    (OBSERVATION | {"valueDateTime": "2020"}, "value-date", [("dateTime", "2020")]),
    (OBSERVATION | {"valuePeriod": PERIOD}, "value-date", [("Period", PERIOD)]),
    (OBSERVATION | {"valueTime": "10:00:00"}, "value-date", []),
    (OBSERVATION, "date", [("dateTime", "2020-05")]),
    (OBSERVATION, "subject", [("Reference", to("Patient/1"))]),
    (OBSERVATION, "patient", [("Reference", to("Patient/1"))]),
    (OBSERVATION | {"subject": to("Group/1")}, "patient", []),
    (OBSERVATION | {"subject": to("Patient/1/x/y")}, "patient", []),
    (PATIENT, "name", [("HumanName", ADA), ("HumanName", BYRON)]),
    (PATIENT, "family", [("string", "Lovelace"), ("string", "Byron")]),
    (PATIENT, "given", [("string", "Ada"), ("string", "Augusta"), ("string", "A.")]),
    (PATIENT, "telecom", [("ContactPoint", t) for t in PATIENT["telecom"]]),
    (PATIENT, "phone", [("ContactPoint", PHONE)]),
    (PATIENT, "email", [("ContactPoint", EMAIL)]),
    (PATIENT, "address", [("Address", {"city": "London"})]),
    (PATIENT, "address-city", [("string", "London")]),
    (PATIENT, "birthdate", [("date", "1815-12-10")]),
    (PATIENT, "death-date", [("dateTime", "1852-11-27")]),
    (PATIENT, "deceased", [("boolean", True)]),
    ({"resourceType": "Patient"}, "deceased", [("boolean", False)]),
    ({"resourceType": "Patient", "deceasedBoolean": False}, "deceased", [("boolean", False)]),
    ({"resourceType": "Patient", "deceasedBoolean": True}, "deceased", [("boolean", True)]),
    (PATIENT, "general-practitioner", [("Reference", to("Practitioner/1")), ("Reference", to("Organization/2"))]),
    (PATIENT, "language", [("CodeableConcept", coded("en"))]),
    (PATIENT, "mothersMaidenName", []),
    (APPOINTMENT, "patient", [("Reference", APPOINTMENT["participant"][i]["actor"]) for i in (0, 1, 2, 5)]),
    (APPOINTMENT, "practitioner", [("Reference", to("#p"))]),
    (APPOINTMENT, "location", [("Reference", to("#l"))]),
    (
        {"resourceType": "Encounter", "location": [{"location": to("Location/1")}, {"status": "planned"}]},
        "location",
        [("Reference", to("Location/1"))],
    ),
    (
        {"resourceType": "MedicationRequest", "medicationCodeableConcept": PANEL},
        "code",
        [("CodeableConcept", PANEL)],
    ),
    ({"resourceType": "MedicationRequest", "medicationReference": to("Medication/1")}, "code", []),
    (
        {"resourceType": "MedicationRequest", "medicationReference": to("Medication/1")},
        "medication",
        [("Reference", to("Medication/1"))],
    ),
    ({"resourceType": "Condition", "onsetAge": MMHG}, "onset-age", [("Age", MMHG)]),
    ({"resourceType": "Condition", "onsetPeriod": PERIOD}, "onset-date", [("Period", PERIOD)]),
    ({"resourceType": "Condition", "onsetString": "young"}, "onset-date", []),
    ({"resourceType": "Condition", "abatementString": "old"}, "abatement-string", [("string", "old")]),
    ({"resourceType": "Condition", "subject": to("Patient/1")}, "patient", [("Reference", to("Patient/1"))]),
    ({"resourceType": "AllergyIntolerance", "patient": to("x")}, "patient", [("Reference", to("x"))]),
    (
        {"resourceType": "Goal", "target": [{"dueDate": "2020"}, {"dueDuration": MMHG}]},
        "target-date",
        [("date", "2020")],
    ),
    ({"resourceType": "Procedure", "performedPeriod": PERIOD}, "date", [("Period", PERIOD)]),
    (
        {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Composition"}}, {"resource": PATIENT}]},
        "composition",
        [("Composition", {"resourceType": "Composition"})],
    ),
    ({"resourceType": "Bundle", "entry": []}, "composition", []),
    (
        {"resourceType": "Library", "relatedArtifact": RELATED},
        "depends-on",
        [("canonical", "http://x/a")],
    ),
    (
        {"resourceType": "ValueSet", "useContext": CONTEXTS},
        "context-quantity",
        [("Quantity", MMHG), ("Range", {"low": MMHG})],
    ),
    ({"resourceType": "ValueSet", "useContext": CONTEXTS}, "context", [("CodeableConcept", PANEL)]),
    ({"resourceType": "ConceptMap", "sourceUri": "http://x"}, "source-uri", [("uri", "http://x")]),
    # canonical derives from uri, and ``as`` accepts derived types
    ({"resourceType": "ConceptMap", "sourceCanonical": "http://x"}, "source-uri", [("canonical", "http://x")]),
    ({"resourceType": "Task", "for": to("Patient/1")}, "patient", [("Reference", to("Patient/1"))]),
    (
        {"resourceType": "Group", "characteristic": [{"valueBoolean": True}, {"valueCodeableConcept": PANEL}]},
        "value",
        [("CodeableConcept", PANEL), ("boolean", True)],
    ),
    (
        {"resourceType": "Substance", "code": PANEL, "ingredient": [{"substanceReference": to("Substance/1")}]},
        "code",
        [("CodeableConcept", PANEL)],
    ),
    ({"resourceType": "Device", "extension": [DIN, {"url": "http://other"}]}, "din", [("Extension", DIN)]),
]


@cache
def parameters(resource_type: str) -> tuple[SearchParameter, ...]:
    bases = {resource_type, "DomainResource", "Resource"}
    return tuple(p for p in search_parameters() if p.expression and p.url not in SLOPPY and bases & {*p.base})


@pytest.mark.parametrize(("resource", "code", "expected"), HAND_VERIFIED)
def test_well_known_parameters(resource: dict[str, Any], code: str, expected: list[tuple[str, Any]]) -> None:
    resource_type = resource["resourceType"]
    parameter = next(p for p in parameters(resource_type) if p.code == code)
    assert parameter.expression is not None
    assert compile_path(parameter.expression, resource_type)(resource) == expected


def test_every_official_expression_compiles_for_each_of_its_types() -> None:
    compiled = 0
    for parameter in search_parameters():
        if parameter.expression is None or parameter.url in SLOPPY:
            continue
        for base in parameter.base:
            for resource_type in resource_types() if base in {"Resource", "DomainResource"} else (base,):
                assert callable(compile_path(parameter.expression, resource_type))
                compiled += 1
    assert compiled == 2581


def test_the_one_sloppy_expression_says_what_is_wrong() -> None:
    (parameter,) = [p for p in search_parameters() if p.url in SLOPPY]
    with pytest.raises(FHIRPathError, match="there is no function hasExtension"):
        compile_path(parameter.expression or "", "QuestionnaireResponse")


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    archive = shared("examples", "hl7.fhir.r4.examples-4.0.1-instances.tar.gz")
    with tarfile.open(archive) as members:
        for member in members:
            stream = members.extractfile(member) if member.name.endswith(".json") else None
            if stream is not None:
                resource = json.loads(stream.read(), parse_float=Decimal)
                if resource.get("resourceType") in resource_types():
                    yield member.name, resource


def test_direct_lookups_find_in_all_examples_what_the_general_engine_finds() -> None:
    count = found = 0
    for name, resource in examples():
        count += 1
        resource_type = resource["resourceType"]
        for parameter in parameters(resource_type):
            expression = parameter.expression or ""
            direct = compile_path(expression, resource_type)(resource)
            general = compile_generally(parse(expression), resource_type)(resource)
            assert [value for _, value in direct] == [value for _, value in general], (name, parameter.code)
            found += len(direct)
            for type_name, value in direct:
                for _, component in parameter.component:
                    assert isinstance(compile_path(component, type_name)(value), list), (name, component)
    assert count >= 714
    assert found > 9000


@pytest.mark.parametrize(
    ("expression", "type_name", "value", "expected"),
    [
        ("code", "Observation.component", {"code": PANEL}, [("CodeableConcept", PANEL)]),
        ("value.as(Quantity)", "Observation.component", {"valueQuantity": MMHG}, [("Quantity", MMHG)]),
        ("value.ofType(string)", "Extension", {"valueCode": "x"}, [("code", "x")]),
        ("value", "Extension", {"valueBoolean": False}, [("boolean", False)]),
        ("value", "Extension", {"_valueBoolean": {"id": "x"}}, []),
        ("name.where(family.startsWith('L')).given.first()", "Patient", PATIENT, [("string", "Ada")]),
        ("birthDate + 1 year", "Patient", PATIENT, [("date", "1816-12-10")]),
        ("name.count()", "Patient", PATIENT, [("integer", 2)]),
        ("participant.actor.where(resolve() is Patient and type.exists())", "Appointment", APPOINTMENT, []),
        ("Observation.code | Condition.code", "Patient", PATIENT, []),
        ("contained", "Appointment", APPOINTMENT, [(c["resourceType"], c) for c in APPOINTMENT["contained"]]),
        ("name.family", "Patient", {"name": "not an object"}, []),
        ("DomainResource.language", "Patient", {"language": "en"}, [("code", "en")]),
    ],
)
def test_paths_on_any_type(expression: str, type_name: str, value: Any, expected: list[tuple[str, Any]]) -> None:
    assert compile_path(expression, type_name)(value) == expected


@pytest.mark.parametrize(
    ("expression", "type_name", "message"),
    [
        ("Patient.nme", "Patient", "Patient has no element 'nme'"),
        ("Patient.name.givn", "Patient", "HumanName has no element 'givn'"),
        ("Observation.value as Quantty", "Observation", "there is no type 'Quantty'"),
        ("Patient.name.frist()", "Patient", "there is no function frist"),
        ("Patient.name.first(1)", "Patient", "takes 0 arguments"),
        ("name", "Pateint", "there is no type 'Pateint'"),
    ],
)
def test_a_path_that_cannot_be_right_is_refused_when_compiled(expression: str, type_name: str, message: str) -> None:
    with pytest.raises(FHIRPathError, match=message):
        compile_path(expression, type_name)


@pytest.mark.parametrize("count", [3, 300])
def test_a_union_drops_duplicates_few_or_many(count: int) -> None:
    components = [{"code": coded(str(i % (count // 3)))} for i in range(count)]
    found = compile_path("Observation.code | Observation.component.code", "Observation")(
        {"code": coded("0"), "component": components}
    )
    assert found == [("CodeableConcept", coded(str(i))) for i in range(count // 3)]


def test_a_compiled_path_is_cached() -> None:
    assert compile_path("Patient.name", "Patient") is compile_path("Patient.name", "Patient")
