"""Two ends of a date, https://hl7.org/fhir/R4/search.html#date: read together where a resource has one value only."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from fhir_server.auth.caller import Caller
from fhir_server.search.date import Kept, kept
from fhir_server.search.execute import search
from fhir_server.search.registry import standard
from tests.search.noting import Noting
from tests.search.test_ranges import date_compares, period, span
from tests.search.world import EVERYTHING, KEY, World

DATES = ("1988", "1989-12-31", "1990", "1990-01", "1990-01-01", "1990-06-15", "1990-12-31", "1991-01-01", "1992-02")
ENDS = ("1989", "1990", "1990-01", "1990-06-15", "1991-01-01")
PERIODS = (
    {"start": "1980", "end": "2001"},
    {"start": "1990-01-02", "end": "1990-01-03"},
    {"start": "1989-12"},
    {"end": "1990-06"},
    {"start": "1985-01-01", "end": "1990-06-15"},
)


@pytest.mark.parametrize(
    ("resource_type", "code", "known"),
    [
        ("Patient", "birthdate", Kept(short=True, single=True)),
        ("Patient", "death-date", Kept(short=True, single=True)),
        ("Appointment", "date", Kept(short=True, single=True)),
        ("Goal", "target-date", Kept(short=True, single=False)),
        ("Immunization", "reaction-date", Kept(short=True, single=False)),
        ("Encounter", "date", Kept(short=False, single=True)),
        ("Observation", "date", Kept(short=False, single=True)),
        ("CarePlan", "activity-date", Kept(short=False, single=False)),
        ("Condition", "onset-date", Kept(short=False, single=False)),
    ],
)
def test_what_elements_tell_of_dates(resource_type: str, code: str, known: Kept) -> None:
    assert kept(standard().of(resource_type)[code]) == known


@pytest.mark.parametrize("prefixes", list(product(("ge", "gt", "sa", "ap", "ne"), ("le", "lt", "eb", "eq"))))
def test_both_ends_hold_for_the_date(world: World, prefixes: tuple[str, str]) -> None:
    for number, text in enumerate(DATES):
        world.put({"resourceType": "Patient", "id": f"p{number}", "birthDate": text})
    for number, within in enumerate(PERIODS):
        world.put({"resourceType": "Encounter", "id": f"e{number}", "period": within})
    chosen = Random(str(prefixes))
    for first, second in chosen.sample(list(product(ENDS, ENDS)), 6):
        asked = prefixes[0] + first, prefixes[1] + second
        for resource_type, code in (("Patient", "birthdate"), ("Encounter", "date")):
            both = set(world.ids(resource_type, (code, asked[0]), (code, asked[1])))
            each = [set(world.ids(resource_type, (code, text))) for text in asked]
            assert both == each[0] & each[1], asked


@pytest.mark.parametrize("prefix", ["eq", "gt", "lt", "ge", "le", "sa", "eb"])
def test_long_and_open_periods_compare_as_the_specification_says(world: World, prefix: str) -> None:
    for number, within in enumerate(PERIODS):
        world.put({"resourceType": "Encounter", "id": f"e{number}", "period": within})
    for text in ENDS:
        expected = {f"e{n}" for n, within in enumerate(PERIODS) if date_compares(prefix, period(within), span(text))}
        assert set(world.ids("Encounter", ("date", prefix + text))) == expected, text


def test_several_values_may_fulfil_one_end_each(world: World) -> None:
    dues = {"apart": ("1980-01-01", "2020-01-01"), "early": ("1980-01-01",), "between": ("2000-01-01",)}
    for id_, dates in dues.items():
        world.put({"resourceType": "Goal", "id": id_, "target": [{"dueDate": date} for date in dates]})
    between = ("target-date", "ge1990"), ("target-date", "lt2010")
    assert set(world.ids("Goal", *between)) == {"apart", "between"}
    outside = ("target-date", "lt1990"), ("target-date", "gt2010")
    assert set(world.ids("Goal", *outside)) == {"apart"}


def test_ends_of_different_parameters_stay_apart(world: World) -> None:
    world.put({"resourceType": "Patient", "id": "p", "birthDate": "1950-01-01", "deceasedDateTime": "1995-05-05"})
    asked = ("birthdate", "ge1940"), ("death-date", "ge1990"), ("birthdate", "lt1960"), ("death-date", "lt2000")
    assert world.ids("Patient", *asked) == ["p"]
    assert world.ids("Patient", *asked[:3], ("death-date", "lt1990")) == []


def test_alternatives_are_left_as_they_are(world: World) -> None:
    for id_, date in {"a": "1950-01-01", "b": "1970-01-01", "c": "1990-01-01"}.items():
        world.put({"resourceType": "Patient", "id": id_, "birthDate": date})
    assert set(world.ids("Patient", ("birthdate", "lt1960,gt1980"), ("birthdate", "lt1995"))) == {"a", "c"}
    assert set(world.ids("Patient", ("birthdate", "lt1960,gt1980"), ("birthdate", "gt1955"))) == {"c"}


@pytest.mark.parametrize(
    ("resource_type", "code", "readings"), [("Patient", "birthdate", 1), ("Encounter", "date", 1), ("Goal", "target-date", 2)]
)  # fmt: skip
def test_both_ends_of_one_date_are_read_at_once(world: World, resource_type: str, code: str, readings: int) -> None:
    noting = Noting()
    asked = [(code, "ge1990"), (code, "lt1991")]
    world.run(search(noting, Caller("tester", 1, EVERYTHING), resource_type, asked, cursor_key=KEY))
    assert noting.texts[0].count("FROM date_index") == readings
