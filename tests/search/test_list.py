"""Members of a List on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.auth.caller import Grant, Interaction
from fhir_server.errors import Forbidden
from fhir_server.search.errors import InvalidSearch
from tests.search.world import World

READ: frozenset[Interaction] = frozenset(("read", "search"))


def entry(reference: str, **elements: Any) -> dict[str, Any]:
    return {"item": {"reference": reference}, **elements}


@pytest.fixture
def ward(world: World) -> World:
    world.put(
        *({"resourceType": "Patient", "id": id_, "gender": "male"} for id_ in ("p1", "p2", "p3", "p4")),
        {"resourceType": "Observation", "id": "p1", "status": "final", "subject": {"reference": "Patient/p1"}},
        {"resourceType": "Observation", "id": "o2", "status": "final", "subject": {"reference": "Patient/p4"}},
        {
            "resourceType": "List", "id": "42", "status": "current", "mode": "changes",
            "entry": [
                entry("Patient/p1"), entry("Patient/p2", deleted=True), entry("Patient/p3/_history/2", deleted=False),
                entry("http://elsewhere.example/Patient/p4"), {"item": {"display": "nobody"}},
                {"item": {"reference": "Patient/none"}}, entry("Observation/o2"),
            ],
        },
        {"resourceType": "List", "id": "43", "status": "current", "mode": "working", "entry": [entry("Patient/p4")]},
        {"resourceType": "List", "id": "empty", "status": "current", "mode": "working"},
    )  # fmt: skip
    return world


@pytest.mark.parametrize(
    ("resource_type", "value", "found"),
    [
        ("Patient", "42", ["p3", "p1"]),
        ("Patient", "List/42", ["p3", "p1"]),
        ("Patient", "42,43", ["p4", "p3", "p1"]),
        ("Patient", "43", ["p4"]),
        ("Patient", "empty", []),
        ("Patient", "unknown", []),
        ("Observation", "42", ["o2"]),
    ],
)
def test_members(ward: World, resource_type: str, value: str, found: list[str]) -> None:
    page = ward.page(resource_type, ("_list", value), ("_total", "accurate"), strict=True)
    assert [m.id for m in page.matches] == found
    assert page.total == len(found)


def test_a_list_goes_with_other_criteria_and_at_the_end_of_a_chain(ward: World) -> None:
    assert ward.ids("Patient", ("_list", "42"), ("_id", "p1,p2"), strict=True) == ["p1"]
    assert ward.ids("Observation", ("patient._list", "42"), strict=True) == ["p1"]
    assert ward.ids("Observation", ("patient._list", "43"), strict=True) == ["o2"]


def test_a_deleted_list_has_no_members(ward: World) -> None:
    ward.delete("List", "42")
    assert ward.ids("Patient", ("_list", "42")) == []


def test_the_list_needs_a_grant(ward: World) -> None:
    with pytest.raises(Forbidden, match="List"):
        ward.ids("Patient", ("_list", "42"), caller=ward.caller((Grant("Patient", READ),)))
    limited = ward.caller((Grant("Patient", READ), Grant("List", READ, (("_id", "43"),))))
    assert ward.ids("Patient", ("_list", "42,43"), caller=limited) == ["p4"]


def test_functional_lists_are_refused_with_a_reason(ward: World) -> None:
    (issue,) = ward.page("Patient", ("_list", "$current-problems")).issues
    assert "functional lists" in issue.diagnostics
    assert issue.code == "not-supported"
    for value in ("Patient/42", "a b", "x" * 65):
        with pytest.raises(InvalidSearch, match="id of a List"):
            ward.page("Patient", ("_list", value))
