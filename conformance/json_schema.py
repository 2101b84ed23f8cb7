"""FHIR types as JSON Schemas, https://hl7.org/fhir/R4/json.html: for API descriptions, not for validation.

They say what a client needs in order to write JSON: properties, cardinality, formats and the codes of short required
bindings. Rules that JSON Schema can't state (one of a choice, invariants) are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from conformance.definitions import Element, Type, types, value_sets
from conformance.primitives import INTEGER_RANGES

Schema = dict[str, Any]

REFERENCES = "#/components/schemas/"
MOST_CODES = 60
"""A required binding with more codes is described as any code."""

_ANY_RESOURCE = frozenset(("Resource", "DomainResource"))


def schemas(names: Iterable[str]) -> dict[str, Schema]:
    """Return the schemas of some types and of all that they are made of, by type name."""
    found: dict[str, Schema] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name], used = _schema(name)
            waiting += used
    return dict(sorted(found.items()))


@cache
def _schema(name: str) -> tuple[Schema, tuple[str, ...]]:
    """Return a type's schema and the types it refers to."""
    known = types()[name]
    if name in _ANY_RESOURCE:
        properties: Schema = {"resourceType": {"type": "string"}}
        return {"type": "object", "properties": properties, "required": ["resourceType"]}, ()
    if known.kind == "primitive":
        return _primitive(known), ()
    properties, required, used = {}, [], ["Element"]
    if known.kind == "resource":
        properties["resourceType"] = {"const": name}
        required.append("resourceType")
    for element in known.elements.values():
        for json_name, type_name in element.json_names:
            used.append(type_name)
            value = _value(element, type_name)
            properties[json_name] = {"type": "array", "items": value, "minItems": 1} if element.is_list else value
            if types()[type_name].kind == "primitive":
                companion: Schema = {"$ref": f"{REFERENCES}Element"}
                properties[f"_{json_name}"] = {"type": "array", "items": companion} if element.is_list else companion
        if element.min and not element.choice and types()[element.types[0]].kind != "primitive":
            required.append(element.name)  # a primitive may be there by its extensions alone
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {}), tuple(dict.fromkeys(used))


def _value(element: Element, type_name: str) -> Schema:
    codes = value_sets().get(element.required or "", frozenset()) if type_name == "code" else frozenset()
    if 0 < len(codes) <= MOST_CODES:
        return {"type": "string", "enum": sorted({code for _, code in codes})}
    return {"$ref": f"{REFERENCES}{type_name}"}


def _primitive(known: Type) -> Schema:
    match known.name:
        case "boolean":
            return {"type": "boolean"}
        case "decimal":
            return {"type": "number"}
        case name if name in INTEGER_RANGES:
            least, greatest = INTEGER_RANGES[name]
            return {"type": "integer", "minimum": least, "maximum": greatest}
        case "base64Binary":
            return {"type": "string", "contentEncoding": "base64"}
    return {"type": "string"} | ({"pattern": f"^({known.regex})$"} if known.regex else {"minLength": 1})
