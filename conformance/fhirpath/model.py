"""What FHIRPath needs to know of FHIR's types, https://hl7.org/fhir/R4/fhirpath.html#types."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from conformance.definitions import types
from conformance.fhirpath.errors import FHIRPathError

SYSTEM_TYPES = frozenset(
    {"Any", "Boolean", "String", "Integer", "Long", "Decimal", "Date", "DateTime", "Time", "Quantity"}
)
# The abstract types whose JSON says by ``resourceType`` what it is.
ABSTRACT_RESOURCES = frozenset({"Resource", "DomainResource"})
SYSTEM_STRING = "System.String"


@cache
def ancestors(type_name: str) -> frozenset[str]:
    """Return ``type_name`` and every type it derives from."""
    definitions, found = types(), set[str]()
    name = type_name
    while name and name not in found:
        found.add(name)
        definition = definitions.get(name)
        name = definition.base if definition else ""
    return frozenset(found)


@cache
def resolve_type(specifier: str) -> tuple[tuple[str, str], ...]:
    """Return the (namespace, name) pairs a type specifier may mean: ``Quantity`` is FHIR's and System's.

    Raises FHIRPathError when there is no such type.
    """
    if specifier in types():
        found = [("FHIR", specifier)]
        namespace, name = "", specifier
    else:
        namespace, _, name = specifier.rpartition(".")
        found = [("FHIR", name)] if namespace == "FHIR" and name in types() else []
    if namespace in {"", "System"} and name in SYSTEM_TYPES:
        found.append(("System", name))
    if not found:
        raise FHIRPathError(f"there is no type {specifier!r}")
    return tuple(found)


@cache
def json_children(type_name: str) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Element name → (JSON property, FHIR type) pairs of ``type_name``; a choice may also be named with its type.

    ``id`` and ``Extension.url`` are plain strings of FHIRPath, not FHIR elements.
    """
    definition = types().get(type_name)
    if definition is None:
        return MappingProxyType({})
    children = {element.name: element.json_names for element in definition.elements.values()}
    for element in definition.elements.values():
        if element.choice:
            for key, child_type in element.json_names:
                children.setdefault(key, ((key, child_type),))
    for name in ("id", "url") if type_name == "Extension" else ("id",):
        if name in children:
            children[name] = ((name, SYSTEM_STRING),)
    return MappingProxyType(children)


def is_primitive(type_name: str | None) -> bool:
    """Tell whether ``type_name`` is one of FHIR's primitive types."""
    definition = types().get(type_name or "")
    return definition is not None and definition.kind == "primitive"
