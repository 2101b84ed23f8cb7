"""What profiles may demand: how many, of what type, which values, which codes, which invariants."""

from typing import Any

import pytest

from tests.conformance.validation.definitions import BASE, TEST, errors, profile, validator

Json = dict[str, Any]
PATIENT: Json = {"resourceType": "Patient", "name": [{"family": "Ray"}], "gender": "female", "birthDate": "1970-03-01"}
OBSERVATION: Json = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}


def element(path: str, **said: Any) -> Json:
    return {"id": path, "path": path, **said}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (element("Patient.telecom", min=1), [("Patient.telecom", "min")]),
        (element("Patient.name", max="0"), [("Patient.name", "max")]),
        (element("Patient.name.given", min=1), [("Patient.name[0].given", "min")]),
        (element("Patient.gender", fixedCode="male"), [("Patient.gender", "fixed")]),
        (element("Patient.gender", fixedCode="female"), []),
        (element("Patient.name", patternHumanName={"use": "official"}), [("Patient.name[0]", "pattern")]),
        (element("Patient.name", patternHumanName={"family": "Ray"}), []),
        (element("Patient.name", fixedHumanName={"family": "Ray", "use": "usual"}), [("Patient.name[0]", "fixed")]),
        (element("Patient.birthDate", minValueDate="1971"), [("Patient.birthDate", "minValue")]),
        (element("Patient.birthDate", maxValueDate="1969-12-31"), [("Patient.birthDate", "maxValue")]),
        (element("Patient.birthDate", minValueDate="1970"), []),
        (element("Patient.name.family", maxLength=2), [("Patient.name[0].family", "maxLength")]),
    ],
)
def test_elements(said: Json, expected: list[tuple[str, str]]) -> None:
    assert errors(validator(profile("Patient", said)), PATIENT, "test") == expected


def test_a_choice_may_be_narrowed_to_types() -> None:
    found = validator(profile("Observation", element("Observation.value[x]", type=[{"code": "Quantity"}])))
    assert errors(found, {**OBSERVATION, "valueQuantity": {"value": 1}}, "test") == []
    assert errors(found, {**OBSERVATION, "valueString": "1"}, "test") == [("Observation.value", "type")]


def test_invariants_have_a_severity_and_a_key() -> None:
    constraint = {"key": "t-1", "severity": "error", "human": "A given name", "expression": "name.given.exists()"}
    found = validator(
        profile(
            "Patient", element("Patient", constraint=[constraint, {**constraint, "key": "t-2", "severity": "warning"}])
        )
    )
    issues = [i for i in found.validate(PATIENT, profiles=[TEST + "test"]) if i.code == "invariant"]
    assert [(i.severity, i.diagnostics, i.expression) for i in issues] == [
        ("warning", "A resource should have narrative for robust management (dom-6)", "Patient"),
        ("error", "A given name (t-1)", "Patient"),
        ("warning", "A given name (t-2)", "Patient"),
    ]


def test_an_invariant_that_cannot_be_evaluated_is_reported() -> None:
    constraint = {"key": "t-1", "severity": "error", "human": "x", "expression": "noSuchFunction()"}
    found = validator(profile("Patient", element("Patient", constraint=[constraint])))
    issues = [i for i in found.validate(PATIENT, profiles=[TEST + "test"]) if i.code == "exception"]
    assert len(issues) == 1
    assert "(t-1)" in issues[0].diagnostics


def test_a_profile_that_is_not_known_is_an_error_when_asked_for_and_a_warning_when_claimed() -> None:
    found = validator()
    asked = [i for i in found.validate(PATIENT, profiles=[TEST + "none"]) if i.code == "not-found"]
    claimed = [i for i in found.validate({**PATIENT, "meta": {"profile": [TEST + "none"]}}) if i.code == "not-found"]
    assert [(i.severity, i.expression) for i in asked] == [("error", "Patient")]
    assert [(i.severity, i.expression) for i in claimed] == [("warning", "Patient.meta.profile[0]")]


def test_a_profile_on_another_type_is_not_met() -> None:
    assert errors(validator(profile("Observation", element("Observation.code"))), PATIENT, "test") == [
        ("Patient", "type")
    ]


def test_profiles_of_data_types_are_applied() -> None:
    named = profile("HumanName", element("HumanName.given", min=1), name="named")
    named["kind"] = "complex-type"
    on_it = profile("Patient", element("Patient.name", type=[{"code": "HumanName", "profile": [TEST + "named"]}]))
    assert errors(validator(named, on_it), PATIENT, "test") == [("Patient.name[0].given", "min")]


def test_what_a_content_reference_means_is_held_to_the_same_rules() -> None:
    found = validator(profile("Questionnaire", element("Questionnaire.item.text", min=1)))
    inner = {"linkId": "2", "type": "display"}
    questionnaire = {
        "resourceType": "Questionnaire",
        "status": "draft",
        "item": [{"linkId": "1", "text": "x", "type": "group", "item": [inner]}],
    }
    assert errors(found, questionnaire, "test") == [("Questionnaire.item[0].item[0].text", "min")]


@pytest.mark.parametrize(
    ("strength", "severity"), [("required", "error"), ("extensible", "warning"), ("preferred", "information")]
)
def test_bindings_by_strength(strength: str, severity: str) -> None:
    codes = "http://test.example/ValueSet/codes"
    concepts = [{"code": "a"}]
    value_set = {
        "resourceType": "ValueSet",
        "url": codes,
        "status": "active",
        "compose": {"include": [{"system": "http://test.example/codes", "concept": concepts}]},
    }
    bound = element("Observation.code", binding={"strength": strength, "valueSet": codes})
    found = validator(profile("Observation", bound), value_set)

    def judge(code: str) -> list[tuple[str, str | None]]:
        coding = {"system": "http://test.example/codes", "code": code}
        issues = found.validate({**OBSERVATION, "code": {"coding": [coding]}}, profiles=[TEST + "test"])
        return [(i.severity, i.expression) for i in issues if i.code == "code-invalid"]

    assert judge("a") == []
    assert judge("b") == [(severity, "Observation.code")]


def test_references_to_other_types_than_the_profile_allows() -> None:
    only = element("Observation.subject", type=[{"code": "Reference", "targetProfile": [BASE + "Group"]}])
    found = validator(profile("Observation", only))
    assert errors(found, {**OBSERVATION, "subject": {"reference": "Group/1"}}, "test") == []
    wrong = {**OBSERVATION, "subject": {"reference": "Patient/1"}}
    assert errors(found, wrong, "test") == [("Observation.subject", "reference")]


def test_a_target_at_hand_is_held_against_the_profile_on_it() -> None:
    target = profile("Patient", element("Patient.birthDate", min=1), name="born")
    on_it = element("Observation.subject", type=[{"code": "Reference", "targetProfile": [TEST + "born"]}])
    found = validator(target, profile("Observation", on_it))
    resource = {**OBSERVATION, "subject": {"reference": "Patient/1"}}
    assert errors(found, resource, "test") == []
    nameless = {"resourceType": "Patient", "id": "1"}
    assert errors(found, resource, "test", resolve=lambda _text: nameless) == [("Observation.subject", "targetProfile")]
    born = {**nameless, "birthDate": "1970"}
    assert errors(found, resource, "test", resolve=lambda _text: born) == []
    contained = {**OBSERVATION, "contained": [nameless], "subject": {"reference": "#1"}}
    assert errors(found, contained, "test") == [("Observation.subject", "targetProfile")]


def test_profiles_in_a_circle_come_to_an_end() -> None:
    linked = element("Patient.link.other", type=[{"code": "Reference", "targetProfile": [TEST + "test"]}])
    found = validator(profile("Patient", linked))
    patient: Json = {"resourceType": "Patient", "id": "1", "link": [{"other": {"reference": "#"}, "type": "seealso"}]}
    assert errors(found, patient, "test", resolve=lambda _text: patient) == []
