"""Chained parameters on PostgreSQL, held to a plain reading of what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fhir_server.auth.caller import Grant, Interaction
from fhir_server.errors import Forbidden
from fhir_server.search.bind_chain import MOST_STEPS
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.match import matches
from tests.search.world import World

Resource = dict[str, Any]
Follow = Callable[[Resource, str], Iterator[Resource]]
Reading = Callable[[Follow, Resource], bool]
READ: frozenset[Interaction] = frozenset(("read", "search"))
ONLY_READ: frozenset[Interaction] = frozenset(("read",))


def reference(text: str | None) -> dict[str, str]:
    return {"reference": text} if text else {}


def organization(id_: str, name: str, parent: str | None = None) -> Resource:
    part_of = {"partOf": reference(parent)} if parent else {}
    return {"resourceType": "Organization", "id": id_, "name": name, **part_of}


def patient(id_: str, family: str | None, **elements: Any) -> Resource:
    name = {"name": [{"family": family}]} if family else {}
    return {"resourceType": "Patient", "id": id_, **name, **elements}


def observation(id_: str, subject: str | None, encounter: str | None = None, **elements: Any) -> Resource:
    found = {"resourceType": "Observation", "id": id_, "status": "final", **elements}
    return found | {k: reference(v) for k, v in (("subject", subject), ("encounter", encounter)) if v}


def encounter(id_: str, subject: str, provider: str | None = None) -> Resource:
    served = {"serviceProvider": reference(provider)} if provider else {}
    return {"resourceType": "Encounter", "id": id_, "subject": reference(subject), **served}


NHS = "urn:oid:1.2"
RESOURCES = (
    organization("top", "Smithsonian"),
    organization("mid", "General", "Organization/top"),
    organization("low", "Ward", "Organization/mid"),
    patient(
        "smith", "Smith", gender="male", birthDate="1970-05-01", identifier=[{"system": NHS, "value": "55"}],
        managingOrganization=reference("Organization/low"),
    ),
    patient(
        "smiley", "Smiley", gender="female", birthDate="1990-05-01", identifier=[{"system": NHS, "value": "56"}],
        generalPractitioner=[reference("Organization/mid"), reference("Practitioner/doc")],
    ),
    patient("jones", "Jones", gender="male", identifier=[{"system": "urn:oid:9", "value": "55"}]),
    patient("blank", None),
    {"resourceType": "Practitioner", "id": "doc", "name": [{"family": "Smirnow"}]},
    {"resourceType": "Location", "id": "room", "name": "Smithy"},
    {"resourceType": "Device", "id": "scale", "deviceName": [{"name": "Smiling scale", "type": "other"}]},
    {"resourceType": "Group", "id": "cohort", "type": "person", "actual": True, "code": {"text": "smi"}},
    encounter("e-smith", "Patient/smith", "Organization/low"),
    encounter("e-jones", "Patient/jones", "Organization/top"),
    encounter("e-group", "Group/cohort"),
    observation("o-smith", "Patient/smith", "Encounter/e-smith", code={"coding": [{"code": "a"}]}),
    observation("o-smith2", "Patient/smith/_history/3", "Encounter/e-jones", code={"coding": [{"code": "b"}]}),
    observation("o-smiley", "Patient/smiley", None, code={"coding": [{"code": "a"}]}),
    observation("o-jones", "Patient/jones", "Encounter/e-jones", effectiveDateTime="2020-01-02"),
    observation("o-blank", "Patient/blank", effectiveDateTime="2020-01-01"),
    observation("o-room", "Location/room"),
    observation("o-scale", "Device/scale"),
    observation("o-group", "Group/cohort", "Encounter/e-group"),
    observation("o-gone", "Patient/nobody", "Encounter/nothing"),
    observation("o-elsewhere", "http://elsewhere.example/Patient/smith"),
    observation("o-none", None),
    {"resourceType": "DiagnosticReport", "id": "r-smith", "subject": reference("Patient/smith")},
    {"resourceType": "DiagnosticReport", "id": "r-jones", "subject": reference("Patient/jones")},
    {"resourceType": "DiagnosticReport", "id": "r-group", "subject": reference("Group/cohort"),
     "result": [reference("Observation/o-smith"), reference("Observation/o-jones")]},
)  # fmt: skip


@pytest.fixture
def ward(world: World) -> World:
    world.put(*RESOURCES)
    return world


def follower(world: World) -> Follow:
    """Return what gives the stored resources that an element of a resource refers to."""

    def follow(resource: Resource, element: str) -> Iterator[Resource]:
        value = resource.get(element, [])
        for one in value if isinstance(value, list) else [value]:
            kind, _, id_ = one["reference"].split("/_history")[0].partition("/")
            if (kind, id_) in world.resources:
                yield world.resources[kind, id_]

    return follow


def named(resource: Resource, start: str, *types: str) -> bool:
    """Tell whether a resource, of one of the types if any are given, has a name that begins like this."""
    name = resource.get("name", [])
    names = [name] if isinstance(name, str) else [part["family"] for part in name]
    return any(n.lower().startswith(start) for n in names) and (not types or resource["resourceType"] in types)


def identified(resource: Resource, value: str, system: str | None = None) -> bool:
    found = resource.get("identifier", [])
    return any(i["value"] == value and system in (None, i["system"]) for i in found)


READINGS: tuple[tuple[str, tuple[tuple[str, str], ...], Reading], ...] = (
    ("Observation", (("patient.name", "smi"),), lambda to, r: any(named(t, "smi", "Patient") for t in to(r, "subject"))),
    ("Observation", (("subject:Patient.name", "SMITH"),),
     lambda to, r: any(named(t, "smith", "Patient") for t in to(r, "subject"))),
    ("Observation", (("subject.name", "smi"),),  # Group and Device have no 'name' among their parameters
     lambda to, r: any(named(t, "smi", "Patient", "Location") for t in to(r, "subject"))),
    ("Observation", (("subject:Location.name", "smi"),),
     lambda to, r: any(named(t, "smi", "Location") for t in to(r, "subject"))),
    ("Observation", (("subject.name", "smith,jon"),),
     lambda to, r: any(named(t, "smith") or named(t, "jon") for t in to(r, "subject"))),
    ("Observation", (("patient.name:exact", "Smith"),),
     lambda to, r: any(t["resourceType"] == "Patient" and t.get("name") == [{"family": "Smith"}]
                       for t in to(r, "subject"))),
    ("Observation", (("patient.name:exact", "smith"),), lambda *_: False),
    ("Observation", (("patient.name:missing", "true"),),
     lambda to, r: any(t["resourceType"] == "Patient" and "name" not in t for t in to(r, "subject"))),
    ("Observation", (("patient.name:missing", "false"),),
     lambda to, r: any(t["resourceType"] == "Patient" and "name" in t for t in to(r, "subject"))),
    ("Observation", (("patient.identifier:missing", "true"),),
     lambda to, r: any(t["resourceType"] == "Patient" and "identifier" not in t for t in to(r, "subject"))),
    ("Observation", (("patient.gender:not", "male"),),
     lambda to, r: any(t["resourceType"] == "Patient" and t.get("gender") != "male" for t in to(r, "subject"))),
    ("Observation", (("patient.birthdate", "lt1980"),),
     lambda to, r: any(t.get("birthDate", "2") < "1980" for t in to(r, "subject"))),
    ("Observation", (("patient.identifier", f"{NHS}|55"),),
     lambda to, r: any(identified(t, "55", NHS) for t in to(r, "subject"))),
    ("Observation", (("patient.identifier", "55"), ("patient.gender", "male"), ("patient.name", "jo")),
     lambda to, r: any(identified(t, "55") and named(t, "jo") for t in to(r, "subject"))),
    ("Observation", (("patient.identifier", "55,56"), ("code", "a")),
     lambda to, r: r.get("code") == {"coding": [{"code": "a"}]} and any(
         identified(t, "55") or identified(t, "56") for t in to(r, "subject"))),
    ("Observation", (("patient._id", "smith,blank"),),
     lambda to, r: any(t["resourceType"] == "Patient" and t["id"] in ("smith", "blank") for t in to(r, "subject"))),
    ("Observation", (("subject._id", "smith,room,cohort"),),
     lambda to, r: any(t["id"] in ("smith", "room", "cohort") for t in to(r, "subject"))),
    ("DiagnosticReport", (("patient.identifier", f"{NHS}|55"),),
     lambda to, r: any(identified(t, "55", NHS) for t in to(r, "subject"))),
    ("Observation", (("encounter.service-provider.name", "smi"),),
     lambda to, r: any(named(o, "smi") for e in to(r, "encounter") for o in to(e, "serviceProvider"))),
    ("Observation", (("encounter.service-provider.partof.name", "gen"),),
     lambda to, r: any(named(p, "gen") for e in to(r, "encounter") for o in to(e, "serviceProvider")
                       for p in to(o, "partOf"))),
    ("Observation", (("encounter.subject.name", "jon"), ("subject.name", "smi")),
     lambda to, r: any(named(t, "jon") for e in to(r, "encounter") for t in to(e, "subject"))
     and any(named(t, "smi") for t in to(r, "subject"))),
    ("Observation", (("patient.general-practitioner.name", "smi,gen"),),
     lambda to, r: any(named(g, "smi") or named(g, "gen") for t in to(r, "subject")
                       for g in to(t, "generalPractitioner"))),
    ("Observation", (("patient.general-practitioner:Practitioner.name", "gen"),), lambda *_: False),
    ("Observation", (("patient.organization", "low"),),
     lambda to, r: any(o["id"] == "low" for t in to(r, "subject") for o in to(t, "managingOrganization"))),
    ("Organization", (("partof.name", "gen"),), lambda to, r: any(named(o, "gen") for o in to(r, "partOf"))),
    ("Organization", (("partof.partof.name", "smi"),),
     lambda to, r: any(named(p, "smi") for o in to(r, "partOf") for p in to(o, "partOf"))),
    ("DiagnosticReport", (("result.encounter.service-provider.partof.partof.name", "smi"),),
     lambda to, r: any(named(q, "smi") for b in to(r, "result") for e in to(b, "encounter")
                       for o in to(e, "serviceProvider") for p in to(o, "partOf") for q in to(p, "partOf"))),
)  # fmt: skip


@pytest.mark.parametrize(("resource_type", "parameters", "reading"), READINGS, ids=lambda v: str(v)[:60])
def test_chains_mean_what_a_plain_reading_says(
    ward: World, resource_type: str, parameters: tuple[tuple[str, str], ...], reading: Reading
) -> None:
    def wanted() -> list[str]:
        follow = follower(ward)
        return [r["id"] for (kind, _), r in ward.resources.items() if kind == resource_type and reading(follow, r)]

    first = wanted()
    page = ward.page(resource_type, *parameters, ("_total", "accurate"), strict=True)
    assert [m.id for m in page.matches] == first[::-1]
    assert page.total == len(first)
    assert page.used == [*parameters, ("_total", "accurate")]
    for kind, id_ in (("Patient", "smith"), ("Organization", "top"), ("Location", "room")):
        ward.delete(kind, id_)
    assert ward.ids(resource_type, *parameters, strict=True) == wanted()[::-1]


def test_most_readings_find_some_and_not_all(ward: World) -> None:
    follow = follower(ward)
    for resource_type, parameters, reading in READINGS:
        of_type = [r for (kind, _), r in ward.resources.items() if kind == resource_type]
        found = [r for r in of_type if reading(follow, r)]
        assert len(found) < len(of_type), parameters
        assert found or parameters[0][0] in ("patient.name:exact", "patient.general-practitioner:Practitioner.name")


def test_pages_and_orders(ward: World) -> None:
    chain = ("patient.gender", "male")
    wanted = {"o-smith", "o-smith2", "o-jones"}
    for sort in ("_id", "-_id", "_lastUpdated", "-_lastUpdated", "date", "-date", "date,_id", "-date,-_id"):
        walked = ward.walk("Observation", chain, ("_sort", sort), ("_count", "1"))
        assert len(walked) == len(wanted)
        assert set(walked) == wanted, sort
        assert walked == ward.ids("Observation", chain, ("_sort", sort)), sort
    assert ward.walk("Observation", chain, ("_count", "1")) == ["o-jones", "o-smith2", "o-smith"]
    assert ward.walk("Observation", chain, ("_sort", "-date"), ("_count", "1"))[0] == "o-jones"
    page = ward.page("Observation", chain, ("_include", "Observation:patient"), ("_count", "1"))
    assert [m.id for m in page.included] == ["jones"]


def test_tenants_are_kept_apart(ward: World) -> None:
    ward.put(patient("foreign", "Smith"), observation("o-foreign", "Patient/foreign"), tenant=ward.tenant + 500)
    ward.put(observation("o-to-foreign", "Patient/foreign"))
    assert "o-to-foreign" not in ward.ids("Observation", ("patient.name", "smith"))
    stranger = ward.caller(tenant=ward.tenant + 500)
    assert ward.ids("Observation", ("patient.name", "smith"), caller=stranger) == ["o-foreign"]


@pytest.mark.parametrize(
    ("resource_type", "name", "told"),
    [
        ("Observation", "patient.nonsense", "Patient has no search parameter 'nonsense'"),
        ("Observation", "subject.nonsense", "Observation.subject refers to has the search parameter 'nonsense'"),
        ("Observation", "nonsense.name", "Observation has no reference parameter 'nonsense'"),
        ("Observation", "code.name", "no reference parameter 'code'"),
        ("Observation", "patient.name.family", "Patient has no reference parameter 'name'"),
        ("Observation", "encounter.service-provider.nonsense", "Organization has no search parameter 'nonsense'"),
        ("Observation", "subject:Medication.code", "never refers to Medication"),
        ("Observation", "subject:identifier.value", ":identifier"),
        ("Observation", "subject:.name", "no resource type"),
        ("Observation", "subject:Nothing.name", ":Nothing"),
        ("Observation", "patient.name:above", ":above"),
        ("Observation", "patient._list:not", ":not"),
        ("Observation", "patient._sort", "_sort"),
        ("Observation", "patient.", "''"),
        ("Observation", ".name", "''"),
        ("QuestionnaireResponse", "questionnaire.nonsense", "nonsense"),
        ("Bundle", "composition.title", "holds no references"),
        ("Organization", "partof." * MOST_STEPS + "name", "steps"),
        ("Organization", "partof." * 5000 + "name", "steps"),
        ("Provenance", "target.subject.subject.subject._id", "name the types"),
        ("Provenance", "target.subject.subject.subject.subject.subject.nonsense", "nonsense"),
    ],
)
def test_chains_that_cannot_be_used_are_told_in_whole(ward: World, resource_type: str, name: str, told: str) -> None:
    (issue,) = ward.page(resource_type, (name, "1")).issues
    assert (issue.severity, issue.code) == ("warning", "not-supported")
    assert f"'{name}'" in issue.diagnostics
    assert told in issue.diagnostics
    with pytest.raises(InvalidSearch):
        ward.page(resource_type, (name, "1"), strict=True)


def test_canonical_references_lead_to_what_has_the_url(ward: World) -> None:
    questionnaire = {"resourceType": "Questionnaire", "status": "active"}
    ward.put(
        questionnaire | {"id": "q1", "url": "http://example.org/q1", "title": "Sleep"},
        questionnaire | {"id": "q2", "url": "http://example.org/q2", "title": "Food"},
        questionnaire | {"id": "q3", "title": "Sleep, too"},
    )
    for id_, canonical in (("a1", "http://example.org/q1"), ("a2", "http://example.org/q2|2.0"), ("a3", None)):
        found = {"questionnaire": canonical} if canonical else {}
        ward.put({"resourceType": "QuestionnaireResponse", "id": id_, "status": "completed", **found})
    assert ward.ids("QuestionnaireResponse", ("questionnaire.title", "sleep"), strict=True) == ["a1"]
    assert ward.ids("QuestionnaireResponse", ("questionnaire.title", "food"), strict=True) == ["a2"]
    assert ward.ids("QuestionnaireResponse", ("questionnaire.status", "active"), strict=True) == ["a2", "a1"]
    nobody = ward.caller((Grant("QuestionnaireResponse", READ),))
    with pytest.raises(Forbidden, match="Questionnaire"):
        ward.ids("QuestionnaireResponse", ("questionnaire.title", "sleep"), caller=nobody)


def test_a_chain_may_end_in_an_identifier_or_an_update(ward: World) -> None:
    ward.put({"resourceType": "Encounter", "id": "logical", "subject": {"identifier": {"system": NHS, "value": "9"}}})
    ward.put(observation("o-logical", None, "Encounter/logical"))
    assert ward.ids("Observation", ("encounter.subject:identifier", f"{NHS}|9"), strict=True) == ["o-logical"]
    assert ward.ids("Observation", ("encounter._lastUpdated", "ge2020"), strict=True)
    assert ward.ids("Observation", ("encounter._lastUpdated", "lt2020"), strict=True) == []


def test_bad_values_are_errors(ward: World) -> None:
    for name, value in (("patient.birthdate", "garbage"), ("patient.name:missing", "maybe")):
        with pytest.raises(InvalidSearch) as refused:
            ward.page("Observation", (name, value))
        assert f"'{name}' has the value '{value}'" in refused.value.issues[0].diagnostics


def test_the_longest_and_the_widest_chain_work(ward: World) -> None:
    assert ward.ids("Organization", ("partof." * (MOST_STEPS - 1) + "name", "x"), strict=True) == []
    ward.put({"resourceType": "Provenance", "id": "about", "target": [reference("Location/room")]})
    assert ward.ids("Provenance", ("target._id", "room"), strict=True) == ["about"]
    assert ward.ids("Provenance", ("target._id", "top"), strict=True) == []


def test_a_chain_finds_only_by_what_the_caller_may_search(ward: World) -> None:
    smiths, observations = ("patient.name", "smi"), Grant("Observation", READ)
    for grants in ((observations,), (observations, Grant("Patient", ONLY_READ))):
        with pytest.raises(Forbidden, match="Patient"):
            ward.ids("Observation", smiths, caller=ward.caller(grants))
    limited = ward.caller((observations, Grant("Patient", READ, (("gender", "female"),))))
    assert ward.ids("Observation", smiths, caller=limited) == ["o-smiley"]
    assert ward.page("Observation", smiths, ("_summary", "count"), caller=limited).total == 1
    for negation in (("patient.name:missing", "true"), ("patient.gender:not", "other")):
        assert set(ward.ids("Observation", negation, caller=limited, strict=True)) <= {"o-smiley"}


def test_types_the_caller_may_not_search_drop_out_of_several(ward: World) -> None:
    caller = ward.caller((Grant("Observation", READ), Grant("Location", READ)))
    assert ward.ids("Observation", ("subject.name", "smi"), caller=caller) == ["o-room"]
    with pytest.raises(Forbidden):
        ward.ids("Observation", ("subject:Patient.name", "smi"), caller=caller)
    with pytest.raises(Forbidden):
        ward.ids("Observation", ("subject.name", "smi"), caller=ward.caller((Grant("Observation", READ),)))


def test_every_step_of_a_chain_needs_a_grant(ward: World) -> None:
    chain = ("encounter.service-provider.name", "smi")
    ends = (Grant("Observation", READ), Grant("Organization", READ))
    with pytest.raises(Forbidden, match="Encounter"):
        ward.ids("Observation", chain, caller=ward.caller(ends))
    between = Grant("Encounter", READ, (("patient", "Patient/smith"),))
    assert ward.ids("Observation", chain) == ["o-jones", "o-smith2"]
    assert ward.ids("Observation", chain, caller=ward.caller((*ends, between))) == []


def test_chains_are_no_criteria_of_grants(ward: World) -> None:
    criteria = (("patient.gender", "male"),)
    assert not matches("Observation", ward.resources["Observation", "o-smith"], criteria, ward.tenant)
    with pytest.raises(Forbidden):
        ward.ids("Observation", caller=ward.caller((Grant("Observation", READ, criteria), Grant("Patient", READ))))
