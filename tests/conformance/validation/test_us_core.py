"""US Core 6.1.0: its own examples conform to its profiles, and 200 mutations of them are each caught in their place."""

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

from conformance.definitions import types
from tests.conformance.validation.definitions import us_core, us_core_examples, us_core_validator

Json = dict[str, Any]

VIOLATIONS = {
    # The fullUrl of an entry has to end in the id of its resource; these don't.
    "Bundle-66c8856b-ba11-4876-8aa8-467aad8c11a2.json": [("Bundle.entry[2].fullUrl", "bdl-fullurl")],
    "Bundle-docref-example-2.json": [("Bundle.entry[2].fullUrl", "bdl-fullurl")],
}
OF_EACH_KIND = 50


class Mutation(NamedTuple):
    """A resource with one fault, and where it is."""

    kind: str
    name: str
    resource: Json
    expression: str


def test_examples_conform_to_the_profiles_they_claim() -> None:
    examples = us_core_examples()
    found = {}
    for name, resource in examples.items():
        issues = us_core_validator().validate(resource)
        errors = [(i.expression, i.diagnostics.rpartition("(")[2].rstrip(")")) for i in issues if i.severity == "error"]
        if errors:
            found[name] = errors
    assert len(examples) == 183
    assert found == VIOLATIONS


def profiled() -> Iterator[tuple[str, Json, list[Json]]]:
    """Yield US Core's examples with the elements of the US Core profile that each claims."""
    structures = {r["url"]: r for r in us_core().values() if r.get("resourceType") == "StructureDefinition"}
    for name, resource in sorted(us_core_examples().items()):
        for canonical in resource.get("meta", {}).get("profile", ()):
            structure = structures.get(canonical.partition("|")[0])
            if structure is not None and structure["type"] == resource["resourceType"]:
                yield name, resource, structure["snapshot"]["element"]


def mutate(name: str, resource: Json, elements: list[Json]) -> Iterator[Mutation]:
    kind = resource["resourceType"]
    for element in elements:
        _, _, child = element["path"].partition(".")
        if not child or "." in child or child not in resource:
            continue
        where = f"{kind}.{child}"
        first = f"{where}[0]" if types()[kind].elements[child].is_list else where
        if element["min"] and "sliceName" not in element:
            yield Mutation("removed", name, {k: v for k, v in resource.items() if k != child}, where)
        if "sliceName" in element and element["min"] and child == "category":
            wrong = {"coding": [{"system": "http://test.example/codes", "code": "wrong"}]}
            yield Mutation("slice", name, {**resource, child: [wrong]}, where)
        strength = element.get("binding", {}).get("strength")
        if strength == "required" and isinstance(resource[child], str):
            yield Mutation("code", name, {**resource, child: "no-such-code"}, where)
        if any(t["code"] == "Reference" and t.get("targetProfile") for t in element.get("type", ())):
            basic = {"reference": "Basic/1"}
            changed = [basic] if isinstance(resource[child], list) else basic
            yield Mutation("reference", name, {**resource, child: changed}, first)


@cache
def mutations() -> list[Mutation]:
    """Return 50 mutations of each kind, from as many resources as there are."""
    by_kind: dict[str, list[Mutation]] = {"removed": [], "slice": [], "code": [], "reference": []}
    for name, resource, elements in profiled():
        for mutation in mutate(name, copy.deepcopy(resource), elements):
            by_kind[mutation.kind].append(mutation)
    out: list[Mutation] = []
    for found in by_kind.values():
        step = len(found) / OF_EACH_KIND
        assert step >= 1
        out += [found[int(i * step)] for i in range(OF_EACH_KIND)]
    return out


@pytest.mark.parametrize("index", range(4 * OF_EACH_KIND))
def test_a_mutation_is_caught_in_its_place(index: int) -> None:
    mutation = mutations()[index]
    issues = us_core_validator().validate(mutation.resource)
    assert mutation.expression in [i.expression for i in issues if i.severity == "error"], mutation
