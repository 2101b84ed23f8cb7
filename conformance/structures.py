"""The definitions of FHIR 4.0.1 by canonical URL, https://hl7.org/fhir/R4/structuredefinition.html.

Compiled by :mod:`conformance.compile_structures`. The files are mapped when something is first asked for, and only what
is asked for is decoded.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from conformance.pack import Pack

Json = dict[str, Any]

TYPE_BASE = "http://hl7.org/fhir/StructureDefinition/"
_FILES = {
    "StructureDefinition": "structures",
    "SearchParameter": "definitions",
    "OperationDefinition": "definitions",
    "CompartmentDefinition": "definitions",
}


@cache
def open_pack(name: str) -> Pack:
    """Return a pack of this package: ``structures`` or ``definitions``."""
    return Pack(Path(__file__).parent / "definitions" / f"{name}.pack")


def find_structure(canonical: str) -> Json | None:
    """Return the StructureDefinition of a canonical URL, perhaps ``url|version``, or None; each call a new dict.

    It has a snapshot, whose elements lack what is only for reading (``short``, ``definition``, ``mapping`` …).
    """
    return open_pack("structures").find("StructureDefinition", canonical)


def find_definition(resource_type: str, canonical: str) -> Json | None:
    """Return the definition of a type and a canonical URL that FHIR 4.0.1 itself has, or None; each call a new dict.

    Types: StructureDefinition, SearchParameter, OperationDefinition, CompartmentDefinition.
    """
    name = _FILES.get(resource_type)
    return None if name is None else open_pack(name).find(resource_type, canonical)


def type_url(name: str) -> str:
    """Return the canonical URL of a FHIR type's own StructureDefinition: ``Patient`` → ``…/StructureDefinition/Patient``."""
    return name if ":" in name else TYPE_BASE + name
