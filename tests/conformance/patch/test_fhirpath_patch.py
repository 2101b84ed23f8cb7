"""FHIRPath Patch beyond the official cases, https://hl7.org/fhir/R4/fhirpatch.html."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from conformance.decode import check, encode
from conformance.patch import InapplicablePatch, MalformedPatch, apply_patch
from conformance.xml import to_xml

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "contained": [{"resourceType": "Organization", "id": "o", "name": "A"}],
    "identifier": [{"system": "s", "value": "1"}, {"system": "t", "value": "2"}],
    "name": [
        {
            "family": "Okafor",
            "given": ["Ada", None, "B"],
            "_given": [None, {"extension": [{"url": "u", "valueCode": "c"}]}, None],
        }
    ],
    "deceasedBoolean": False,
    "birthDate": "1990",
    "_birthDate": {"extension": [{"url": "u", "valueString": "v"}]},
    "contact": [{"name": {"text": "x"}, "gender": "male"}],
}


def operation(type_: str, path: str, **parts: Any) -> dict[str, Any]:
    """Return one operation; ``value`` is a part without its name."""
    given: list[dict[str, Any]] = [{"name": "type", "valueCode": type_}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        if name == "value":
            given.append({"name": "value", **value})
        else:
            given.append({"name": name, "valueString" if name == "name" else "valueInteger": value})
    return {"name": "operation", "part": given}


def patched(*operations: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy(PATIENT)
    parameters = {"resourceType": "Parameters", "parameter": list(operations)}
    try:
        after = apply_patch(PATIENT, encode(parameters), "application/fhir+json")
    finally:
        assert before == PATIENT
    assert apply_patch(PATIENT, to_xml(parameters), "application/fhir+xml") == after
    return after


def test_each_kind_of_element_can_be_added() -> None:
    after = patched(
        operation("add", "Patient", name="identifier", value={"valueIdentifier": {"value": "3"}}),
        operation("add", "Patient.name[0]", name="given", value={"valueString": "C", "_valueString": {"id": "g"}}),
        operation("add", "Patient", name="multipleBirth", value={"valueInteger": 2}),
        operation(
            "add", "Patient", name="contained", value={"resource": {"resourceType": "Basic", "code": {"text": "c"}}}
        ),
        operation(
            "add",
            "Patient.birthDate",
            name="extension",
            value={"part": [{"name": "url", "valueUri": "w"}, {"name": "value", "valueCode": "d"}]},
        ),
        operation(
            "add",
            "Patient",
            name="contact",
            value={
                "part": [
                    {"name": "name", "valueHumanName": {"text": "y"}},
                    {"name": "telecom", "valueContactPoint": {"value": "1"}},
                    {"name": "telecom", "valueContactPoint": {"value": "2"}},
                ]
            },
        ),
    )
    assert [i["value"] for i in after["identifier"]] == ["1", "2", "3"]
    assert after["name"][0]["given"] == ["Ada", None, "B", "C"]
    assert after["name"][0]["_given"][2:] == [None, {"id": "g"}]
    assert after["multipleBirthInteger"] == 2
    assert after["contained"][1] == {"resourceType": "Basic", "code": {"text": "c"}}
    assert after["_birthDate"]["extension"][1] == {"url": "w", "valueCode": "d"}
    assert after["contact"][1] == {"name": {"text": "y"}, "telecom": [{"value": "1"}, {"value": "2"}]}
    check(after)


def test_an_extension_can_be_added_to_a_primitive_that_has_none() -> None:
    extension = {"part": [{"name": "url", "valueUri": "w"}, {"name": "value", "valueCode": "d"}]}
    after = patched(
        operation("add", "Patient.deceased", name="extension", value=extension),
        operation("add", "Patient.name.given[0]", name="extension", value=extension),
    )
    told = {"extension": [{"url": "w", "valueCode": "d"}]}
    assert after["_deceasedBoolean"] == told
    assert after["name"][0]["_given"][0] == told
    check(after)


def test_replacing_changes_type_and_extensions_along() -> None:
    after = patched(
        operation("replace", "Patient.deceased", value={"valueDateTime": "2020"}),
        operation("replace", "Patient.birthDate", value={"valueDate": "1991"}),
        operation("replace", "Patient.name.given[1]", value={"valueString": "x"}),
        operation("replace", "Patient.contact[0]", value={"part": [{"name": "gender", "valueCode": "female"}]}),
        operation("replace", "Patient.contained.where(id = 'o').name", value={"valueString": "Z"}),
        operation(
            "replace", "Patient.name[0].family", value={"_valueString": {"extension": [{"url": "u", "valueCode": "c"}]}}
        ),
    )
    assert "deceasedBoolean" not in after
    assert after["deceasedDateTime"] == "2020"
    assert "_birthDate" not in after
    assert after["name"][0]["given"] == ["Ada", "x", "B"]
    assert "_given" not in after["name"][0]
    assert "family" not in after["name"][0]
    assert after["name"][0]["_family"]["extension"][0]["valueCode"] == "c"
    assert after["contact"] == [{"gender": "female"}]
    assert after["contained"][0]["name"] == "Z"
    check(after)


def test_deleting_takes_along_what_is_empty_then() -> None:
    after = patched(
        operation("delete", "Patient.identifier.where(system = 's')"),
        operation("delete", "Patient.name.given[1]"),
        operation("delete", "Patient.birthDate.extension('u')"),
        operation("delete", "Patient.contact.name.text"),
        operation("delete", "Patient.contact[0].gender"),
        operation("delete", "Patient.photo"),
    )
    assert after["identifier"] == [{"system": "t", "value": "2"}]
    assert after["name"][0]["given"] == ["Ada", "B"]
    assert "_given" not in after["name"][0]
    assert after["birthDate"] == "1990"
    assert "_birthDate" not in after
    assert "contact" not in after
    check(after)


def test_lists_of_primitives_keep_values_and_extensions_together() -> None:
    after = patched(
        operation("insert", "Patient.name.given", index=0, value={"valueString": "First"}),
        operation("move", "Patient.name.given", source=2, destination=0),
        operation("insert", "Patient.name.given", index=4, value={"valueString": "Last"}),
    )
    name = after["name"][0]
    assert name["given"] == [None, "First", "Ada", "B", "Last"]
    assert [bool(extra) for extra in name["_given"]] == [True, False, False, False, False]
    check(after)


@pytest.mark.parametrize(
    "path",
    [
        "identifier[0].value", "Patient.identifier.first().value", "%resource.identifier.where(system='s').value",
        "$this.identifier.where($index = 0).value", "Patient.identifier.where(value = '1').value.where($this = '1')",
        "Patient.identifier[Patient.name.count() - 1].value", "(Patient.identifier[0]).value", "Patient.identifier.take(1).value",
        "Patient.identifier.where(system = 's').value.ofType(string)", "DomainResource.identifier[0].value",
        "Patient.identifier.exclude(Patient.identifier[1]).value",
    ],
)  # fmt: skip
def test_paths_may_filter(path: str) -> None:
    assert patched(operation("replace", path, value={"valueString": "9"}))["identifier"][0]["value"] == "9"


@pytest.mark.parametrize(
    "wrong",
    [
        operation("add", "Patient.identifier", name="use", value={"valueCode": "usual"}),
        operation("add", "Patient.photo", name="title", value={"valueString": "x"}),
        operation("add", "Patient", name="birthDate", value={"valueDate": "2000"}),
        operation("add", "Patient", name="deceased", value={"valueDateTime": "2000"}),
        operation("add", "Patient", name="nope", value={"valueString": "x"}),
        operation("add", "Patient", name="gender", value={"valueHumanName": {"text": "x"}}),
        operation("add", "Patient", name="photo", value={"valueHumanName": {"text": "x"}}),
        operation("add", "Patient", name="multipleBirth", value={"valueString": "x"}),
        operation("add", "Patient", name="contact", value={"valueString": "x"}),
        operation("add", "Patient", name="contact", value={"part": [{"name": "nope", "valueString": "x"}]}),
        operation("add", "Patient", name="contact", value={"part": [{"name": "gender", "valueCode": "male"}] * 2}),
        operation("replace", "Patient.photo", value={"valueString": "x"}),
        operation("replace", "Patient.identifier.value", value={"valueString": "x"}),
        operation("replace", "Patient", value={"resource": {"resourceType": "Patient", "active": True}}),
        operation("replace", "Patient.name.count()", value={"valueString": "x"}),
        operation("replace", "Patient.name.family + 'x'", value={"valueString": "x"}),
        operation("replace", "Patient.nope()", value={"valueString": "x"}),
        operation("delete", "Patient"),
        operation("delete", "Patient.identifier"),
        operation("delete", "Patient.name.family.length()"),
        operation("insert", "Patient.photo", index=0, value={"valueAttachment": {"title": "x"}}),
        operation("insert", "Patient.identifier", index=3, value={"valueIdentifier": {"value": "x"}}),
        operation("insert", "Patient.identifier", index=-1, value={"valueIdentifier": {"value": "x"}}),
        operation("insert", "Patient.identifier.where(system = 's')", index=0, value={"valueIdentifier": {"value": "x"}}),
        operation("insert", "Patient.birthDate", index=0, value={"valueDate": "2000"}),
        operation("move", "Patient.identifier", source=0, destination=2),
        operation("move", "Patient.identifier", source=2, destination=0),
        operation("move", "Patient.identifier.value", source=0, destination=1),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_resource(wrong: dict[str, Any]) -> None:
    with pytest.raises(InapplicablePatch) as refused:
        patched(wrong)
    assert refused.value.issues[0].diagnostics.startswith("Operation 0 (")


@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        ([{"name": "nope", "valueString": "x"}], "Parameters.parameter[0]"),
        ([{"name": "operation"}], "Parameters.parameter[0]"),
        ([operation("nope", "Patient")], "Parameters.parameter[0]"),
        ([operation("delete", "Patient.photo"), operation("add", "Patient", name="x")], "Parameters.parameter[1]"),
        ([operation("add", "Patient", value={"valueString": "x"})], "Parameters.parameter[0]"),
        ([operation("delete", "Patient.photo", index=1)], "Parameters.parameter[0]"),
        ([operation("insert", "Patient.photo", value={"valueString": "x"})], "Parameters.parameter[0]"),
        ([operation("move", "Patient.photo", source=1)], "Parameters.parameter[0]"),
        ([{"name": "operation", "part": [{"name": "type", "valueCode": "delete"}] * 2}], "Parameters.parameter[0].part[1]"),
        ([operation("delete", "Patient..x")], "Parameters.parameter[0]"),
        ([operation("delete", "Patient.photo")] * 1001, None),
    ],
)  # fmt: skip
def test_what_is_no_patch(parameters: list[dict[str, Any]], place: str | None) -> None:
    with pytest.raises(MalformedPatch) as refused:
        patched(*parameters)
    assert [issue.expression for issue in refused.value.issues] == [place]


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"[]", "application/fhir+json"),
        (b'{"resourceType":"Patient"}', "application/fhir+json"),
        (b'{"resourceType":"Parameters","parameter":[{}]}', "application/fhir+json"),
        (b'<Patient xmlns="http://hl7.org/fhir"/>', "application/fhir+xml"),
        (b'<Parameters xmlns="http://hl7.org/fhir"><parameter/></Parameters>', "application/fhir+xml"),
        (b"<!DOCTYPE x><x/>", "application/fhir+xml"),
    ],
)
def test_what_is_no_parameters(body: bytes, media_type: str) -> None:
    with pytest.raises(MalformedPatch):
        apply_patch(PATIENT, body, media_type)
