"""Order by parameters without an ordered index: codes, references, URIs, https://hl7.org/fhir/R4/search.html#sort."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.definitions import resource_types
from fhir_server.search.errors import Unsupported
from fhir_server.search.registry import standard
from fhir_server.search.sorting import sort_key
from tests.search.world import World

ORDERED = frozenset(("token", "reference", "uri", "string", "date", "number", "quantity"))
SYSTEM = "http://example.org/codes"


def observation(id_: str, *codes: str, **more: Any) -> dict[str, Any]:
    coding = [{"system": SYSTEM, "code": code} for code in codes]
    return {"resourceType": "Observation", "id": id_, "status": "final", "code": {"coding": coding}, **more}


def assert_order(world: World, resource_type: str, sort: str, wanted: list[str]) -> None:
    for count in ("1", "2", "10"):
        assert world.walk(resource_type, ("_sort", sort), ("_count", count)) == wanted, (sort, count)


def test_codes_sort_by_code_and_by_the_first_of_several(world: World) -> None:
    world.put(observation("a", "m", "c"), observation("b", "b", "z"), observation("c", "M"), observation("d"))
    world.put(observation("e", "b"))
    assert_order(world, "Observation", "code", ["c", "b", "e", "a", "d"])
    assert_order(world, "Observation", "-code", ["b", "a", "e", "c", "d"])


def test_references_and_uris_sort_as_they_are_written(world: World) -> None:
    for id_, subject in (("a", "Patient/2"), ("b", "Group/9"), ("c", "Patient/10"), ("d", None)):
        world.put(observation(id_, "x", **({"subject": {"reference": subject}} if subject else {})))
    assert_order(world, "Observation", "subject", ["b", "c", "a", "d"])
    # Only what the parameter means by its expression counts.
    assert_order(world, "Observation", "patient", ["c", "a", "b", "d"])
    for id_, url in (("a", "http://b"), ("b", "http://a"), ("c", None)):
        world.put({"resourceType": "ValueSet", "id": id_, "status": "active", **({"url": url} if url else {})})
    assert_order(world, "ValueSet", "url", ["b", "a", "c"])
    assert_order(world, "ValueSet", "-url", ["a", "b", "c"])


def test_kinds_of_tokens(world: World) -> None:
    world.put(
        {"resourceType": "Patient", "id": "a", "active": True, "identifier": [{"value": "9"}, {"value": "3"}]},
        {"resourceType": "Patient", "id": "b", "active": False, "identifier": [{"value": "1"}]},
        {"resourceType": "Patient", "id": "c", "telecom": [{"system": "phone", "value": "1"}]},
        {"resourceType": "Patient", "id": "d", "telecom": [{"system": "email", "value": "0"}], "gender": "male"},
    )
    assert_order(world, "Patient", "active", ["b", "a", "c", "d"])
    assert_order(world, "Patient", "identifier", ["b", "a", "c", "d"])
    assert_order(world, "Patient", "phone", ["c", "a", "b", "d"])
    assert_order(world, "Patient", "email", ["d", "a", "b", "c"])
    assert_order(world, "Patient", "-gender", ["d", "c", "b", "a"])
    tags = {"meta": {"tag": [{"code": "q"}]}}
    world.put({"resourceType": "Patient", "id": "e", **tags})
    assert world.walk("Patient", ("_sort", "_tag"))[0] == "e"


def test_several_keys_of_different_kinds(world: World) -> None:
    world.put(
        observation("a", "x", effectiveDateTime="2020", valueQuantity={"value": 3}),
        observation("b", "y", effectiveDateTime="2020", valueQuantity={"value": 2}),
        observation("c", "x", effectiveDateTime="2021", valueQuantity={"value": 1}),
        observation("d", "x"),
        observation("e", effectiveDateTime="2021"),
    )
    assert_order(world, "Observation", "code,-date", ["c", "a", "d", "b", "e"])
    assert_order(world, "Observation", "-date,code,_id", ["c", "e", "a", "b", "d"])
    assert_order(world, "Observation", "-code,value-quantity", ["b", "c", "a", "d", "e"])
    walked = world.walk("Observation", ("_sort", "code"), ("_sort", "-date"), ("_count", "2"))
    assert walked == ["c", "a", "d", "b", "e"], "given twice, keys add up"


def test_quotes_and_percent_signs_in_values_are_only_text(world: World) -> None:
    world.put(observation("a", "x' OR 1=1 --"), observation("b", "%s%%"), observation("c", "\\"))
    assert_order(world, "Observation", "code", ["b", "c", "a"])


def test_most_parameters_can_be_sorted_by() -> None:
    refused = []
    for resource_type in resource_types():
        for code, parameter in standard().of(resource_type).items():
            if parameter.type in ("token", "reference", "uri") and parameter.indexed:
                try:
                    sort_key(code, resource_type, standard())
                except Unsupported:
                    refused.append(f"{resource_type}.{code}")
    assert sorted(refused) == [
        "Bundle.composition", "Bundle.message", "Patient.deceased", "QuestionnaireResponse.item-subject",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "resource_type", ["Observation", "Patient", "Encounter", "MedicationRequest", "Device", "Task"]
)
def test_what_is_sorted_by_is_sql_that_runs(world: World, resource_type: str) -> None:
    world.put({"resourceType": resource_type, "id": "a"})
    for code, parameter in standard().of(resource_type).items():
        if not parameter.indexed or parameter.type not in ORDERED:
            continue
        page = world.page(resource_type, ("_sort", code))
        assert [match.id for match in page.matches] == ["a"], code
        assert not page.issues or code == "deceased"


def test_many_matches_are_no_longer_sorted_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_server.search.page.MOST_SORTED", 3)
    for number in range(6):
        world.put(observation(f"o{number}", "x", effectiveDateTime=f"20{10 + (number * 5) % 6}"))
    world.put(observation("none", "x"))
    wanted = [f"o{number}" for number in sorted(range(6), key=lambda n: -((n * 5) % 6))]
    sort = ("_sort", "-date")
    page, first = world.counted("Observation", [sort, ("_count", "4")])
    assert [match.id for match in page.matches] == wanted[:4]
    assert first == 2
    again = [sort, ("_count", "4"), ("_cursor", page.next_cursor or "")]
    rest, second = world.counted("Observation", again)
    assert [match.id for match in rest.matches] == [*wanted[4:], "none"]
    assert second == 1
    world.put(observation("lacking", "x"), observation("last", "x"))
    for count in "12345":
        assert world.walk("Observation", sort, ("_count", count)) == [*wanted, "last", "lacking", "none"]
        upwards = world.walk("Observation", ("_sort", "date"), ("_count", count))
        assert upwards == [*reversed(wanted), "none", "lacking", "last"]
