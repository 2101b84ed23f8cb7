"""Definitions for the tests of validation: US Core's package, and small profiles made on the spot."""

import codecs
import tarfile
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from conformance.decode import parse
from conformance.terminology.source import Find, Resources
from conformance.validation import Validator
from tests.shared import shared

Json = dict[str, Any]
BASE = "http://hl7.org/fhir/StructureDefinition/"
TEST = "http://test.example/StructureDefinition/"


def find_in(resources: Iterable[Json]) -> Find:
    """Return a ``Find`` over resources in memory."""
    return Resources(resources).find


@cache
def us_core() -> Mapping[str, Json]:
    """Return the files of the US Core 6.1.0 package by name: definitions, and ``example/`` with the examples."""
    with tarfile.open(shared("spec", "us-core", "hl7.fhir.us.core-6.1.0.tgz")) as package:
        files = {m.name: package.extractfile(m) for m in package if m.name.endswith(".json")}
        texts = {name.removeprefix("package/"): file.read() for name, file in files.items() if file is not None}
    parsed = {name: parse(text.removeprefix(codecs.BOM_UTF8)) for name, text in texts.items()}
    return {name: resource for name, resource in parsed.items() if isinstance(resource, dict)}


def us_core_examples() -> dict[str, Json]:
    """Return US Core's example resources by file name."""
    return {
        name.removeprefix("example/"): resource
        for name, resource in us_core().items()
        if name.startswith("example/") and "resourceType" in resource
    }


@cache
def us_core_validator() -> Validator:
    """Return a validator that knows US Core."""
    return Validator(find_in(r for name, r in us_core().items() if "/" not in name and "resourceType" in r))


def profile(type_name: str, *elements: Json, name: str = "test", base: str | None = None, **more: Any) -> Json:
    """Return a profile on a type with these elements in its differential."""
    return {
        "resourceType": "StructureDefinition",
        "url": TEST + name,
        "name": name,
        "status": "draft",
        "kind": "complex-type" if type_name == "Extension" else "resource",
        "abstract": False,
        "type": type_name,
        "baseDefinition": base or BASE + type_name,
        "derivation": "constraint",
        "differential": {"element": list(elements)},
        **more,
    }


def validator(*definitions: Json) -> Validator:
    """Return a validator that knows some definitions beyond those of FHIR."""
    return Validator(find_in(definitions))


def errors(found: Validator, resource: Json, *profiles: str, **more: Any) -> list[tuple[str | None, str]]:
    """Return (expression, key of the rule) of each error."""
    return [
        (issue.expression, issue.diagnostics.rpartition("(")[2].rstrip(")").partition(",")[0])
        for issue in found.validate(resource, profiles=[TEST + p for p in profiles], **more)
        if issue.severity == "error"
    ]
