"""Searches on several types at once, https://hl7.org/fhir/R4/http.html#vsearch."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.definitions import resource_types
from fhir_server.auth.caller import Grant
from fhir_server.errors import Forbidden
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.execute import SearchPage
from tests.search.world import World, there_and_back

TYPES = ("Condition", "Observation", "Patient")


def names(page: SearchPage) -> list[str]:
    return [f"{match.resource_type}/{match.id}" for match in page.matches]


def walk(world: World, types: tuple[str, ...], *parameters: tuple[str, str], **options: Any) -> list[str]:
    """Return what all pages hold."""
    pages = there_and_back(lambda cursor: world.together(types, *parameters, *cursor, **options))
    return [name for page in pages for name in names(page)]


@pytest.fixture
def mixed(world: World) -> World:
    """Resources of three types, stored in turn."""
    subject = {"subject": {"reference": "Patient/p0"}}
    for number in range(3):
        tag = {"meta": {"tag": [{"code": f"t{number % 2}"}], "lastUpdated": f"202{number}-01-01T00:00:00+00:00"}}
        date = f"20{10 + number}"
        world.put(
            {"resourceType": "Patient", "id": f"p{number}", "birthDate": date, "gender": "male", **tag},
            {
                "resourceType": "Observation",
                "id": f"o{number}",
                "status": "final",
                "effectiveDateTime": date,
                **tag,
                **subject,
            },
            {"resourceType": "Condition", "id": f"c{number}", "recordedDate": date, **tag, **subject},
        )
    return world


NEWEST_FIRST = [f"{name}/{name[0].lower()}{n}" for n in (2, 1, 0) for name in ("Condition", "Observation", "Patient")]


@pytest.mark.parametrize("count", ["1", "2", "4", "20"])
def test_types_are_interleaved_by_the_order(mixed: World, count: str) -> None:
    assert walk(mixed, TYPES, ("_count", count)) == NEWEST_FIRST
    by_id = sorted(NEWEST_FIRST, key=lambda name: name.rpartition("/")[2])
    assert walk(mixed, TYPES, ("_count", count), ("_sort", "_id")) == by_id
    assert walk(mixed, TYPES, ("_count", count), ("_sort", "-_id")) == by_id[::-1]
    assert walk(mixed, TYPES, ("_count", count), ("_sort", "-_lastUpdated,_id"))[:3] == [
        "Condition/c2", "Observation/o2", "Patient/p2",
    ]  # fmt: skip
    dated = ("Observation", "Procedure")
    assert walk(mixed, dated, ("_sort", "date"), ("_count", count)) == [f"Observation/o{n}" for n in range(3)]
    assert walk(mixed, ("Condition", "Observation"), ("_sort", "subject,-_id"), ("_count", count)) == [
        "Observation/o2", "Observation/o1", "Observation/o0", "Condition/c2", "Condition/c1", "Condition/c0",
    ]  # fmt: skip


@pytest.mark.parametrize("sort", [None, "_tag", "-_tag", "_lastUpdated", "-_lastUpdated"])
def test_equal_places_of_different_types_are_neither_lost_nor_repeated(world: World, sort: str | None) -> None:
    """Keys are unique within a type only: here every type has the same ones."""
    for name in TYPES:
        other = World(world.dsn)
        for number in range(3):
            meta = {"lastUpdated": "2020-01-01T00:00:00+00:00", **({"tag": [{"code": "x"}]} if number else {})}
            other.put({"resourceType": name, "id": f"{name[0].lower()}{number}", "meta": meta}, tenant=world.tenant)
    order = [("_sort", sort)] if sort else []
    once = walk(world, TYPES, ("_count", "20"), *order)
    assert len(set(once)) == len(once) == 9
    for count in ("1", "2", "5"):
        assert walk(world, TYPES, ("_count", count), *order) == once, (sort, count)


def test_only_parameters_that_all_types_have(mixed: World) -> None:
    assert set(walk(mixed, TYPES, ("_tag", "t1"))) == {"Condition/c1", "Observation/o1", "Patient/p1"}
    assert walk(mixed, ("Condition", "Observation"), ("subject", "Patient/p0"), ("_count", "4")) == [
        name for name in NEWEST_FIRST if not name.startswith("Patient")
    ]
    page = mixed.together(TYPES, ("_tag", "t1"), ("gender", "male"))
    assert [(issue.severity, issue.code) for issue in page.issues] == [("warning", "not-supported")]
    assert "gender" in page.issues[0].diagnostics
    assert (page.used, len(page.matches)) == ([("_tag", "t1")], 3)
    with pytest.raises(InvalidSearch, match="gender"):
        mixed.together(TYPES, ("_tag", "t1"), ("gender", "male"), strict=True)
    page = mixed.together(("Patient", "Observation"), ("_sort", "birthdate"))
    assert ("birthdate" in page.issues[0].diagnostics, page.used, len(page.matches)) == (True, [], 6)


def test_totals_and_counts(mixed: World) -> None:
    page = mixed.together(TYPES, ("_total", "accurate"), ("_count", "2"))
    assert (page.total, len(page.matches)) == (9, 2)
    page = mixed.together(TYPES, ("_summary", "count"), ("_tag", "t0"))
    assert (page.total, page.matches, page.next_cursor) == (6, [], None)
    assert mixed.together(TYPES, ("_count", "0")).total == 9
    assert mixed.together(("Account", "Appointment"), ("_total", "accurate")).total == 0


def test_includes_follow_the_matches_of_each_type(mixed: World) -> None:
    page = mixed.together(("Condition", "Observation"), ("_id", "o1,c2"), ("_include", "Observation:subject"))
    assert [match.id for match in page.included] == ["p0"]
    page = mixed.together(("Condition", "Observation"), ("_id", "c2"), ("_include", "Observation:subject"))
    assert (page.included, page.issues) == ([], [])
    page = mixed.together(("Condition", "Observation"), ("_include", "Patient:organization"))
    assert "no effect" in page.issues[0].diagnostics


def test_all_types(mixed: World) -> None:
    everything = tuple(resource_types())
    assert walk(mixed, everything, ("_count", "4")) == NEWEST_FIRST
    assert walk(mixed, everything, ("_tag", "t1"), ("_count", "2")) == NEWEST_FIRST[3:6]
    assert walk(World(mixed.dsn), everything) == []


def test_grants_hold_for_each_type(mixed: World) -> None:
    some = mixed.caller((Grant("Patient", criteria=(("_id", "p1"),)), Grant("Condition")))
    found = walk(mixed, TYPES, ("_count", "2"), caller=some)
    assert found == [name for name in NEWEST_FIRST if name.startswith("Condition") or name == "Patient/p1"]
    with pytest.raises(Forbidden):
        mixed.together(("Observation", "Encounter"), caller=some)
    assert names(mixed.together(tuple(resource_types()), caller=some)) == found


def test_a_cursor_serves_only_the_same_types_and_query(mixed: World) -> None:
    cursor = mixed.together(TYPES, ("_count", "2")).next_cursor or ""
    assert names(mixed.together(TYPES, ("_count", "2"), ("_cursor", cursor))) == NEWEST_FIRST[2:4]
    refused = [
        (("Condition", "Patient"), []), (TYPES, [("_tag", "t0")]), (TYPES, [("_sort", "_id")]),
    ]  # fmt: skip
    for types, parameters in refused:
        with pytest.raises(InvalidSearch, match="_cursor"):
            mixed.together(types, *parameters, ("_cursor", cursor))
    with pytest.raises(InvalidSearch, match="_cursor"):
        mixed.page("Patient", ("_cursor", cursor))
    other = mixed.caller(tenant=mixed.tenant + 5)
    with pytest.raises(InvalidSearch, match="_cursor"):
        mixed.together(TYPES, ("_cursor", cursor), caller=other)
    # Grants are applied anew on every page.
    less = mixed.caller((Grant("Patient"),))
    assert set(names(mixed.together(TYPES, ("_cursor", cursor), caller=less))) == {
        "Patient/p0",
        "Patient/p1",
        "Patient/p2",
    }
