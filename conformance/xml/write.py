"""FHIR JSON to XML, https://hl7.org/fhir/R4/xml.html."""

from __future__ import annotations

import re
from typing import Any

from conformance.xml.errors import NotInXml
from conformance.xml.narrative import write_narrative
from conformance.xml.plan import FHIR, Field, Plan, plan

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
# Also what XML would take for a plain space when it reads an attribute.
_SPECIAL = re.compile('[&<>"\t\n\r]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_NO_XML_CHARACTER = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")


def to_xml(resource: dict[str, Any], *, pretty: bool = False) -> bytes:
    """Return the XML of a resource that conforms (see conformance.decode), with XML declaration, in UTF-8.

    Decimals keep the digits they have, narratives are written as they are; ``pretty`` indents all but these. Raises
    NotInXml for what XML can't carry, and ValueError for properties that the resource's type doesn't have.
    """
    writer = _Writer(pretty)
    writer.write_resource(resource, 0, root=True)
    body = "".join(writer.parts).encode()
    if _NO_XML_CHARACTER.search(body):
        raise NotInXml(
            "The resource holds a character that XML 1.0 can't carry (a control character, U+FFFE or U+FFFF)"
        )
    return body


class _Writer:
    """One document; ``parts`` grows as it proceeds."""

    def __init__(self, pretty: bool) -> None:
        self.parts = [_DECLARATION]
        self._write = self.parts.append
        self._pretty = pretty

    def _indent(self, depth: int) -> None:
        if self._pretty:
            self._write("\n" + "  " * depth)

    def write_resource(self, resource: dict[str, Any], depth: int, *, root: bool = False) -> None:
        """Write the element named by the resource's type."""
        name = resource["resourceType"]
        self._indent(depth)
        self._write(f'<{name} xmlns="{FHIR}"' if root else f"<{name}")
        self._write_content(resource, plan(name), name, depth)

    def _write_content(self, value: dict[str, Any], shape: Plan, tag: str, depth: int) -> None:
        """Write what follows the name in the start tag, the children, and the end tag."""
        properties, fields = shape.properties, set[Field]()
        for name, content in value.items():
            field = properties.get(name)
            if field is None:
                if not (name == "resourceType" and shape.is_resource):
                    raise ValueError(f"{shape.type} has no property {name!r}")
            elif field.kind == "attribute":
                self._write(f' {name}="{_escape(content)}"')
            else:
                fields.add(field)
        if not fields:
            self._write("/>")
            return
        self._write(">")
        for field in sorted(fields, key=_order):
            self._write_field(value, field, depth + 1)
        self._indent(depth)
        self._write(f"</{tag}>")

    def _write_field(self, owner: dict[str, Any], field: Field, depth: int) -> None:
        value = owner.get(field.name)
        if field.kind == "primitive":
            extra = owner.get(field.sibling) if field.sibling else None
            if not field.is_list:
                self._write_primitive(field.name, value, extra, depth)
                return
            values, extras = value or (), extra or ()
            for index in range(max(len(values), len(extras))):
                self._write_primitive(
                    field.name,
                    values[index] if index < len(values) else None,
                    extras[index] if index < len(extras) else None,
                    depth,
                )
        elif field.kind == "narrative":
            self._indent(depth)
            self._write(write_narrative(str(value), "The narrative"))
        elif field.kind == "resource":
            for item in value if isinstance(value, list) else (value,):
                self._indent(depth)
                self._write(f"<{field.name}>")
                self.write_resource(item or {}, depth + 1)
                self._indent(depth)
                self._write(f"</{field.name}>")
        else:
            shape = plan(field.type)
            for item in value if isinstance(value, list) else (value,):
                self._indent(depth)
                self._write(f"<{field.name}")
                self._write_content(item or {}, shape, field.name, depth)

    def _write_primitive(self, name: str, value: Any, extra: dict[str, Any] | None, depth: int) -> None:
        self._indent(depth)
        self._write(f"<{name}" if value is None else f'<{name} value="{_text(value)}"')
        if extra is None:
            self._write("/>")
        else:
            self._write_content(extra, plan("Element"), name, depth)


def _order(field: Field) -> int:
    return field.order


def _text(value: Any) -> str:
    if type(value) is str:
        return _escape(value)
    if type(value) is bool:
        return "true" if value else "false"
    return str(value)


def _escape(text: str) -> str:
    return _SPECIAL.sub(_escaped, text) if _SPECIAL.search(text) else text


def _escaped(match: re.Match[str]) -> str:
    return _ESCAPES[match[0]]
