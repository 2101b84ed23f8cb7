"""Extensions: known, in a place they may be, of the right content, modifiers where modifiers belong."""

from typing import Any

import pytest

from tests.conformance.validation.definitions import BASE, TEST, errors, profile, validator

Json = dict[str, Any]
ABSENT = {"url": f"{BASE}data-absent-reason", "valueCode": "unknown"}


def defined(*contexts: tuple[str, str], modifier: bool = False, **more: Any) -> Json:
    """Return an extension whose value is a boolean."""
    root: Json = {"id": "Extension", "path": "Extension"}
    if modifier:
        root |= {"isModifier": True, "isModifierReason": "test"}
    return profile(
        "Extension",
        root,
        {"id": "Extension.extension", "path": "Extension.extension", "max": "0"},
        {"id": "Extension.url", "path": "Extension.url", "fixedUri": TEST + "ext"},
        {"id": "Extension.value[x]", "path": "Extension.value[x]", "min": 1, "type": [{"code": "boolean"}]},
        name="ext",
        context=[{"type": kind, "expression": where} for kind, where in contexts],
        **more,
    )


def extension(**said: Any) -> Json:
    return {"url": TEST + "ext", **(said or {"valueBoolean": True})}


def patient(**said: Any) -> Json:
    return {"resourceType": "Patient", **said}


def test_content_is_that_of_the_definition() -> None:
    found = validator(defined(("element", "Element")))
    assert errors(found, patient(extension=[extension()])) == []
    assert errors(found, patient(extension=[extension(valueString="x")])) == [("Patient.extension[0].value", "type")]


@pytest.mark.parametrize(
    ("kind", "where", "allowed"),
    [
        ("element", "Patient", True),
        ("element", "DomainResource", True),
        ("element", "Resource", True),
        ("element", "Element", True),
        ("element", "Observation", False),
        ("element", "Patient.name", False),
        ("fhirpath", "Patient.where(active)", True),
        ("fhirpath", "Patient.name", False),
        ("extension", "http://test.example/other", False),
    ],
)
def test_contexts_of_a_resource(kind: str, where: str, allowed: bool) -> None:
    found = errors(validator(defined((kind, where))), patient(active=True, extension=[extension()]))
    assert found == ([] if allowed else [("Patient.extension[0]", "extension-context")])


@pytest.mark.parametrize(
    ("where", "allowed"),
    [
        ("Patient.contact.name", True),
        ("HumanName", True),
        ("Element", True),
        ("Patient.name", False),
        ("Address", False),
    ],
)
def test_contexts_of_an_element(where: str, allowed: bool) -> None:
    resource = patient(contact=[{"name": {"text": "x", "extension": [extension()]}}])
    found = errors(validator(defined(("element", where))), resource)
    assert found == ([] if allowed else [("Patient.contact[0].name.extension[0]", "extension-context")])


def test_contexts_of_a_primitive() -> None:
    resource = patient(birthDate="1970", _birthDate={"extension": [extension()]})
    assert errors(validator(defined(("element", "Patient.birthDate"))), resource) == []
    assert errors(validator(defined(("element", "date"))), resource) == []
    wrong = errors(validator(defined(("element", "Patient.gender"))), resource)
    assert wrong == [("Patient.birthDate.extension[0]", "extension-context")]


def test_context_invariants() -> None:
    found = validator(defined(("element", "Patient"), contextInvariant=["Patient.active.not()"]))
    assert errors(found, patient(active=False, extension=[extension()])) == []
    assert errors(found, patient(active=True, extension=[extension()])) == [
        ("Patient.extension[0]", "contextInvariant")
    ]


def test_modifiers_are_where_modifiers_belong() -> None:
    modifier = validator(defined(("element", "Patient"), modifier=True))
    assert errors(modifier, patient(modifierExtension=[extension()])) == []
    assert errors(modifier, patient(extension=[extension()])) == [("Patient.extension[0]", "extension")]
    plain = validator(defined(("element", "Patient")))
    assert errors(plain, patient(modifierExtension=[extension()])) == [("Patient.modifierExtension[0]", "extension")]


def test_unknown_extensions_are_told_of() -> None:
    found = validator()
    unknown = {"url": "http://test.example/unknown", "valueCode": "x"}

    def severities(**said: Any) -> list[str]:
        return [i.severity for i in found.validate(patient(**said)) if i.code == "extension"]

    assert severities(extension=[unknown]) == ["information"]
    assert severities(modifierExtension=[unknown]) == ["warning"]
    assert severities(extension=[{"url": f"{BASE}no-such-extension", "valueCode": "x"}]) == ["warning"]
    assert severities(_birthDate={"extension": [ABSENT]}) == []


def test_urls_are_absolute() -> None:
    resource = patient(extension=[{"url": "name", "valueCode": "x"}])
    assert errors(validator(), resource) == [("Patient.extension[0]", "extension-url")]
