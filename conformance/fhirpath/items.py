"""The items of a FHIRPath collection: elements of a resource, and the values of FHIRPath's own types.

An element is a :class:`Node`; System values are bool, int, Decimal, str, :class:`Temporal` and :class:`Quantity`.
https://hl7.org/fhir/R4/fhirpath.html#types says how one becomes the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias

from conformance.definitions import types
from conformance.fhirpath.model import ABSTRACT_RESOURCES, SYSTEM_STRING, ancestors, is_primitive, json_children
from conformance.fhirpath.quantity import Long, Quantity
from conformance.fhirpath.temporal import Temporal, TemporalKind

UCUM = "http://unitsofmeasure.org"
_TIME_CODES = frozenset({"a", "mo", "wk", "d", "h", "min", "s", "ms"})
_TEMPORAL: Mapping[str, TemporalKind] = {
    "date": "Date",
    "dateTime": "DateTime",
    "instant": "DateTime",
    "time": "Time",
}


class Node:
    """An element: its JSON value, its FHIR type (None if unknown) and, for a primitive, the object under ``_name``."""

    __slots__ = ("extra", "type_name", "value")

    def __init__(self, value: Any, type_name: str | None, extra: Any = None) -> None:
        self.value = value
        self.type_name = type_name
        self.extra = extra


Item: TypeAlias = Node | bool | int | Decimal | str | Temporal | Quantity
Collection: TypeAlias = list[Item]


def resource_node(value: Mapping[str, Any]) -> Node:
    """Return the node of a resource (typed by its ``resourceType``) or of any other JSON object."""
    name = value.get("resourceType")
    return Node(value, name if type(name) is str and name in types() else None)


@lru_cache(maxsize=16384)
def _plan(type_name: str | None, name: str) -> tuple[tuple[str, str, str | None], ...]:
    """Return (JSON property, its ``_`` companion, type) for the places where ``name`` may lie."""
    known = json_children(type_name).get(name) if type_name else None
    if known is None:
        return ((name, "_" + name, None),)
    return tuple((key, "_" + key, child) for key, child in known)


def children(node: Node, name: str, found: Collection) -> None:
    """Append the children of ``node`` called ``name`` to ``found``."""
    value = node.value
    if type(value) is not dict:
        value = node.extra
        if type(value) is not dict or name not in {"id", "extension"}:
            return
        plan = _plan("Element", name)
    else:
        plan = _plan(node.type_name, name)
    for key, companion, type_name in plan:
        if key in value or companion in value:
            _append(value.get(key), value.get(companion), type_name, found)


def _append(value: Any, extra: Any, type_name: str | None, found: Collection) -> None:
    if type(value) is list or type(extra) is list:
        values, extras = value if type(value) is list else [], extra if type(extra) is list else []
        for i in range(max(len(values), len(extras))):
            _append(values[i] if i < len(values) else None, extras[i] if i < len(extras) else None, type_name, found)
    elif value is not None or extra is not None:
        may_be_resource = type_name is None or type_name in ABSTRACT_RESOURCES
        if may_be_resource and type(value) is dict and "resourceType" in value:
            found.append(resource_node(value))
        else:
            found.append(Node(value, type_name, extra))


@lru_cache(maxsize=1024)
def _types_by_key(type_name: str) -> dict[str, str]:
    return {key: child for pairs in json_children(type_name).values() for key, child in pairs}


def all_children(item: Item) -> Collection:
    """Return every child element of ``item``, in the order of the JSON."""
    found: Collection = []
    if not isinstance(item, Node):
        return found
    value = item.value
    if type(value) is not dict:
        if type(item.extra) is dict:
            for name in item.extra:
                children(item, name, found)
        return found
    types_by_key = _types_by_key(item.type_name) if item.type_name else {}
    seen = set()
    for key in value:
        name = key.removeprefix("_")
        if name in seen or name == "resourceType":
            continue
        seen.add(name)
        _append(value.get(name), value.get("_" + name), types_by_key.get(name), found)
    return found


def to_system(item: Item) -> Any:
    """Return the System value of ``item``: None for an element without value, the node itself for a complex one."""
    if not isinstance(item, Node):
        return item
    value, type_name = item.value, item.type_name
    if type_name is None or value is None:
        return _plain(value, item)
    if type_name in _TEMPORAL and type(value) is str:
        try:
            return Temporal.from_text(value, _TEMPORAL[type_name])
        except ValueError:
            return value
    if type_name == "decimal" and type(value) is int:
        return Decimal(value)
    if type(value) is dict and "Quantity" in ancestors(type_name):
        return _from_fhir_quantity(value) or item
    return _plain(value, item)


def _plain(value: Any, item: Node) -> Any:
    if type(value) is float:
        return Decimal(repr(value))
    return item if type(value) in {dict, list} else value


def _from_fhir_quantity(value: Mapping[str, Any]) -> Quantity | None:
    """Return a FHIR Quantity in UCUM units as a System one; None for other units, or for a bound (``comparator``)."""
    number, code = value.get("value"), value.get("code")
    if type(number) not in {int, Decimal, float} or value.get("system") != UCUM or type(code) is not str:
        return None
    if value.get("comparator") is not None:
        return None
    return Quantity(Decimal(str(number)), code, None if code in _TIME_CODES else False)


def to_json(item: Item) -> Any:
    """Return what :func:`evaluate` shows of ``item``: an element's JSON value, else the value itself."""
    return item.value if isinstance(item, Node) else item


def type_of(item: Item) -> tuple[str, str]:
    """Return the (namespace, name) of the type of ``item``; an object of unknown type is a System.Any."""
    if isinstance(item, Node):
        if item.type_name == SYSTEM_STRING:
            return "System", "String"
        if item.type_name is not None:
            return "FHIR", item.type_name
        item = item.value
    match item:
        case bool():
            return "System", "Boolean"
        case Long():
            return "System", "Long"
        case int():
            return "System", "Integer"
        case Decimal() | float():
            return "System", "Decimal"
        case str():
            return "System", "String"
        case Temporal():
            return "System", item.kind
        case Quantity():
            return "System", "Quantity"
    return "System", "Any"


def is_of_type(item: Item, wanted: tuple[tuple[str, str], ...]) -> bool:
    """Tell whether ``item`` is of one of the types ``wanted``, or of one derived from it."""
    namespace, name = type_of(item)
    if ("System", "Any") in wanted:
        return True
    if namespace == "System":
        return (namespace, name) in wanted
    return any(space == "FHIR" and candidate in ancestors(name) for space, candidate in wanted)


def has_value(item: Item) -> bool:
    """Tell whether ``item`` is a primitive with a value, https://hl7.org/fhir/R4/fhirpath.html#functions."""
    if not isinstance(item, Node):
        return not isinstance(item, Quantity)
    if item.type_name is not None and item.type_name != SYSTEM_STRING and not is_primitive(item.type_name):
        return False
    return item.value is not None and type(item.value) not in {dict, list} and item.type_name != "xhtml"
