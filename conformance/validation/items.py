"""The elements inside an element, with their types and places, https://hl7.org/fhir/R4/json.html."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from conformance.definitions import types
from conformance.shape import properties
from conformance.validation.run import Item, Json, Where


def root_item(resource: Json) -> Item:
    """Return the outermost resource as an item."""
    name = str(resource.get("resourceType"))
    return resource, None, name, (None, name, None)


@lru_cache(maxsize=8192)
def _properties(type_name: str, name: str) -> tuple[tuple[str, str, str], ...]:
    known = types().get(type_name)
    if known is None or name not in known.elements:
        return ()
    return tuple((p.name, p.sibling or "", p.type) for p in properties(type_name)[name])


def children(item: Item, name: str) -> list[Item]:
    """Return the elements of an item that go by a name, in order; a choice goes by its name without type."""
    value, extra, type_name, where = item
    if type(value) is not dict:
        # A primitive has children in the object beside it.
        value, type_name = extra, "Element"
        if type(value) is not dict:
            return []
    elif "resourceType" in value:
        type_name = value["resourceType"]
        if type(type_name) is not str:
            return []
    found: list[Item] = []
    for key, sibling, kind in _properties(type_name, name):
        if key in value or sibling in value:
            _append(value.get(key), value.get(sibling), kind, (where, name, None), found)
    return found


def _append(value: Any, extra: Any, kind: str, where: Where, found: list[Item]) -> None:
    if type(value) is not list and type(extra) is not list:
        found.append((value, extra, _type_of(value, kind), where))
        return
    values = value if type(value) is list else []
    extras = extra if type(extra) is list else []
    for index in range(max(len(values), len(extras))):
        one = values[index] if index < len(values) else None
        beside = extras[index] if index < len(extras) else None
        if one is not None or beside is not None:
            found.append((one, beside, _type_of(one, kind), (where[0], where[1], index)))


def _type_of(value: Any, kind: str) -> str:
    if kind == "Resource" and type(value) is dict and type(value.get("resourceType")) is str:
        return str(value["resourceType"])
    return kind


def item_at(where: Where, start: Item) -> Item | None:
    """Return the item at a place below ``start``, None if there is nothing."""
    if where == start[3]:
        return start
    parent, name, index = where
    if parent is None:
        return None
    owner = item_at(parent, start)
    for item in children(owner, name) if owner else ():
        if item[3][2] == index:
            return item
    return None
