"""Order and pages: every match once, whatever the sort keys, the page size and what others write meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.search.errors import InvalidSearch
from fhir_server.search.searchset import SearchPage
from tests.search.world import World

PATIENTS = st.fixed_dictionaries(
    {},
    optional={
        "birthDate": st.sampled_from(["1970", "1980-05", "1980-05-05", "1990-01-01"]),
        "family": st.sampled_from(["Abel", "abel", "Bloch", "Curie"]),
        "given": st.lists(st.sampled_from(["Ann", "Zoe", "Kim"]), min_size=1, max_size=2, unique=True),
        "lastUpdated": st.sampled_from(["2020-01-01T00:00:00+00:00", "2021-01-01T00:00:00+00:00"]),
    },
)
SORTS = st.lists(
    st.sampled_from(["birthdate", "family", "given", "_lastUpdated", "_id"]), max_size=3, unique=True
).flatmap(lambda names: st.tuples(*[st.sampled_from([name, f"-{name}"]) for name in names]))


def patient(number: int, facts: dict[str, Any]) -> dict[str, Any]:
    name = {key: facts[key] for key in ("family", "given") if key in facts}
    updated = facts.get("lastUpdated", "2022-01-01T00:00:00+00:00")
    made = {
        "resourceType": "Patient",
        "id": f"p{number}",
        "meta": {"lastUpdated": updated},
        "name": [name] if name else [],
    }
    return made | ({"birthDate": facts["birthDate"]} if "birthDate" in facts else {})


STARTS = {"1970": "1970-01-01", "1980-05": "1980-05-01", "1980-05-05": "1980-05-05", "1990-01-01": "1990-01-01"}


def sort_value(resource: dict[str, Any], key: str, descending: bool) -> str | None:
    extreme: Callable[..., str] = max if descending else min
    name = resource["name"][0] if resource["name"] else {}
    match key:
        case "birthdate":
            return STARTS[resource["birthDate"]] if "birthDate" in resource else None
        case "family":
            return name["family"].lower() if "family" in name else None
        case "given":
            return extreme(given.lower() for given in name["given"]) if "given" in name else None
        case "_id":
            return str(resource["id"])
        case _:
            return str(resource["meta"]["lastUpdated"])


def expected(resources: list[dict[str, Any]], sort: tuple[str, ...]) -> list[str]:
    """Sort from the last key to the first, which is stable, those without a value to the end each time."""
    newest_first = sort[-1].startswith("-") if sort else True
    ordered = list(reversed(resources)) if newest_first else list(resources)
    for text in reversed(sort):
        key, descending = text.removeprefix("-"), text.startswith("-")
        having = [r for r in ordered if sort_value(r, key, descending) is not None]
        groups: dict[str, list[dict[str, Any]]] = {}
        for resource in having:
            groups.setdefault(str(sort_value(resource, key, descending)), []).append(resource)
        lacking = [r for r in ordered if sort_value(r, key, descending) is None]
        ordered = [r for value in sorted(groups, reverse=descending) for r in groups[value]] + lacking
    return [r["id"] for r in ordered]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.lists(PATIENTS, max_size=8), sort=SORTS, count=st.integers(1, 4))
def test_every_match_comes_once_and_in_order(
    dsn: str, facts: list[dict[str, Any]], sort: tuple[str, ...], count: int
) -> None:
    world = World(dsn)
    resources = [patient(number, fact) for number, fact in enumerate(facts)]
    world.put(*resources)
    parameters = [("_count", str(count)), *([("_sort", ",".join(sort))] if sort else [])]
    assert world.walk("Patient", *parameters) == expected(resources, sort)


@pytest.mark.parametrize("sort", [None, "-birthdate", "family,-birthdate", "_lastUpdated", "-_id"])
def test_writes_between_pages_neither_repeat_nor_hide(world: World, sort: str | None) -> None:
    births = ["1980", "1980", "1990-02-02", None, "1970", None, "1980-06", "1990"]
    for number, birth in enumerate(births):
        world.put({"resourceType": "Patient", "id": f"s{number}", **({"birthDate": birth} if birth else {})})
    parameters = [("_count", "2"), *([("_sort", sort)] if sort else [])]
    found: list[str] = []
    cursor: str | None = None
    for turn in range(100):
        page = world.page("Patient", *parameters, *([("_cursor", cursor)] if cursor else []))
        found += [match.id for match in page.matches]
        cursor = page.next_cursor
        if cursor is None:
            break
        world.put({"resourceType": "Patient", "id": f"n{turn}", "birthDate": "1985", "name": [{"family": "Aa"}]})
        world.delete("Patient", f"n{turn}") if turn % 2 else None
    assert len(found) == len(set(found))
    assert {f"s{number}" for number in range(len(births))} <= set(found)


def test_writes_between_pages_backwards_neither_repeat_nor_hide(world: World) -> None:
    for number in range(6):
        world.put({"resourceType": "Patient", "id": f"s{number}", "birthDate": f"{1980 - number}"})
    parameters = [("_count", "2"), ("_sort", "-birthdate")]
    page = world.page("Patient", *parameters)
    while page.next_cursor is not None:
        page = world.page("Patient", *parameters, ("_cursor", page.next_cursor))
    world.put({"resourceType": "Patient", "id": "new", "birthDate": "1977-06"})
    world.delete("Patient", "s1")
    found = [match.id for match in page.matches]
    while page.previous_cursor is not None:
        page = world.page("Patient", *parameters, ("_cursor", page.previous_cursor))
        found = [*[match.id for match in page.matches], *found]
    assert found == ["s0", "s2", "new", "s3", "s4", "s5"]


def test_a_page_that_has_become_empty_leads_back(world: World) -> None:
    for number in range(4):
        world.put({"resourceType": "Patient", "id": f"p{number}"})

    def turned(cursor: str | None) -> SearchPage:
        assert cursor is not None
        return world.page("Patient", ("_count", "2"), ("_cursor", cursor))

    start = world.page("Patient", ("_count", "2"))
    end = turned(start.next_cursor)
    for id_ in ("p3", "p0", "p1"):
        world.delete("Patient", id_)
    empty = turned(start.next_cursor)
    assert (empty.matches, empty.next_cursor) == ([], None)
    back = turned(empty.previous_cursor)
    assert ([match.id for match in back.matches], back.previous_cursor) == (["p2"], None)
    world.delete("Patient", "p2")
    world.put({"resourceType": "Patient", "id": "late"})
    world.delete("Patient", "late")
    empty = turned(end.previous_cursor)
    assert (empty.matches, empty.previous_cursor) == ([], None)
    assert turned(empty.next_cursor).matches == []


@pytest.mark.parametrize(
    ("sort", "wanted"), [("location-period", ["c", "a", "b", "d"]), ("-location-period", ["b", "a", "c", "d"])]
)
def test_of_several_values_the_first_in_the_order_counts(world: World, sort: str, wanted: list[str]) -> None:
    periods = {
        "a": [{"start": "2020", "end": "2021"}, {"start": "2020", "end": "2022"}, {"start": "2020"}],
        "b": [{"start": "2021"}, {"start": "2023"}, {"start": "2023", "end": "2024"}],
        "c": [{"start": "2019"}],
        "d": [],
    }
    for id_, spans in periods.items():
        world.put({"resourceType": "Encounter", "id": id_, "location": [{"period": span} for span in spans]})
    for count in ("1", "2", "10"):
        assert world.walk("Encounter", ("_sort", sort), ("_count", count)) == wanted


def test_numbers_and_quantities_sort_by_value(world: World) -> None:
    for value in (5, 100, -3.5, 20):
        world.put({"resourceType": "Observation", "id": f"v{value}", "valueQuantity": {"value": value, "unit": "mg"}})
    world.put({"resourceType": "Observation", "id": "none"})
    ascending = ["v-3.5", "v5", "v20", "v100", "none"]
    assert world.walk("Observation", ("_sort", "value-quantity"), ("_count", "2")) == ascending
    descending = ["v100", "v20", "v5", "v-3.5", "none"]
    assert world.walk("Observation", ("_sort", "-value-quantity"), ("_count", "2")) == descending


def cursor_of(world: World, *parameters: tuple[str, str]) -> str:
    cursor = world.page("Patient", *parameters, ("_count", "1")).next_cursor
    assert cursor is not None
    return cursor


def test_a_cursor_serves_only_its_own_query_tenant_and_type(world: World) -> None:
    for number in range(3):
        world.put({"resourceType": "Patient", "id": f"p{number}", "gender": "male"})
    cursor = cursor_of(world, ("gender", "male"))
    assert world.ids("Patient", ("gender", "male"), ("_cursor", cursor)) == ["p1", "p0"]
    assert world.ids("Patient", ("gender", "male"), ("_cursor", cursor), ("_count", "1")) == ["p1"]
    for resource_type, parameters in [
        ("Patient", [("gender", "female")]), ("Patient", []), ("Patient", [("gender", "male"), ("_sort", "_id")]),
        ("Person", [("gender", "male")]), ("Patient", [("gender", "male"), ("active", "true")]),
    ]:  # fmt: skip
        with pytest.raises(InvalidSearch, match="_cursor"):
            world.page(resource_type, *parameters, ("_cursor", cursor))
    with pytest.raises(InvalidSearch, match="_cursor"):
        world.page("Patient", ("gender", "male"), ("_cursor", cursor), caller=world.caller(tenant=world.tenant + 5))


def test_a_forged_cursor_is_refused(world: World) -> None:
    world.put({"resourceType": "Patient", "id": "a"}, {"resourceType": "Patient", "id": "b"})
    cursor = cursor_of(world)
    forged = ["x", "é", "=", "A" * 40, "A" * 10000, cursor[:-2], cursor[1:], f"{cursor}AAAA", cursor.swapcase()]
    forged += [cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1 :] for i in range(0, len(cursor) - 1)]
    for text in forged:
        with pytest.raises(InvalidSearch, match="_cursor"):
            world.page("Patient", ("_cursor", text))
