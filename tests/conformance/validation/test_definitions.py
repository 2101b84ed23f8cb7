"""FHIR's own definitions are valid FHIR, but for the listed violations."""

import gzip
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.decode import parse
from conformance.validation import Validator
from tests.shared import shared

# Counted: how many of the file there are, and how often which rule is violated.
FILES: dict[str, tuple[int, dict[str, int]]] = {
    # Search parameters of another type than their definitions.
    "CapabilityStatement": (8, {"searchparam-type": 12}),
    # An extension for concepts of value sets on those of a code system (dicom-dcim).
    "CodeSystem-fhir": (495, {"extension-context": 14}),
    "CodeSystem-v2": (424, {}),
    "CodeSystem-v3": (143, {}),
    "CompartmentDefinition": (6, {}),
    "ConceptMap": (80, {}),
    "NamingSystem": (2, {}),
    "OperationDefinition": (47, {}),
    # Parameters on extensions without a base, and an id that is too long.
    "SearchParameter": (1400, {"base is required": 10, "value": 1}),
    "StructureDefinition-example": (2, {}),
    # Extensions whose type is one of FHIRPath.
    "StructureDefinition-extensions": (396, {"sdf-19": 3}),
    # Logical models without a base.
    "StructureDefinition-logical": (5, {"sdf-4": 4}),
    "StructureDefinition-profiles": (43, {}),
    "StructureDefinition-resources": (148, {}),
    "StructureDefinition-type-profiles": (3, {}),
    "StructureDefinition-types": (61, {}),
    "StructureMap": (2, {}),
    "ValueSet-fhir": (672, {}),
    "ValueSet-v2": (428, {}),
    "ValueSet-v3": (216, {}),
}


def resources(name: str) -> Iterator[Any]:
    with gzip.open(shared("spec", "r4", f"{name}.ndjson.gz")) as lines:
        for line in lines:
            yield parse(line)


@pytest.mark.parametrize("name", FILES)
def test_definitions_are_valid_but_for_the_listed_violations(name: str) -> None:
    found = Validator(lambda _type, _canonical: None)
    count, keys = 0, Counter[str]()
    for resource in resources(name):
        count += 1
        for issue in found.validate(resource):
            if issue.severity in ("error", "fatal"):
                keyed = issue.diagnostics.endswith((")", "is required"))
                keys[issue.diagnostics.rpartition("(")[2].rstrip(")") if keyed else issue.code] += 1
    assert (count, dict(keys)) == FILES[name]
