"""Dates, numbers and quantities: every prefix against a plain reading of the specification, in SQL and in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.search import date as dates
from fhir_server.search import number as numbers
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.match import matches
from tests.search.world import World

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")
Span = tuple[datetime, datetime]
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def date_compares(prefix: str, target: Span, searched: Span) -> bool:
    """Read https://hl7.org/fhir/R4/search.html#prefix word by word; spans exclude their end."""
    (low, high), (start, end) = target, searched

    def contained() -> bool:
        return start <= low and high <= end

    def overlaps_above() -> bool:
        return high > end

    def overlaps_below() -> bool:
        return low < start

    match prefix:
        case "eq":
            return contained()
        case "ne":
            return not contained()
        case "gt":
            return overlaps_above()
        case "lt":
            return overlaps_below()
        case "ge":
            return overlaps_above() or contained()
        case "le":
            return overlaps_below() or contained()
        case "sa":
            return low >= end
        case _:
            return high <= start


def span(text: str) -> Span:
    """Return the span of a date of any precision, UTC."""
    match len(text):
        case 4:
            return datetime(int(text), 1, 1, tzinfo=UTC), datetime(int(text) + 1, 1, 1, tzinfo=UTC)
        case 7:
            year, month = int(text[:4]), int(text[5:])
            return datetime(year, month, 1, tzinfo=UTC), datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        case 10:
            start = datetime.fromisoformat(text).replace(tzinfo=UTC)
            return start, start + timedelta(days=1)
        case _:
            start = datetime.fromisoformat(text)
            return start, start + timedelta(seconds=1)


def period(value: dict[str, str]) -> Span:
    return span(value["start"])[0] if "start" in value else FIRST, span(value["end"])[1] if "end" in value else LAST


TARGETS: list[Any] = [
    "2019", "2020", "2020-02", "2020-02-28", "2020-02-29", "2020-03-01", "2020-03-01T00:00:00Z",
    "2020-02-29T23:59:59Z", "2020-03-01T01:30:00+02:00", "2021-12",
    {"start": "2020-02-28", "end": "2020-03-02"}, {"start": "2020-03"}, {"end": "2020-02"},
    {"start": "2018", "end": "2022"}, {"start": "2020-02-29T10:00:00Z", "end": "2020-02-29T11:00:00Z"},
]  # fmt: skip
SEARCHED = ("2020", "2020-02", "2020-02-29", "2020-03-01", "2020-02-29T23:30:00Z", "2020-02-29T10:00:00Z", "2021-12")


def dated(id_: str, value: Any) -> dict[str, Any]:
    name = "effectiveDateTime" if isinstance(value, str) else "effectivePeriod"
    return {"resourceType": "Observation", "id": id_, name: value}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_dates_compare_as_the_specification_says(world: World, prefix: str) -> None:
    resources = [dated(f"t{n}", value) for n, value in enumerate(TARGETS)]
    world.put(*resources)
    for text in SEARCHED:
        wanted = {
            f"t{n}"
            for n, value in enumerate(TARGETS)
            if date_compares(prefix, span(value) if isinstance(value, str) else period(value), span(text))
        }
        assert set(world.ids("Observation", ("date", prefix + text))) == wanted, (prefix, text)
        in_memory = {r["id"] for r in resources if matches("Observation", r, [("date", prefix + text)], 1)}
        assert in_memory == wanted, (prefix, text)


def test_a_date_without_prefix_means_equal(world: World) -> None:
    world.put(dated("in", "2020-02-29"), dated("out", "2020-03-01"))
    assert world.ids("Observation", ("date", "2020-02")) == ["in"]
    assert world.ids("Observation", ("date", "2020-02,2020-03-01")) == ["out", "in"]


def test_approximate_dates_allow_a_tenth_of_the_distance_from_now(world: World) -> None:
    now = datetime.now(UTC)
    for days in (80, 95, 105, 130):
        world.put(dated(f"d{days}", (now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")))
    searched = (now - timedelta(days=100)).strftime("ap%Y-%m-%dT%H:%M:%SZ")
    assert set(world.ids("Observation", ("date", searched))) == {"d95", "d105"}


def test_a_timing_counts_by_its_outer_limits(world: World) -> None:
    timing = {"event": ["2020-01-05", "2020-03-05T10:00:00Z"]}
    bounded = {"repeat": {"boundsPeriod": {"start": "2021-01-01", "end": "2021-02-01"}}}
    world.put(
        {"resourceType": "ServiceRequest", "id": "events", "occurrenceTiming": timing},
        {"resourceType": "ServiceRequest", "id": "bounds", "occurrenceTiming": bounded},
        {"resourceType": "ServiceRequest", "id": "neither", "occurrenceTiming": {"repeat": {"count": 2}}},
    )
    assert world.ids("ServiceRequest", ("occurrence", "2020")) == ["events"]
    assert world.ids("ServiceRequest", ("occurrence", "ap2020-02-01")) == ["events"]
    assert world.ids("ServiceRequest", ("occurrence", "sa2020-12")) == ["bounds"]
    assert world.ids("ServiceRequest", ("occurrence:missing", "true")) == ["neither"]


INSTANTS = st.integers(-(10**15), 10**15)


@given(st.tuples(INSTANTS, INSTANTS), st.tuples(INSTANTS, INSTANTS))
def test_date_prefixes_hold_together(target: tuple[int, int], searched: tuple[int, int]) -> None:
    low, high = min(target), max(target) + 1
    start, end = min(searched), max(searched) + 1

    def holds(prefix: str) -> bool:
        return bool(dates.COMPARE[prefix](low, high, start, end))

    assert holds("eq") != holds("ne")
    assert holds("ge") == (holds("gt") or holds("eq"))
    assert holds("le") == (holds("lt") or holds("eq"))
    assert not holds("sa") or holds("gt")
    assert not holds("eb") or holds("lt")
    assert holds("ap") == (not holds("sa") and not holds("eb"))
    assert holds("eq") == (start <= low and high <= end)


@pytest.mark.parametrize(
    ("text", "least", "beyond"),
    [("100", "99.5", "100.5"), ("100.00", "99.995", "100.005"), ("1e2", "95", "105"), ("-5.4", "-5.45", "-5.35")],
)
def test_precision_ranges_are_those_of_the_specification(text: str, least: str, beyond: str) -> None:
    assert numbers.searched_range(text) == ("eq", Decimal(least), Decimal(beyond))


DECIMALS = st.decimals(-(10**9), 10**9, places=3)


@given(DECIMALS)
def test_a_number_equals_itself_and_lies_between_its_neighbours(number: Decimal) -> None:
    _, least, beyond = numbers.searched_range(str(number))
    assert least < number < beyond
    assert beyond - least == Decimal("0.001")


def number_compares(prefix: str, low: Decimal, high: Decimal, value: Decimal, half: Decimal) -> bool:
    equal = value - half <= low and high < value + half
    match prefix:
        case "eq":
            return equal
        case "ne":
            return not equal
        case "gt":
            return high > value
        case "lt":
            return low < value
        case "ge":
            return high >= value
        case "le":
            return low <= value
        case "sa":
            return low > value
        case _:
            return high < value


INFINITE = Decimal("Infinity")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_quantities_compare_as_the_specification_says(world: World, prefix: str) -> None:
    plain = ["5.3", "5.35", "5.4", "5.40", "5.44", "5.45", "5.5", "0", "-5.4", "100"]
    resources: list[dict[str, Any]] = []
    ranges: dict[str, tuple[Decimal, Decimal]] = {}
    for text in plain:
        resources.append({"valueQuantity": {"value": float(text)}, "id": f"q{text}"})
        ranges[f"q{text}"] = (Decimal(text), Decimal(text))
    resources.append({"valueQuantity": {"value": 5.4, "comparator": "<"}, "id": "below"})
    ranges["below"] = (-INFINITE, Decimal("5.4"))
    resources.append({"valueQuantity": {"value": 5.4, "comparator": ">="}, "id": "above"})
    ranges["above"] = (Decimal("5.4"), INFINITE)
    resources = [{"resourceType": "Observation", **resource} for resource in resources]
    world.put(*resources)
    for text, half in (("5.4", "0.05"), ("5.40", "0.005"), ("5", "0.5"), ("0", "0.5")):
        wanted = {
            id_
            for id_, (low, high) in ranges.items()
            if number_compares(prefix, low, high, Decimal(text), Decimal(half))
        }
        assert set(world.ids("Observation", ("value-quantity", prefix + text))) == wanted, (prefix, text)
        in_memory = {r["id"] for r in resources if matches("Observation", r, [("value-quantity", prefix + text)], 1)}
        assert in_memory == wanted, (prefix, text)


def test_approximate_numbers_allow_a_tenth(world: World) -> None:
    for value in (89, 90, 100, 110, 111):
        world.put({"resourceType": "Observation", "id": f"v{value}", "valueQuantity": {"value": value}})
    assert set(world.ids("Observation", ("value-quantity", "ap100"))) == {"v90", "v100", "v110"}


def test_numbers_and_ranges(world: World) -> None:
    assessed = {"resourceType": "RiskAssessment"}
    world.put(
        {**assessed, "id": "half", "prediction": [{"probabilityDecimal": 0.5}]},
        {**assessed, "id": "most", "prediction": [{"probabilityDecimal": 0.1}, {"probabilityDecimal": 0.9}]},
    )
    assert world.ids("RiskAssessment", ("probability", "gt0.8")) == ["most"]
    assert world.ids("RiskAssessment", ("probability", "0.5")) == ["half"]
    assert world.ids("RiskAssessment", ("probability", "lt0.3,0.5")) == ["most", "half"]
    onset = {"low": {"value": 30, "code": "a"}, "high": {"value": 40, "code": "a"}}
    world.put({"resourceType": "Condition", "id": "range", "onsetRange": onset})
    assert world.ids("Condition", ("onset-age", "gt35")) == ["range"]
    assert world.ids("Condition", ("onset-age", "sa29")) == ["range"]
    assert world.ids("Condition", ("onset-age", "gt40")) == []
    assert world.ids("Condition", ("onset-age", "4e1||a")) == []


def test_quantities_compare_units(world: World) -> None:
    ucum = "http://unitsofmeasure.org"
    coded = {"value": 5.4, "unit": "milligram", "system": ucum, "code": "mg"}
    world.put(
        {"resourceType": "Observation", "id": "coded", "valueQuantity": coded},
        {"resourceType": "Observation", "id": "display", "valueQuantity": {"value": 5.4, "unit": "mg"}},
        {"resourceType": "Observation", "id": "bare", "valueQuantity": {"value": 5.4}},
        {"resourceType": "Invoice", "id": "money", "totalNet": {"value": 12.5, "currency": "EUR"}},
    )
    assert set(world.ids("Observation", ("value-quantity", "5.4"))) == {"coded", "display", "bare"}
    assert world.ids("Observation", ("value-quantity", f"5.4|{ucum}|mg")) == ["coded"]
    assert set(world.ids("Observation", ("value-quantity", "5.4||mg"))) == {"coded", "display"}
    assert world.ids("Observation", ("value-quantity", "5.4||milligram")) == ["coded"]
    assert world.ids("Observation", ("value-quantity", "gt5.4||mg")) == []
    assert world.ids("Invoice", ("totalnet", "12.5|urn:iso:std:iso:4217|EUR")) == ["money"]
    assert world.ids("Invoice", ("totalnet", "12.5||USD")) == []


@pytest.mark.parametrize(
    ("resource_type", "name", "value"),
    [
        ("Patient", "birthdate", "yesterday"), ("Patient", "birthdate", "xx2020"), ("Patient", "birthdate", "2020-13"),
        ("Patient", "birthdate", "2020-02-30"), ("Patient", "birthdate", "gt"), ("Patient", "_lastUpdated", "never"),
        ("Patient", "birthdate", "2020,garbage"), ("Observation", "value-quantity", "five"),
        ("Observation", "value-quantity", "5.4|mg"), ("Observation", "value-quantity", "5.4|http://x|"),
        ("Observation", "value-quantity", "zz5"), ("Observation", "value-quantity", "NaN"),
        ("Observation", "value-quantity", "1e999"), ("Observation", "value-quantity", "9" * 500),
        ("RiskAssessment", "probability", "Infinity"), ("RiskAssessment", "probability", "1_000"),
        ("RiskAssessment", "probability", "٣"), ("Patient", "birthdate:missing", "perhaps"),
    ],
)  # fmt: skip
def test_bad_values_are_named_in_the_error(world: World, resource_type: str, name: str, value: str) -> None:
    with pytest.raises(InvalidSearch) as refused:
        world.page(resource_type, (name, value))
    (issue,) = refused.value.issues
    assert issue.code == "value"
    assert name in issue.diagnostics
    assert value in issue.diagnostics


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(TARGETS), max_size=3), st.sampled_from(PREFIXES), st.sampled_from(SEARCHED))
def test_several_dates_match_when_one_does(targets: list[Any], prefix: str, text: str) -> None:
    periods = [{"start": t, "end": t} if isinstance(t, str) and len(t) == 10 else t for t in targets]
    periods = [p for p in periods if isinstance(p, dict)]
    resource = {"resourceType": "Patient", "id": "p", "address": [{"period": p} for p in periods]}
    encounter = {"resourceType": "Encounter", "id": "e", "location": [{"period": p} for p in periods]}
    assert not matches("Patient", resource, [("birthdate", prefix + text)], 1)
    wanted = any(date_compares(prefix, period(p), span(text)) for p in periods)
    assert matches("Encounter", encounter, [("location-period", prefix + text)], 1) == wanted
