"""Which JSON properties a FHIR type has, and which codes its bindings allow, https://hl7.org/fhir/R4/json.html.

Both readers of a resource, the fast models and the thorough walk, take their rules from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from conformance.definitions import Element, types, value_sets

MAX_DEPTH = 64
"""Levels of elements inside elements that are accepted. FHIR sets no limit; real resources stay below 20."""


@dataclass(frozen=True, slots=True)
class Property:
    """A JSON property. ``sibling`` is the property that carries id and extensions of a primitive (``_birthDate``)."""

    name: str
    type: str
    sibling: str | None


def is_primitive(type_name: str) -> bool:
    """Whether JSON carries the type as a plain value."""
    return types()[type_name].kind == "primitive"


def _has_sibling(owner: str, element: Element, type_name: str) -> bool:
    # Ids, Extension.url and narrative are attributes or markup in XML: they can carry no extensions.
    attribute = element.name == "id" or (owner == "Extension" and element.name == "url")
    return is_primitive(type_name) and type_name != "xhtml" and not attribute


@cache
def properties(type_name: str) -> Mapping[str, tuple[Property, ...]]:
    """Return the JSON properties of each element of a type; a choice element has one for each type."""
    return MappingProxyType(
        {
            element.name: tuple(
                Property(name, kind, f"_{name}" if _has_sibling(type_name, element, kind) else None)
                for name, kind in element.json_names
            )
            for element in types()[type_name].elements.values()
        }
    )


@cache
def property_names(type_name: str) -> frozenset[str]:
    """Return the names of all JSON properties a type may have, siblings included, ``resourceType`` not."""
    every = [p for group in properties(type_name).values() for p in group]
    return frozenset({p.name for p in every} | {p.sibling for p in every if p.sibling})


@cache
def bound_codes(value_set: str | None) -> frozenset[str] | None:
    """Return the codes a ``code`` element bound to the value set may hold; None when they cannot be listed."""
    pairs = bound_concepts(value_set)
    return None if pairs is None else frozenset(code for _, code in pairs)


def bound_concepts(value_set: str | None) -> frozenset[tuple[str, str]] | None:
    """Return the (system, code) pairs of a value set; None when they cannot be listed."""
    return None if value_set is None else value_sets().get(value_set)
