"""Indexing real resources, and the agreement of the two ways to evaluate a query."""

from __future__ import annotations

import gzip
import random
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from conformance.definitions import resource_types
from fhir_server.search.index import index, values_of
from fhir_server.search.match import matches
from fhir_server.search.registry import described_parameters, standard
from fhir_server.store.hashing import salt, value_hash
from tests.conformance.corpus import official_examples
from tests.search.world import World
from tests.shared import shared

Resource = dict[str, Any]
# Positions and variants are pairs of numbers, not ranges.
PAIRED = ("Location", "MolecularSequence")


def examples() -> Iterator[Resource]:
    decode = msgspec.json.Decoder(float_hook=Decimal).decode
    for path in sorted(shared("synthea", "fhir.test.data.r4").glob("*.ndjson.gz")):
        with gzip.open(path) as lines:
            yield from (decode(line) for _, line in zip(range(12), lines, strict=False))


def test_every_expression_compiles_and_runs_on_every_type() -> None:
    for resource_type in resource_types():
        entries = index(resource_type, {"resourceType": resource_type, "id": "x"}, 1)
        assert not entries.strings
        assert all(list(values_of(p, {"resourceType": resource_type})) is not None
                   for p in standard().of(resource_type).values() if p.indexed)  # fmt: skip


def test_the_numbers_of_parameters_do_not_collide() -> None:
    numbers: dict[int, str] = {}
    for resource_type in resource_types():
        for parameter in standard().of(resource_type).values():
            assert numbers.setdefault(parameter.id, f"{resource_type}.{parameter.code}").endswith(parameter.code)


def test_official_examples_are_indexed() -> None:
    counts: dict[str, int] = defaultdict(int)
    decode = msgspec.json.Decoder(float_hook=Decimal).decode
    for resource in map(decode, official_examples().values()):
        entries = index(resource["resourceType"], resource, 1)
        assert len(entries.tokens) == len(set(entries.tokens))
        assert all(-(2**63) <= token < 2**63 for token in entries.tokens)
        assert all(len(e.value) <= 200 and e.value for e in entries.strings)
        assert all(e.low < e.high for e in entries.dates)
        if resource["resourceType"] not in PAIRED:
            assert all(e.low <= e.value <= e.high for e in entries.numbers)
        counts[resource["resourceType"]] += 1
    assert sum(counts.values()) >= 700


def test_a_token_can_be_made_from_a_reference_hash() -> None:
    observation = {"resourceType": "Observation", "subject": {"reference": "Patient/1"}}
    entries = index("Observation", observation, 3)
    assert salt(3, "Observation", "subject") ^ value_hash("Patient/1") in entries.tokens
    assert salt(4, "Observation", "subject") ^ value_hash("Patient/1") not in entries.tokens


ODD: list[Resource] = [
    {"resourceType": "Patient", "birthDate": "0000-00-00", "gender": "\ud800", "name": [{"family": "a\x00b\ud800"}]},
    {
        "resourceType": "Observation",
        "effectivePeriod": {"start": "2020", "end": "2010"},
        "valueQuantity": {"unit": "mg"},
    },
    {"resourceType": "Observation", "valueQuantity": {"value": Decimal("1E+5000")}, "subject": {}},
    {
        "resourceType": "Patient",
        "name": [{"given": [None, "B"], "_given": [{"extension": []}, None]}],
        "identifier": [{}],
    },
    {"resourceType": "Observation", "code": {"coding": [{}, {"display": "x"}]}, "effectiveTiming": {"event": [None]}},
    {"resourceType": "Patient", "deceasedBoolean": None, "telecom": [{"system": "phone"}], "extension": [{"url": "u"}]},
]


@pytest.mark.parametrize("resource", ODD)
def test_odd_values_are_left_out_without_an_error(resource: Resource) -> None:
    entries = index(resource["resourceType"], resource, 1)
    assert all("\x00" not in e.value and e.value.isprintable() for e in entries.strings)
    assert all(abs(e.value) < Decimal("1e400") for e in entries.numbers)
    assert all(e.low < e.high for e in entries.dates)


def queries(resource: Resource, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Yield searches made of what a resource holds, some of which it fulfils and some of which it doesn't."""
    for code, parameter in standard().of(resource["resourceType"]).items():
        if not parameter.indexed:
            continue
        for fhir_type, value in list(values_of(parameter, resource))[:2]:
            yield from ((code + suffix, text) for suffix, text in _searches(parameter.type, fhir_type, value, chance))
        yield f"{code}:missing", chance.choice(["true", "false"])


def _searches(kind: str, fhir_type: str, value: Any, chance: random.Random) -> Iterator[tuple[str, str]]:
    prefix = chance.choice(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
    match kind, value:
        case "token", {"coding": [{"code": str(code), **rest}, *_]}:
            yield "", code
            yield chance.choice(["", ":not"]), f"{rest.get('system', '')}|{code}"
        case "token", {"value": str(text)}:
            yield "", text.replace("\\", "\\\\").replace("|", "\\|").replace(",", "\\,")
        case "token", bool(flag):
            yield "", str(flag).lower()
        case "reference", {"reference": str(text)}:
            yield "", text
            yield "", text.rpartition("/")[2]
        case "string", {"family": str(text)} | {"text": str(text)} | {"city": str(text)}:
            yield "", text[: chance.randint(1, 4)]
            yield ":exact", text.replace(",", "\\,")
        case "string", str(text):
            yield "", text[: chance.randint(1, 5)].replace(",", "\\,")
        case "date", str(text):
            yield "", prefix + text[: chance.choice([4, 7, 10])]
        case "date", {"start": str(text)}:
            yield "", prefix + text
        case "quantity", {"value": number} if fhir_type == "Quantity":
            yield "", f"{prefix}{number}"


def test_sql_and_memory_agree_on_real_resources(world: World) -> None:
    resources = list(examples())
    for number, resource in enumerate(resources):
        resource["id"] = f"r{number}"
        resource["meta"] = {k: v for k, v in resource.get("meta", {}).items() if k != "versionId"}
    world.put(*resources)
    chance = random.Random(20)
    tried = found = 0
    for resource in chance.sample(resources, 40):
        same_type = [r for r in resources if r["resourceType"] == resource["resourceType"]]
        for name, value in chance.sample(pool := list(queries(resource, chance)), min(8, len(pool))):
            in_memory = {r["id"] for r in same_type if matches(r["resourceType"], r, [(name, value)], 1)}
            on_disk = set(world.ids(resource["resourceType"], (name, value), ("_count", "1000")))
            assert on_disk == in_memory, (resource["resourceType"], name, value)
            tried, found = tried + 1, found + bool(on_disk)
    assert tried >= 200
    assert found >= tried // 2


def test_described_parameters_are_those_that_work() -> None:
    of_type = described_parameters(standard())
    described = {p.code: p for p in of_type["Observation"]}
    assert {"code", "_id", "_lastUpdated", "value-quantity", "patient", "code-value-quantity"} <= described.keys()
    assert {"_text", "_content"} <= described.keys()
    assert "_filter" not in described
    assert described["patient"].target == ("Patient",)
    assert sum(p.type == "composite" for ps in of_type.values() for p in ps) == 72
    assert "near" in {p.code for p in of_type["Location"]}
