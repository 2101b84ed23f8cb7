"""``%factory``: elements made within an expression, https://hl7.org/fhir/fhirpath.html#factory.

FHIR's later builds add it; no expression of R4 can mean anything else by the name. ``%factory.Coding('http://loinc.org',
'1234-5')`` is a Coding, ``%factory.date('2024-01-01')`` a date. What isn't a valid value raises FHIRPathError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from conformance.definitions import types
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.functions.conversion import to_boolean, to_decimal, to_integer, to_text
from conformance.fhirpath.items import Collection, Item, Node, to_json, to_system, type_of
from conformance.fhirpath.model import is_primitive, json_children
from conformance.fhirpath.operands import single, text
from conformance.fhirpath.temporal import Temporal, TemporalKind
from conformance.primitives import INTEGER_RANGES, find_fault, pattern

Make = Callable[..., Collection]

_TEMPORAL: Mapping[str, TemporalKind] = {
    "date": "Date",
    "dateTime": "DateTime",
    "instant": "DateTime",
    "time": "Time",
}
# the arguments of the functions that make complex elements, in their order
_ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "Extension": ("url", "value"),
    "Identifier": ("system", "value", "use", "type"),
    "HumanName": ("family", "given", "prefix", "suffix", "text", "use"),
    "ContactPoint": ("system", "value", "use"),
    "Address": ("line", "city", "state", "postalCode", "country", "use", "type"),
    "Quantity": ("system", "code", "value", "unit"),
    "Coding": ("system", "code", "display", "version"),
    "CodeableConcept": ("coding", "text"),
}
_FHIR_OF_SYSTEM = MappingProxyType(
    {
        "Boolean": "boolean",
        "String": "string",
        "Integer": "integer",
        "Decimal": "decimal",
        "Date": "date",
        "DateTime": "dateTime",
        "Time": "time",
    }
)


def _primitive_value(type_name: str, given: Any) -> Any:
    """Return ``given`` as JSON has a value of a primitive type; raises FHIRPathError when it is none."""
    value: Any = given
    if type_name == "boolean":
        value = to_boolean(given)
    elif type_name in INTEGER_RANGES:
        value = to_integer(given)
    elif type_name == "decimal":
        value = to_decimal(given)
    elif isinstance(given, Temporal):
        value = to_text(given)
    if type_name in _TEMPORAL and type(value) is str:
        try:
            Temporal.from_text(value, _TEMPORAL[type_name])
        except ValueError as error:
            raise FHIRPathError(f"not a {type_name}: {error}") from error
        return value
    regex = pattern(type_name)
    if value == "" and regex is not None and re.search(regex, ""):
        return value
    fault = find_fault(type_name, value)
    if fault is not None:
        raise FHIRPathError(f"not a {type_name}: {fault[1]}")
    return value


def _make_primitive(type_name: str) -> Make:
    def make(value: Collection, *extensions: Collection) -> Collection:
        given = single(value, f"the value of a {type_name}")
        found = None if given is None else _primitive_value(type_name, to_system(given))
        added = [to_json(item) for items in extensions for item in items]
        return [Node(found, type_name, {"extension": added} if added else None)]

    return make


def _property(value: dict[str, Any], type_name: str, name: str, items: Collection) -> None:
    """Set the element ``name`` of an object of a FHIR type to ``items``."""
    element = types()[type_name].elements.get(name)
    if element is None:
        raise FHIRPathError(f"{type_name} has no element {name!r}")
    if not items:
        return
    nodes = [_as_element(item, element.types, f"{type_name}.{name}") for item in items]
    if not element.is_list and len(nodes) > 1:
        raise FHIRPathError(f"{type_name}.{name} has one value, found {len(nodes)}")
    key = name
    if element.choice:
        key = next(k for k, child in element.json_names if child == nodes[0].type_name)
    value[key] = [node.value for node in nodes] if element.is_list else nodes[0].value
    if any(node.extra for node in nodes):
        value["_" + key] = [node.extra for node in nodes] if element.is_list else nodes[0].extra


def _as_element(item: Item, allowed: tuple[str, ...], place: str) -> Node:
    """Return ``item`` as an element of one of the types ``allowed``; raises FHIRPathError when it can't be one."""
    namespace, name = type_of(item)
    if isinstance(item, Node) and namespace == "FHIR" and name in allowed:
        return item
    value = to_system(item)
    wanted = _FHIR_OF_SYSTEM.get(name) if namespace == "System" else name
    if wanted not in allowed:
        texts = [t for t in allowed if is_primitive(t)]
        wanted = texts[0] if len(texts) == 1 else None
    # a number where a text belongs is a mistake, a text where a number belongs is its digits
    if wanted is None or not isinstance(value, str | bool | int | Decimal | Temporal):
        raise FHIRPathError(f"{place} can't be a {namespace}.{name}")
    return Node(_primitive_value(wanted, value), wanted)


def _make_element(type_name: str) -> Make:
    names = _ELEMENTS[type_name]

    def make(*arguments: Collection) -> Collection:
        value: dict[str, Any] = {}
        for name, items in zip(names, arguments, strict=False):
            _property(value, type_name, name, items)
        return [Node(value, type_name)]

    return make


def create(type_name: str) -> Collection:
    """Return an element of a type without content; raises FHIRPathError for an unknown or abstract type."""
    definition = types().get(type_name.removeprefix("FHIR."))
    if definition is None or definition.abstract:
        raise FHIRPathError(f"there is no type {type_name!r} to create")
    if definition.kind == "primitive":
        return [Node(None, definition.name)]
    return [Node({"resourceType": definition.name} if definition.kind == "resource" else {}, definition.name)]


def _changed(instance: Collection, what: str) -> tuple[Node, dict[str, Any]] | None:
    """Return a copy of the only element of ``instance`` and the object that holds its children."""
    item = single(instance, f"the element given to {what}()")
    if item is None:
        return None
    if not isinstance(item, Node) or item.type_name is None:
        raise FHIRPathError(f"{what}() needs an element")
    if type(item.value) is dict:
        children = dict(item.value)
        return Node(children, item.type_name), children
    children = dict(item.extra or {})
    return Node(item.value, item.type_name, children), children


def with_extension(instance: Collection, url: Collection, value: Collection) -> Collection:
    """Return a copy of an element with one more extension."""
    changed = _changed(instance, "withExtension")
    if changed is None:
        return []
    node, children = changed
    (extension,) = _make_element("Extension")(url, value)
    children["extension"] = [*children.get("extension", ()), to_json(extension)]
    return [node]


def with_property(instance: Collection, name: Collection, value: Collection) -> Collection:
    """Return a copy of an element with a child set to ``value``."""
    changed, key = _changed(instance, "withProperty"), text(name, "the name given to withProperty()")
    if changed is None or key is None:
        return []
    node, children = changed
    type_name = node.type_name or "Element"
    if type(node.value) is not dict:
        type_name = "Element"
    if key not in json_children(type_name):
        raise FHIRPathError(f"{type_name} has no element {key!r}")
    children.pop(key, None)
    _property(children, type_name, key, value)
    return [node]


def find_maker(name: str, count: int) -> Make:
    """Return the function ``%factory.name()`` that takes ``count`` arguments; raises FHIRPathError when there is none."""
    make: Make | None = None
    least, most = 1, 1
    if name in _ELEMENTS:
        make, most = _make_element(name), len(_ELEMENTS[name])
    elif is_primitive(name):
        make, most = _make_primitive(name), 2
    elif name == "withExtension":
        make, least, most = with_extension, 3, 3
    elif name == "withProperty":
        make, least, most = with_property, 3, 3
    if make is None:
        raise FHIRPathError(f"there is no function %factory.{name}()")
    if not least <= count <= most:
        raise FHIRPathError(f"%factory.{name}() takes {least} to {most} arguments, not {count}")
    return make
