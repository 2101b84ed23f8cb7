"""Slicing: by value, pattern, type, profile and existence; open, closed, at the end, ordered; slices of slices."""

from typing import Any

from tests.conformance.validation.definitions import TEST, errors, profile, validator

Json = dict[str, Any]


def sliced(path: str, kind: str, at: str, **said: Any) -> Json:
    return {
        "id": path,
        "path": path,
        "slicing": {"discriminator": [{"type": kind, "path": at}], "rules": "open", **said},
    }


def a_slice(path: str, name: str, below: str = "", **said: Any) -> Json:
    start, _, rest = path.rpartition(".")
    return {
        "id": f"{start}.{rest}:{name}{below}",
        "path": path + below,
        **({} if below else {"sliceName": name}),
        **said,
    }


def telecoms(*systems: str) -> Json:
    return {"resourceType": "Patient", "telecom": [{"system": system, "value": "1"} for system in systems]}


T = "Patient.telecom"


def by_system(**rules: Any) -> list[Json]:
    return [
        sliced(T, "value", "system", **rules),
        a_slice(T, "phone", min=1, max="1"),
        a_slice(T, "phone", ".system", min=1, fixedCode="phone"),
        a_slice(T, "email", min=0, max="1"),
        a_slice(T, "email", ".system", min=1, fixedCode="email"),
    ]


def test_by_value_with_least_and_most() -> None:
    found = validator(profile("Patient", *by_system()))
    assert errors(found, telecoms("phone", "sms", "email"), "test") == []
    assert errors(found, telecoms("email"), "test") == [(T, "min")]
    assert errors(found, telecoms("phone", "phone"), "test") == [(T, "max")]


def test_closed() -> None:
    found = validator(profile("Patient", *by_system(rules="closed")))
    assert errors(found, telecoms("phone", "sms"), "test") == [(f"{T}[1]", "slicing")]


def test_open_at_end() -> None:
    found = validator(profile("Patient", *by_system(rules="openAtEnd")))
    assert errors(found, telecoms("phone", "email", "sms"), "test") == []
    assert errors(found, telecoms("phone", "sms", "email"), "test") == [(f"{T}[2]", "slicing")]


def test_ordered() -> None:
    found = validator(profile("Patient", *by_system(ordered=True)))
    assert errors(found, telecoms("phone", "email"), "test") == []
    assert errors(found, telecoms("email", "phone"), "test") == [(f"{T}[1]", "slicing")]


def test_what_is_said_of_a_slice_holds_in_it_only() -> None:
    elements = [*by_system(), a_slice(T, "email", ".rank", min=1)]
    elements.sort(key=lambda e: str(e["id"]) != T)
    found = validator(profile("Patient", *elements))
    assert errors(found, telecoms("phone", "email"), "test") == [(f"{T}[1].rank", "min")]


def test_by_pattern() -> None:
    path = "Observation.category"
    vital = {"coding": [{"system": "http://test.example/c", "code": "v"}]}
    found = validator(
        profile(
            "Observation", sliced(path, "pattern", "$this"), a_slice(path, "v", min=1, patternCodeableConcept=vital)
        )
    )
    observation: Json = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    coding = {**vital["coding"][0], "display": "V"}
    assert errors(found, {**observation, "category": [{"text": "x"}, {"coding": [coding]}]}, "test") == []
    assert errors(found, {**observation, "category": [{"text": "x"}]}, "test") == [(path, "min")]


def test_by_type() -> None:
    path = "Observation.value[x]"
    found = validator(
        profile(
            "Observation",
            sliced(path, "type", "$this"),
            a_slice(path, "valueQuantity", type=[{"code": "Quantity"}]),
            a_slice(path, "valueQuantity", ".unit", min=1),
        )
    )
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    assert errors(found, {**observation, "valueString": "1"}, "test") == []
    assert errors(found, {**observation, "valueQuantity": {"value": 1}}, "test") == [("Observation.value.unit", "min")]


def test_by_existence() -> None:
    found = validator(
        profile(
            "Patient",
            sliced(T, "exists", "period"),
            a_slice(T, "past", max="1"),
            a_slice(T, "past", ".period", min=1),
            a_slice(T, "present"),
            a_slice(T, "present", ".period", max="0"),
            a_slice(T, "present", ".rank", min=1),
        )
    )
    past: Json = {"value": "1", "system": "phone", "period": {"end": "2000"}}
    present: Json = {"value": "1", "system": "phone"}
    assert errors(found, {"resourceType": "Patient", "telecom": [past, {**present, "rank": 1}]}, "test") == []
    assert errors(found, {"resourceType": "Patient", "telecom": [past, present]}, "test") == [(f"{T}[1].rank", "min")]
    assert errors(found, {"resourceType": "Patient", "telecom": [past, past]}, "test") == [(T, "max")]


def test_by_profile() -> None:
    path = "Bundle.entry"
    born = profile("Patient", {"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1}, name="born")
    found = validator(
        born,
        profile(
            "Bundle",
            sliced(path, "profile", "resource"),
            a_slice(path, "born", min=1),
            a_slice(path, "born", ".resource", min=1, type=[{"code": "Patient", "profile": [TEST + "born"]}]),
        ),
    )
    patient = {"resourceType": "Patient", "id": "1"}

    def bundle(resource: Json) -> Json:
        return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource}]}

    assert errors(found, bundle({**patient, "birthDate": "1970"}), "test") == []
    assert errors(found, bundle(patient), "test") == [(path, "min")]


def test_slices_of_slices() -> None:
    found = validator(
        profile(
            "Patient",
            *by_system()[:2],
            {**by_system()[2]},
        ),
        profile(
            "Patient",
            {"id": T, "path": T},
            a_slice(T, "phone", slicing={"discriminator": [{"type": "value", "path": "use"}], "rules": "closed"}),
            a_slice(T, "phone/home", max="1"),
            a_slice(T, "phone/home", ".use", min=1, fixedCode="home"),
            name="again",
            base=TEST + "test",
        ),
    )
    home: Json = {"system": "phone", "value": "1", "use": "home"}
    assert errors(found, {"resourceType": "Patient", "telecom": [home]}, "again") == []
    work = {**home, "use": "work"}
    assert errors(found, {"resourceType": "Patient", "telecom": [work]}, "again") == [(f"{T}[0]", "slicing")]
