"""Patient/$everything and Encounter/$everything, https://hl7.org/fhir/R4/patient-operation-everything.html."""

from __future__ import annotations

import pytest

from conformance.issues import InvalidResource
from fhir_server.auth.caller import Grant
from tests.interactions.conftest import caller_with
from tests.operations.conftest import Clinic, Resource, names, observation, ref, resource


def _encounter(id_: str, patient: str, start: str, **elements: object) -> Resource:
    cls = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
    period = {"start": start, "end": start}
    return resource(
        "Encounter",
        id_,
        status="finished",
        subject=ref(f"Patient/{patient}"),
        period=period,
        **{"class": cls},
        **elements,
    )


def _record(clinic: Clinic, patient: str) -> set[str]:
    """Store a small record; return the addresses that belong to it."""
    own = [
        resource("Patient", patient, managingOrganization=ref("Organization/o1")),
        _encounter(f"{patient}-e1", patient, "2020-03-01", participant=[{"individual": ref("Practitioner/d1")}]),
        _encounter(f"{patient}-e2", patient, "2022-03-01", location=[{"location": ref("Location/l1")}]),
        *[
            observation(f"{patient}-o{n}", patient, when=f"202{n % 4}-05-05", encounter=ref(f"Encounter/{patient}-e1"))
            for n in range(8)
        ],
        resource(
            "MedicationRequest",
            f"{patient}-m1",
            status="active",
            intent="order",
            subject=ref(f"Patient/{patient}"),
            medicationReference=ref("Medication/med1"),
            requester=ref("Practitioner/d1"),
        ),
        resource(
            "Condition", f"{patient}-c1", subject=ref(f"Patient/{patient}"), encounter=ref(f"Encounter/{patient}-e2")
        ),
    ]
    clinic.put(
        resource("Organization", "o1", name="Ward"),
        resource("Organization", "unrelated", name="Elsewhere"),
        resource("Practitioner", "d1"),
        resource("Location", "l1"),
        resource("Medication", "med1"),
    )
    clinic.put(*own)
    supporting = {"Organization/o1", "Practitioner/d1", "Location/l1", "Medication/med1"}
    return {f"{r['resourceType']}/{r['id']}" for r in own} | supporting


@pytest.mark.parametrize("count", [1, 2, 5, 17, 18, 1000])
def test_every_resource_comes_once_whatever_the_page_size(clinic: Clinic, count: int) -> None:
    record = _record(clinic, "a")
    _record(clinic, "b")
    pages = clinic.pages(f"Patient/a/$everything?_count={count}")
    found = names(pages)
    assert len(found) == len(set(found))
    assert set(found) == record
    assert found[0] == "Patient/a"
    assert all(len(page["entry"]) == count for page in pages[:-1])
    modes = {n: e["search"]["mode"] for p in pages for n, e in zip(names(p), p["entry"], strict=True)}
    assert {n for n, mode in modes.items() if mode == "include"} == {n for n in record if n.split("/")[1] in
        ("o1", "d1", "l1", "med1")}  # fmt: skip
    assert all(
        e["fullUrl"] == f"http://test/fhir/{n}" for p in pages for n, e in zip(names(p), p["entry"], strict=True)
    )


def test_parameters_in_a_body_mean_the_same(clinic: Clinic) -> None:
    record = _record(clinic, "a")
    body = [{"name": "_count", "valueInteger": 1000}]
    assert set(names(clinic.call("Patient/a/$everything", *body))) == record


def test_types_since_and_care_dates(clinic: Clinic) -> None:
    _record(clinic, "a")
    typed = names(clinic.pages("Patient/a/$everything?_type=Encounter,Practitioner&_count=2"))
    assert sorted(typed) == ["Encounter/a-e1", "Encounter/a-e2", "Practitioner/d1"]
    dated = set(names(clinic.fetch("Patient/a/$everything?start=2021-01-01&end=2022-12-31")))
    assert "Encounter/a-e2" in dated
    assert "Encounter/a-e1" not in dated
    assert {n for n in dated if n.startswith("Observation/")} == {f"Observation/a-o{n}" for n in (1, 2, 5, 6)}
    # What has no date can't be outside the period; what only left-out resources refer to is left out.
    assert {"Patient/a", "Condition/a-c1", "MedicationRequest/a-m1", "Location/l1"} <= dated
    before = clinic.fetch("Patient/a")["meta"]["lastUpdated"]
    clinic.put(observation("a-o0", "a", code="8310-5"))
    after = clinic.fetch("Observation/a-o0")["meta"]["lastUpdated"]
    assert after > before
    since = clinic.fetch(f"Patient/a/$everything?_since={after}")
    assert names(since) == ["Observation/a-o0"]


def test_pages_are_stable_while_others_write(clinic: Clinic) -> None:
    record = _record(clinic, "w")
    first = clinic.fetch("Patient/w/$everything?_count=6")
    clinic.put(observation("w-o3", "w", code="8310-5"), observation("w-o9", "w"))
    rest = clinic.pages(
        next(x["url"] for x in first["link"] if x["relation"] == "next").removeprefix("http://test/fhir/")
    )
    found = names([first, *rest])
    assert len(found) == len(set(found))
    assert record <= set(found) <= record | {"Observation/w-o9"}


def test_an_encounter_brings_its_patient_but_not_the_rest_of_the_record(clinic: Clinic) -> None:
    _record(clinic, "a")
    found = set(names(clinic.pages("Encounter/a-e1/$everything?_count=3")))
    assert found == {"Encounter/a-e1", *(f"Observation/a-o{n}" for n in range(8)), "Patient/a", "Practitioner/d1"}


def test_others_patients_stay_out(clinic: Clinic) -> None:
    clinic.put(resource("Patient", "x"), resource("Patient", "y"))
    clinic.put(observation("y1", "y"), observation("free", "y") | {"subject": ref("Location/none")})
    clinic.put(
        observation("x1", "x", focus=[ref("Patient/y")], hasMember=[ref("Observation/y1")]),
        resource(
            "List", "l", status="current", mode="working", subject=ref("Patient/x"), entry=[{"item": ref("Patient/y")}]
        ),
    )
    assert set(names(clinic.fetch("Patient/x/$everything"))) == {"Patient/x", "Observation/x1", "List/l"}


def test_all_patients(clinic: Clinic) -> None:
    record = _record(clinic, "a") | _record(clinic, "b")
    found = names(clinic.pages("Patient/$everything?_count=7"))
    assert len(found) == len(set(found))
    assert record <= set(found)


def test_grants_decide_what_is_returned(clinic: Clinic) -> None:
    _record(clinic, "a")
    reading = frozenset(("read", "operation"))
    some = caller_with(Grant("Patient", reading), Grant("Observation", reading, (("_id", "a-o1"),)))
    assert names(clinic.fetch("Patient/a/$everything", some)) == ["Patient/a", "Observation/a-o1"]
    other = caller_with(Grant("Patient", reading, (("_id", "b"),)))
    assert clinic.refusal("GET", "Patient/a/$everything", caller=other).status == 404
    nothing = caller_with(Grant("Patient", frozenset(("operation",))))
    assert clinic.refusal("GET", "Patient/a/$everything", caller=nothing).status == 403


def test_what_cannot_be_answered_is_refused(clinic: Clinic) -> None:
    _record(clinic, "a")
    assert clinic.refusal("GET", "Patient/nobody/$everything").status == 404
    clinic.put(resource("Patient", "gone"))
    clinic.ask(caller_with(Grant()), "DELETE", "Patient/gone")
    assert clinic.refusal("GET", "Patient/gone/$everything").status == 410
    for query in ("_type=Nonsense", "_count=0", "start=2022-01-01&end=2021-01-01", "nonsense=1"):
        assert clinic.refusal("GET", f"Patient/a/$everything?{query}").status == 400, query
    first = clinic.fetch("Patient/a/$everything?_count=2")
    cursor = next(x["url"] for x in first["link"] if x["relation"] == "next").split("_cursor=")[1]
    for url in (f"Patient/b/$everything?_count=2&_cursor={cursor}", "Patient/a/$everything?_cursor=x"):
        with pytest.raises(InvalidResource):
            clinic.fetch(url)
    with pytest.raises(InvalidResource):
        clinic.fetch("Patient/a/$everything?_since=yesterday")
