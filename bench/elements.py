"""The elements of a resource with the constraints that R4 puts on each, https://hl7.org/fhir/R4/conformance-rules.html#constraints."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from conformance.definitions import types
from conformance.fhirpath import ConstraintScope
from conformance.structures import find_structure, type_url

Json = dict[str, Any]


class Constrained(NamedTuple):
    """An element and one constraint on it: what ``compile_constraint`` and its check need."""

    key: str
    expression: str
    context_type: str
    value: Any
    extra: Any
    scope: ConstraintScope


@cache
def _constraints(name: str) -> dict[str, dict[str, str]]:
    """Return path → key → expression of the constraints of a type's own definition."""
    structure = find_structure(type_url(name)) or {}
    elements = structure.get("snapshot", {}).get("element", [])
    return {
        element["path"]: {c["key"]: c["expression"] for c in element.get("constraint", ()) if "expression" in c}
        for element in elements
    }


def _of(path: str) -> dict[str, str]:
    return _constraints(path.partition(".")[0]).get(path, {})


def constrained_elements(resource: Json, root: Json | None = None) -> Iterator[Constrained]:
    """Yield each constraint on each element of a resource, of contained ones and of a Bundle's entries, too."""
    scope = ConstraintScope(resource, resource if root is None else root)
    name = resource["resourceType"]
    for key, expression in _of(name).items():
        yield Constrained(key, expression, name, resource, None, scope)
    yield from _below(resource, name, name, scope)


def _below(value: Json, type_name: str, path: str, scope: ConstraintScope) -> Iterator[Constrained]:
    for element in types()[type_name].elements.values():
        for key, child in element.json_names:
            values, extras = value.get(key), value.get("_" + key)
            if values is None and extras is None:
                continue
            place = f"{path}.{element.name}{'[x]' if element.choice else ''}"
            listed = type(values) is list or type(extras) is list
            for i in range(max(len(values or ()), len(extras or ())) if listed else 1):
                one = (values[i] if values and i < len(values) else None) if listed else values
                extra = (extras[i] if extras and i < len(extras) else None) if listed else extras
                if one is not None or extra is not None:
                    yield from _element(one, extra, child, place, scope)


def _element(value: Any, extra: Any, type_name: str, place: str, scope: ConstraintScope) -> Iterator[Constrained]:
    if type(value) is dict and "resourceType" in value:
        is_contained = place.endswith(".contained")
        yield from constrained_elements(value, scope.root if is_contained else None)
        return
    # a backbone element's type is its path, also where a content reference leads there
    own = type_name if "." in type_name else place
    for key, expression in {**_of(type_name), **_of(own)}.items():
        yield Constrained(key, expression, type_name, value, extra, scope)
    if type(value) is dict:
        yield from _below(value, type_name, own if "." in type_name else type_name, scope)
    elif type(extra) is dict:
        yield from _below(extra, "Element", "Element", scope)
