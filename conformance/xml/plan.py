"""How the elements of a FHIR type look in XML, https://hl7.org/fhir/R4/xml.html.

The one table from which both directions work: what JSON calls a property is an element of the same name in XML, except
``Element.id`` and ``Extension.url``, which are attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

from conformance.definitions import Element, types
from conformance.shape import Property, is_primitive, properties

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
XML = "http://www.w3.org/XML/1998/namespace"

Kind = Literal["attribute", "primitive", "narrative", "resource", "object"]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A JSON property and its place in XML; ``order`` is that of the definitions, which XML demands.

    ``element`` is the name in FHIRPath (``value``) of what JSON and XML name by its type, too (``valueString``).
    """

    name: str
    element: str
    type: str
    kind: Kind
    is_list: bool
    sibling: str | None
    order: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The fields of a type: by the JSON property (a ``_sibling`` leads to the same field), by element, by attribute."""

    type: str
    is_resource: bool
    properties: Mapping[str, Field]
    elements: Mapping[str, Field]
    attributes: Mapping[str, Field]


@cache
def plan(type_name: str) -> Plan:
    """Return the plan of a complex, backbone or resource type."""
    type_ = types()[type_name]
    fields: list[Field] = []
    for element in type_.elements.values():
        for p in properties(type_name)[element.name]:
            kind = _kind(type_name, type_.kind == "resource", element, p)
            fields.append(Field(p.name, element.name, p.type, kind, element.is_list, p.sibling, len(fields)))
    return Plan(
        type_name,
        type_.kind == "resource",
        MappingProxyType({name: f for f in fields for name in (f.name, f.sibling) if name}),
        MappingProxyType({f.name: f for f in fields if f.kind != "attribute"}),
        MappingProxyType({f.name: f for f in fields if f.kind == "attribute"}),
    )


def _kind(owner: str, is_resource: bool, element: Element, p: Property) -> Kind:
    if (element.name == "id" and not is_resource) or (owner == "Extension" and element.name == "url"):
        return "attribute"
    if p.type == "xhtml":
        return "narrative"
    if is_primitive(p.type):
        return "primitive"
    return "resource" if p.type == "Resource" else "object"
