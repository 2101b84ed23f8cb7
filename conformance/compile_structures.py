"""Compile the definitions of FHIR 4.0.1 into the two packs that :mod:`conformance.structures` reads.

Run after the source definitions changed: ``python -m conformance.compile_structures ../shared/spec/r4`` (CC0,
https://hl7.org/fhir/R4/downloads.html). ``structures.pack`` holds every StructureDefinition of a resource, data type,
profile or extension, less what only people read; ``definitions.pack`` holds the SearchParameters, OperationDefinitions
and CompartmentDefinitions in whole. Equal input gives equal bytes.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from conformance.compile_definitions import OUTPUT
from conformance.pack import write_pack

Json = dict[str, Any]

STRUCTURES = ("resources", "types", "type-profiles", "profiles", "extensions")
DEFINITIONS = ("SearchParameter", "OperationDefinition", "CompartmentDefinition")
# What a StructureDefinition says to people, or how it was made: every R4 snapshot is complete, so none is made from these.
_DROPPED = frozenset(
    (
        "text",
        "meta",
        "contact",
        "publisher",
        "description",
        "purpose",
        "copyright",
        "keyword",
        "mapping",
        "differential",
        "jurisdiction",
        "useContext",
        "identifier",
    )
)
_DROPPED_FROM_ELEMENT = frozenset(
    (
        "mapping",
        "requirements",
        "comment",
        "alias",
        "short",
        "definition",
        "example",
        "meaningWhenMissing",
        "isModifierReason",
    )
)
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def read_exactly(folder: Path, name: str) -> Iterator[Json]:
    """Yield the resources of one ``NAME.ndjson.gz`` of the source folder, decimals as they stand."""
    with gzip.open(folder / f"{name}.ndjson.gz", "rb") as lines:
        for line in lines:
            yield _decode(line)


def _without(element: Json, names: frozenset[str]) -> Json:
    return {name: value for name, value in element.items() if name not in names and name.lstrip("_") not in names}


def trim_element(element: Json) -> Json:
    """Keep what an ElementDefinition demands; constraints lose their XPath, bindings their description."""
    made = _without(element, _DROPPED_FROM_ELEMENT)
    if "constraint" in made:
        made["constraint"] = [_without(rule, frozenset(("xpath", "requirements"))) for rule in made["constraint"]]
    if "binding" in made:
        made["binding"] = _without(made["binding"], frozenset(("description",)))
    return made


def trim_structure(structure: Json) -> Json:
    """Keep what identifies a StructureDefinition, and its snapshot."""
    made = _without(structure, _DROPPED)
    made["snapshot"] = {"element": [trim_element(element) for element in structure["snapshot"]["element"]]}
    return made


def structures(folder: Path) -> Iterator[Json]:
    """Yield every StructureDefinition that resources may conform to, trimmed."""
    for kind in STRUCTURES:
        for structure in read_exactly(folder, f"StructureDefinition-{kind}"):
            yield trim_structure(structure)


def definitions(folder: Path) -> Iterator[Json]:
    """Yield the definitions of what a server does, in whole, less those that are mere examples of their type."""
    for resource_type in DEFINITIONS:
        for resource in read_exactly(folder, resource_type):
            if not resource["id"].startswith("example"):
                yield resource


def main(folder: Path) -> None:
    """Compile both packs and print what is in them."""
    for name, resources in (("structures", structures(folder)), ("definitions", definitions(folder))):
        path = OUTPUT / f"{name}.pack"
        count = write_pack(path, resources)
        sys.stdout.write(f"{path}: {count} resources, {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
