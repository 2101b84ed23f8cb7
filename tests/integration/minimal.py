"""The smallest valid resource of any type, made from the definitions: what is required and nothing else."""

from __future__ import annotations

from typing import Any

from conformance.definitions import Element, types
from conformance.shape import bound_codes, bound_concepts

PRIMITIVES: dict[str, Any] = {
    "boolean": True,
    "integer": 1,
    "positiveInt": 1,
    "unsignedInt": 1,
    "decimal": 1,
    "uri": "urn:example:minimal",
    "url": "http://example.org/minimal",
    "canonical": "http://example.org/minimal",
    "oid": "urn:oid:1.2.3",
    "uuid": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
    "date": "2020-02-29",
    "dateTime": "2020-02-29",
    "instant": "2020-02-29T12:00:00Z",
    "time": "12:00:00",
    "base64Binary": "AAAA",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
}


def _value(element: Element, type_name: str) -> Any:
    if types()[type_name].kind == "primitive":
        codes = bound_codes(element.required) if type_name == "code" else None
        if codes:  # a draft is held to less than what is active
            return "draft" if "draft" in codes else sorted(codes)[0]
        return PRIMITIVES.get(type_name, "x")
    if type_name == "CodeableConcept":
        concepts = bound_concepts(element.required)
        if concepts:
            system, code = sorted(concepts)[0]
            return {"coding": [{"system": system, "code": code}]}
    if type_name in ("Resource", "DomainResource"):
        return {"resourceType": "Basic", "code": {"text": "x"}}
    return minimal(type_name)


def _property(element: Element) -> tuple[str, Any]:
    name, type_name = element.json_names[0]
    value = _value(element, type_name)
    return name, [value] if element.is_list else value


def minimal(type_name: str) -> dict[str, Any]:
    """Return the smallest valid value of a complex or resource type."""
    type_ = types()[type_name]
    out: dict[str, Any] = {"resourceType": type_name} if type_.kind == "resource" else {}
    out |= dict(_property(e) for e in type_.elements.values() if e.min)
    if not out:  # an element must not be empty: its first simple part will do
        simple = (
            e for e in type_.elements.values() if e.name != "id" and types()[e.json_names[0][1]].kind == "primitive"
        )
        others = (e for e in type_.elements.values() if e.name not in ("id", "extension", "modifierExtension"))
        name, value = _property(next(simple, None) or next(others))
        out[name] = value
    return out
