"""Reverse chaining on PostgreSQL, held to a plain reading of what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fhir_server.auth.caller import Grant, Interaction
from fhir_server.errors import Forbidden
from fhir_server.search import reverse, statement
from fhir_server.search.bind_chain import MOST_STEPS
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.match import matches
from tests.search.world import World

Resource = dict[str, Any]
Refer = Callable[[Resource, str, str], Iterator[Resource]]
Reading = Callable[[Refer, Resource], bool]
READ: frozenset[Interaction] = frozenset(("read", "search"))


def ref(text: str) -> dict[str, str]:
    return {"reference": text}


def observation(id_: str, subject: str | None, code: str, **elements: Any) -> Resource:
    about = {"subject": ref(subject)} if subject else {}
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        **about,
        **elements,
    }


RESOURCES: tuple[Resource, ...] = (
    *({"resourceType": "Patient", "id": id_, "gender": g} for id_, g in (("a", "male"), ("b", "female"), ("c", "male"))),
    {"resourceType": "Patient", "id": "lonely", "gender": "male"},
    {"resourceType": "Practitioner", "id": "doc", "name": [{"family": "Smirnow"}]},
    {"resourceType": "Group", "id": "g1", "type": "person", "actual": True,
     "member": [{"entity": ref("Patient/a")}, {"entity": ref("Patient/b")}]},
    {"resourceType": "Group", "id": "g2", "type": "person", "actual": True, "member": [{"entity": ref("Patient/c")}]},
    {"resourceType": "Encounter", "id": "e-a", "status": "finished", "subject": ref("Patient/a")},
    {"resourceType": "Encounter", "id": "e-c", "status": "finished", "subject": ref("Patient/c")},
    observation("o1", "Patient/a", "x", performer=[ref("Practitioner/doc")], effectiveDateTime="2020-05-05"),
    observation("o2", "Patient/a/_history/2", "y"),
    observation("o3", "Patient/b", "y", effectiveDateTime="2021-05-05"),
    observation("o4", "Group/g1", "x"),
    observation("o5", None, "x", focus=[ref("Patient/c")]),
    observation("o6", "Patient/gone", "x"),
    observation("o7", "http://elsewhere.example/Patient/c", "x"),
    {"resourceType": "AuditEvent", "id": "audit", "agent": [{"who": ref("Practitioner/doc")}],
     "entity": [{"what": ref("Observation/o3")}]},
)  # fmt: skip


@pytest.fixture
def ward(world: World) -> World:
    world.put(*RESOURCES)
    return world


def coded(resource: Resource, code: str) -> bool:
    return bool(resource["code"]["coding"][0]["code"] == code)


def referrer(world: World) -> Refer:
    """Return what gives the stored resources of a type that refer to a resource by an element."""

    def refer(resource: Resource, kind: str, element: str) -> Iterator[Resource]:
        own = f"{resource['resourceType']}/{resource['id']}"
        for (found, _), other in world.resources.items():
            values = other.get(element.split(".", maxsplit=1)[0], []) if found == kind else []
            for value in values if isinstance(values, list) else [values]:
                for part in element.split(".")[1:]:
                    value = value[part]  # noqa: PLW2901
                if value["reference"].split("/_history")[0] == own:
                    yield other

    return refer


READINGS: tuple[tuple[str, tuple[tuple[str, str], ...], Reading], ...] = (
    ("Patient", (("_has:Observation:patient:code", "x"),),
     lambda to, r: any(coded(o, "x") for o in to(r, "Observation", "subject"))),
    ("Patient", (("_has:Observation:patient:code", "http://loinc.org|x,y"),),
     lambda to, r: any(coded(o, "y") for o in to(r, "Observation", "subject"))),
    ("Patient", (("_has:Observation:patient:code:not", "x"),),
     lambda to, r: any(not coded(o, "x") for o in to(r, "Observation", "subject"))),
    ("Patient", (("_has:Observation:focus:code", "x"),),
     lambda to, r: any(coded(o, "x") for o in to(r, "Observation", "focus"))),
    ("Patient", (("_has:Observation:patient:date:missing", "true"),),
     lambda to, r: any("effectiveDateTime" not in o for o in to(r, "Observation", "subject"))),
    ("Patient", (("_has:Observation:patient:date", "ge2021"),),
     lambda to, r: any(o.get("effectiveDateTime", "") >= "2021" for o in to(r, "Observation", "subject"))),
    ("Patient", (("_has:Observation:patient:code", "x"), ("_has:Observation:patient:code", "y")),
     lambda to, r: all(any(coded(o, c) for o in to(r, "Observation", "subject")) for c in "xy")),
    ("Patient", (("gender", "male"), ("_has:Observation:patient:code", "y")),
     lambda to, r: r["gender"] == "male" and any(coded(o, "y") for o in to(r, "Observation", "subject"))),
    ("Patient", (("_has:Observation:patient:_has:AuditEvent:entity:agent", "Practitioner/doc"),),
     lambda to, r: any(list(to(o, "AuditEvent", "entity.what")) for o in to(r, "Observation", "subject"))),
    ("Patient", (("_has:Observation:patient:performer.name", "smi"),),
     lambda to, r: any("performer" in o for o in to(r, "Observation", "subject"))),
    ("Patient", (("_has:Observation:patient:performer:Practitioner.name", "smi"),),
     lambda to, r: any("performer" in o for o in to(r, "Observation", "subject"))),
    ("Patient", (("_has:Group:member:_id", "g1"),), lambda to, r: any(g["id"] == "g1" for g in to(r, "Group", "member.entity"))),
    ("Patient", (("_has:Observation:patient:_id", "o2"),),
     lambda to, r: any(o["id"] == "o2" for o in to(r, "Observation", "subject"))),
    ("Encounter", (("patient._has:Group:member:_id", "g2"),), lambda _, r: r["id"] == "e-c"),
    ("Encounter", (("patient._has:Observation:patient:code", "y"),), lambda _, r: r["id"] == "e-a"),
    ("Group", (("_has:Observation:subject:code", "x"),),
     lambda to, r: any(coded(o, "x") for o in to(r, "Observation", "subject"))),
    ("Observation", (("subject._has:Group:member:_id", "g1"),),
     lambda _, r: r.get("subject", {}).get("reference", "").split("/_history")[0] in ("Patient/a", "Patient/b")),
)  # fmt: skip


@pytest.mark.parametrize("few", [500, 0], ids=["few refer", "many refer"])
@pytest.mark.parametrize(("resource_type", "parameters", "reading"), READINGS, ids=lambda v: str(v)[:70])
def test_has_means_what_a_plain_reading_says(
    ward: World,
    monkeypatch: pytest.MonkeyPatch,
    resource_type: str,
    parameters: tuple[tuple[str, str], ...],
    reading: Reading,
    few: int,
) -> None:
    monkeypatch.setattr(reverse, "FEW", few)
    # Texts are kept by their shape, of which this number is no part.
    monkeypatch.setattr(statement, "_compile", statement._compile.__wrapped__)

    def wanted() -> list[str]:
        refer = referrer(ward)
        return [r["id"] for (kind, _), r in ward.resources.items() if kind == resource_type and reading(refer, r)]

    first = wanted()
    assert first
    page = ward.page(resource_type, *parameters, ("_total", "accurate"), strict=True)
    assert [m.id for m in page.matches] == first[::-1]
    assert page.total == len(first)
    assert page.used == [*parameters, ("_total", "accurate")]


def test_deleted_resources_neither_refer_nor_are_found(ward: World) -> None:
    has = ("_has:Observation:patient:code", "y")
    assert ward.ids("Patient", has) == ["b", "a"]
    ward.delete("Observation", "o3")
    assert ward.ids("Patient", has) == ["a"]
    ward.delete("Patient", "a")
    assert ward.ids("Patient", has) == []


def test_tenants_are_kept_apart(ward: World) -> None:
    ward.put(observation("foreign", "Patient/lonely", "x"), tenant=ward.tenant + 500)
    assert "lonely" not in ward.ids("Patient", ("_has:Observation:patient:code", "x"))
    assert (
        ward.ids("Patient", ("_has:Observation:patient:code", "x"), caller=ward.caller(tenant=ward.tenant + 500)) == []
    )


def test_pages(ward: World) -> None:
    has = ("_has:Observation:patient:status", "final")
    for sort in ("_id", "-_id", "-_lastUpdated", "birthdate"):
        assert set(ward.walk("Patient", has, ("_sort", sort), ("_count", "1"))) == {"a", "b"}, sort


def test_every_step_needs_a_grant(ward: World) -> None:
    has, patients = ("_has:Observation:patient:code", "x"), Grant("Patient", READ)
    with pytest.raises(Forbidden, match="Observation"):
        ward.ids("Patient", has, caller=ward.caller((patients,)))
    with pytest.raises(Forbidden, match="Observation"):
        ward.ids("Patient", has, caller=ward.caller((patients, Grant("Observation", frozenset(("read",))))))
    limited = ward.caller((patients, Grant("Observation", READ, (("patient", "Patient/b"),))))
    assert ward.ids("Patient", ("_has:Observation:patient:status", "final"), caller=limited) == ["b"]
    assert ward.ids("Patient", ("_has:Observation:patient:code:not", "nothing"), caller=limited) == ["b"]
    nested = ("_has:Observation:patient:_has:AuditEvent:entity:agent", "Practitioner/doc")
    with pytest.raises(Forbidden, match="AuditEvent"):
        ward.ids("Patient", nested, caller=limited)
    with pytest.raises(Forbidden, match="Group"):
        ward.ids(
            "Encounter",
            ("patient._has:Group:member:_id", "g1"),
            caller=ward.caller((patients, Grant("Encounter", READ))),
        )


def test_has_is_no_criterion_of_a_grant(ward: World) -> None:
    criteria = (("_has:Observation:patient:code", "x"),)
    assert not matches("Patient", ward.resources["Patient", "a"], criteria, ward.tenant)


@pytest.mark.parametrize(
    ("resource_type", "name", "told"),
    [
        ("Patient", "_has:Observation:nonsense:code", "no reference parameter 'nonsense'"),
        ("Patient", "_has:Observation:code:code", "no reference parameter 'code'"),
        ("Patient", "_has:Observation:patient:nonsense", "no search parameter 'nonsense'"),
        ("Patient", "_has:Nothing:patient:code", "Nothing has no reference parameter"),
        ("Patient", "_has::patient:code", "no type has no reference parameter"),
        ("Location", "_has:Observation:patient:code", "never refers to Location"),
        ("Patient", "_has:Observation:patient:code:nonsense", ":nonsense"),
        ("Patient", "_has:Observation:patient", "_has"),
        ("Questionnaire", "_has:QuestionnaireResponse:questionnaire:author", "'_has' can follow"),
        ("Observation", "_has:Observation:has-member:" * MOST_STEPS + "code", "steps"),
        ("Observation", "_has:Observation:has-member:" * 3000 + "code", "steps"),
    ],
)
def test_what_cannot_be_used_is_told(ward: World, resource_type: str, name: str, told: str) -> None:
    (issue,) = ward.page(resource_type, (name, "1")).issues
    assert (issue.severity, issue.code) == ("warning", "not-supported")
    assert told in issue.diagnostics
    with pytest.raises(InvalidSearch):
        ward.page(resource_type, (name, "1"), strict=True)


def test_the_deepest_search_compiles(ward: World) -> None:
    depth = MOST_STEPS - 1
    assert ward.ids("Observation", ("_has:Observation:has-member:" * depth + "code", "x"), strict=True) == []
    mixed = "_has:Observation:has-member:has-member:Observation." * (depth // 2) + "code"
    assert ward.ids("Observation", (mixed, "x"), strict=True) == []
