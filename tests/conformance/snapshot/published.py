"""The StructureDefinitions that HL7 has published with snapshots, and what of a snapshot is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

from conformance.compile_structures import read_exactly
from conformance.packages import read_package
from conformance.snapshot import Snapshot, generate
from conformance.structures import find_definition
from tests.shared import shared

Json = dict[str, Any]

R4 = {"profiles": "R4 profiles", "extensions": "R4 extensions", "type-profiles": "R4 type profiles"}
PACKAGES = {
    "US Core 6.1.0": "us-core/hl7.fhir.us.core-6.1.0.tgz",
    "US Core 3.1.1": "us-core/hl7.fhir.us.core-3.1.1.tgz",
    "PAS 2.0.1": "davinci_pas_2.0.1.tgz",
}
NEEDS = {"PAS 2.0.1": "US Core 3.1.1"}
_AS_THEY_ARE = ("path", "sliceName", "max")


@cache
def published(name: str) -> tuple[Json, ...]:
    """Return the profiles and extensions of a set, each with differential and snapshot."""
    for file, title in R4.items():
        if title == name:
            return tuple(read_exactly(shared("spec", "r4"), f"StructureDefinition-{file}"))
    with shared("spec", PACKAGES[name]).open("rb") as archive:
        found = [d.resource for d in read_package(archive).definitions if d.resource_type == "StructureDefinition"]
    return tuple(resource for resource in found if resource.get("derivation") == "constraint")


def generated(name: str, structure: Json) -> Snapshot:
    """Return the snapshot made of a differential, on the definitions of its set, of what that needs, and of R4."""
    sets = [name, *([NEEDS[name]] if name in NEEDS else [])]
    known = {s["url"]: s for set_ in reversed(sets) for s in published(set_)}

    def find(resource_type: str, canonical: str) -> Json | None:
        return known.get(canonical.partition("|")[0]) or find_definition(resource_type, canonical)

    return generate(structure, find)


def _facts(element: Json) -> Json:
    """Return what an element demands, in a form that says the same in the same way."""
    facts = {name: element.get(name) for name in _AS_THEY_ARE}
    facts["mustSupport"] = element.get("mustSupport", False)
    facts["isModifier"] = element.get("isModifier", False)
    facts["min"] = element.get("min", 0)
    # Publishers name the type of a content reference, or don't.
    facts["contentReference"] = element.get("contentReference", "").partition("#")[2]
    facts["type"] = [
        (t.get("code"), sorted(t.get("profile", ())), sorted(t.get("targetProfile", ())))
        for t in element.get("type", ())
    ]
    values = ("fixed", "pattern", "minValue", "maxValue")
    facts.update({name: value for name, value in element.items() if name.startswith(values)})
    binding = element.get("binding")
    facts["binding"] = binding and (binding["strength"], binding.get("valueSet"))
    slicing = element.get("slicing")
    facts["slicing"] = slicing and (
        [(d["type"], d["path"]) for d in slicing.get("discriminator", ())],
        slicing.get("ordered", False),
        slicing["rules"],
    )
    facts["constraint"] = sorted(rule["key"] for rule in element.get("constraint", ()))
    return facts


def _by_id(structure: Json) -> dict[str, Json]:
    elements = {element["id"]: _facts(element) for element in structure["snapshot"]["element"]}
    for id_, facts in elements.items():
        if id_.endswith("[x]"):
            # A slice that must be there says as much as the least number of the whole; older publishers leave it at that.
            slices = (f for i, f in elements.items() if i.startswith(f"{id_}:") and "." not in i[len(id_) :])
            facts["min"] = max(facts["min"], sum(f["min"] for f in slices))
    return elements


def differences(theirs: Json, ours: Json) -> Counter[str]:
    """Return how many elements are missing or extra and how many differ, by the fact; ``order`` if only that differs."""
    return Counter(_differences(_by_id(theirs), _by_id(ours)))


def _differences(theirs: dict[str, Json], ours: dict[str, Json]) -> Iterator[str]:
    yield from ("missing" for _ in theirs.keys() - ours.keys())
    yield from ("extra" for _ in ours.keys() - theirs.keys())
    for id_ in theirs.keys() & ours.keys():
        facts = theirs[id_].keys() | ours[id_].keys()
        yield from (name for name in facts if theirs[id_].get(name) != ours[id_].get(name))
    if theirs.keys() == ours.keys() and list(theirs) != list(ours):
        yield "order"
