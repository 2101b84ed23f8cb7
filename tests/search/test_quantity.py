"""Quantities whose units differ, on PostgreSQL and in memory."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from conformance.ucum import canonical
from tests.search.test_modifiers import agree
from tests.search.world import World

UCUM = "http://unitsofmeasure.org"
VALUES: tuple[tuple[str, str, str], ...] = (
    ("0.1", "g", ""), ("100", "mg", ""), ("100000", "ug", ""), ("99.6", "mg", ""), ("100.5", "mg", ""), ("0.1", "kg", ""),
    ("5", "g", "<"), ("0.05", "g", ">="), ("37", "Cel", ""), ("98.6", "[degF]", ""), ("310.15", "K", ""), ("-40", "[degF]", ""),
    ("0", "Cel", ""), ("100", "mL", ""), ("7.4", "[pH]", ""),
)  # fmt: skip


def observed(id_: str, value: str, code: str, comparator: str = "", system: str = UCUM) -> dict[str, Any]:
    quantity: dict[str, Any] = {"value": Decimal(value), "unit": code, "system": system, "code": code}
    if comparator:
        quantity["comparator"] = comparator
    return {"resourceType": "Observation", "id": id_, "status": "final", "valueQuantity": quantity}


def compares(prefix: str, low: Any, high: Any, least: Any, value: Any, beyond: Any) -> bool:
    match prefix:
        case "eq":
            return bool(low >= least and high < beyond)
        case "ne":
            return not (low >= least and high < beyond)
        case "gt":
            return bool(high > value)
        case "lt":
            return bool(low < value)
        case "ge":
            return bool(high >= value)
        case "le":
            return bool(low <= value)
        case "sa":
            return bool(low > value)
        case _:
            return bool(high < value)


@pytest.mark.parametrize("prefix", ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])
@pytest.mark.parametrize(
    ("number", "half", "code"),
    [("100", "0.5", "mg"), ("0.1", "0.05", "g"), ("0.10", "0.005", "g"), ("1e-4", "0.00005", "kg"), ("37.0", "0.05", "Cel"),
     ("98.6", "0.05", "[degF]"), ("310", "0.5", "K"), ("0", "0.5", "Cel"), ("-40", "0.5", "Cel"), ("7.4", "0.05", "[pH]")],
)  # fmt: skip
def test_units_are_converted_exactly(world: World, prefix: str, number: str, half: str, code: str) -> None:
    world.put(*(observed(f"q{n}", *value) for n, value in enumerate(VALUES)))
    unit = canonical(code)
    assert unit is not None
    value = Decimal(number)
    half_width = Decimal("0.000005") if "e" in number else Decimal(half)
    limits = [unit.of(v) for v in (value - half_width, value, value + half_width)]
    wanted = set()
    for n, (stored, stored_code, comparator) in enumerate(VALUES):
        known = canonical(stored_code)
        assert known is not None
        if known.unit == unit.unit:
            point = known.of(Decimal(stored))
            low = float("-inf") if comparator == "<" else point
            high = float("inf") if comparator == ">=" else point
            if compares(prefix, low, high, *limits):
                wanted.add(f"q{n}")
    agree(world, "Observation", "value-quantity", f"{prefix}{number}|{UCUM}|{code}", wanted)


def test_approximate_quantities_allow_a_tenth_in_any_unit(world: World) -> None:
    for id_, value, code in (("low", "89", "mg"), ("in", "0.09", "g"), ("top", "110", "mg"), ("high", "0.111", "g")):
        world.put(observed(id_, value, code))
    agree(world, "Observation", "value-quantity", f"ap100|{UCUM}|mg", {"in", "top"})


def test_other_systems_and_codes_are_compared_as_they_stand(world: World) -> None:
    world.put(
        observed("ucum", "5.4", "mg"), observed("own", "5.4", "mg", system="urn:own"), observed("odd", "5.4", "mgs"),
        {"resourceType": "Observation", "id": "display", "status": "final", "valueQuantity": {"value": 5.4, "unit": "mg"}},
    )  # fmt: skip
    agree(world, "Observation", "value-quantity", f"5.4|{UCUM}|mg", {"ucum"})
    agree(world, "Observation", "value-quantity", f"0.0054|{UCUM}|g", {"ucum"})
    agree(world, "Observation", "value-quantity", "5.4|urn:own|mg", {"own"})
    agree(world, "Observation", "value-quantity", f"5.4|{UCUM}|mgs", {"odd"})
    agree(world, "Observation", "value-quantity", "5.4||mg", {"ucum", "own", "display"})
    agree(world, "Observation", "value-quantity", "5.4", {"ucum", "own", "odd", "display"})
    agree(world, "Observation", "value-quantity", "0.0054", set())


def test_units_of_other_tenants_do_not_matter(world: World) -> None:
    world.put(observed("theirs", "1", "g"), tenant=world.tenant + 10**6)
    agree(world, "Observation", "value-quantity", f"1000|{UCUM}|mg", set())
    world.put(observed("ours", "1", "g"))
    agree(world, "Observation", "value-quantity", f"1000|{UCUM}|mg", {"ours"})
