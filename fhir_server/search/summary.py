"""Parts of resources: ``_summary`` and ``_elements``, https://hl7.org/fhir/R4/search.html#summary.

What belongs to a summary is marked in the StructureDefinitions. Kept values are copied as bytes, so that decimals keep
their digits; what was left out is told by the tag SUBSETTED.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from conformance.definitions import resource_types, types
from fhir_server.search.errors import invalid_value

Summary = Literal["true", "text", "data"]
Plan = Mapping[str, str | None]
"""JSON property → the type by whose summary to choose of its value; None for all of it."""

SUMMARIES = ("true", "text", "data", "count", "false")
_SUBSETTED = msgspec.json.encode(
    {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
)
_ALWAYS = frozenset(("id", "meta"))
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class View:
    """What of a resource to show: a ``summary``, or the ``elements`` named (with their type, None for any match's)."""

    summary: Summary | None = None
    elements: frozenset[tuple[str | None, str]] = field(default_factory=frozenset)

    @property
    def whole(self) -> bool:
        """Whether resources are shown as they are."""
        return self.summary is None and not self.elements

    def show(self, resource_type: str, content: bytes, *, included: bool = False) -> bytes:
        """Return the JSON to send for a resource; elements named without a type are about matches, not what is included."""
        if self.whole:
            return content
        if self.summary == "data":
            return _without_text(content)
        plan = self._plan(resource_type, included=included)
        return content if plan is None else _encode(_tagged(_select(_object(content), plan)))

    def _plan(self, resource_type: str, *, included: bool) -> Plan | None:
        if self.summary == "true":
            return _summary_plan(resource_type)
        if self.summary == "text":
            return _named_plan(resource_type, frozenset(("text",)), modifiers=False)
        places = (resource_type,) if included else (None, resource_type)
        names = frozenset(name for place, name in self.elements if place in places)
        return _named_plan(resource_type, names, modifiers=True) if names else None


WHOLE = View()


def parse_elements(value: str) -> frozenset[tuple[str | None, str]]:
    """Return (type or None, name) of the elements that ``_elements`` lists: ``status``, ``value[x]``, ``Patient.name``."""
    found = set()
    for item in filter(None, value.split(",")):
        place, dot, name = item.strip().rpartition(".")
        found.add((place if dot else None, name.removesuffix("[x]")))
    return frozenset(found)


def unknown_elements(elements: Iterable[tuple[str | None, str]], known: Sequence[str]) -> list[str]:
    """Return the elements that neither the type they are named with nor one of the ``known`` types has at its top."""
    return [
        f"{place}.{name}" if place else name
        for place, name in sorted(elements, key=str)
        if not any(name in types()[t].elements for t in ([place] if place else known) if t in resource_types())
    ]


def view_of(query: Iterable[tuple[str, str]]) -> View:
    """Return what a read shows. Raises InvalidSearch for a value that the parameters don't take."""
    summary: Summary | None = None
    elements: set[tuple[str | None, str]] = set()
    for name, value in query:
        if name == "_summary" and value:
            if value not in SUMMARIES or value == "count":
                raise invalid_value(name, value, "on a single resource it takes true, text, data or false")
            summary = None if value == "false" else value  # type: ignore[assignment]
        elif name == "_elements":
            elements |= parse_elements(value)
    return make_view(summary, frozenset(elements))


def make_view(summary: Summary | None, elements: frozenset[tuple[str | None, str]]) -> View:
    """Return a view. Raises InvalidSearch when both ways to choose are used at once."""
    if summary is not None and elements:
        raise invalid_value("_elements", ",".join(sorted(n for _, n in elements)), "it can't be used with _summary")
    return View(summary, elements) if summary or elements else WHOLE


def _without_text(content: bytes) -> bytes:
    fields = _object(content)
    fields.pop("text", None)
    return _encode(_tagged(fields))


def _tagged(fields: dict[str, Any]) -> dict[str, Any]:
    """Mark a resource as incomplete."""
    meta = _object(fields["meta"]) if "meta" in fields else {}
    tags = _array(meta["tag"]) if "tag" in meta else []
    return {**fields, "meta": {**meta, "tag": [*tags, msgspec.Raw(_SUBSETTED)]}}


def _select(fields: dict[str, msgspec.Raw], plan: Plan) -> dict[str, Any]:
    selected = {}
    for name, value in fields.items():
        if name in plan and (part := _part(value, plan[name])) is not None:
            selected[name] = part
    return selected


def _part(value: msgspec.Raw, type_name: str | None) -> Any:
    """Return what to show of a value; None for an object or array of which nothing is left."""
    if type_name is None:
        return value
    first = bytes(value).lstrip()[:1]
    if first == b"[":
        return [part for item in _array(value) if (part := _part(item, type_name)) is not None] or None
    fields = _object(value)
    inner = msgspec.json.decode(fields["resourceType"]) if "resourceType" in fields else type_name
    # A value may consist of extensions, such as the reason why there is none.
    extensions = {name: fields[name] for name in fields if name == "extension"}
    return _select(fields, _summary_plan(inner)) or extensions or None


@lru_cache(maxsize=1024)
def _summary_plan(type_name: str) -> Plan:
    """Return what of a type belongs to a summary: what is marked so, mandatory, or changes the meaning of the rest."""
    plan: dict[str, str | None] = {"resourceType": None}
    for element in types()[type_name].elements.values():
        if element.summary or element.min or element.modifier or element.name in _ALWAYS:
            for name, child in element.json_names:
                plan[name] = child if _has_parts(child) and element.name not in _ALWAYS else None
                plan[f"_{name}"] = None
    return MappingProxyType(plan)


def _has_parts(type_name: str) -> bool:
    """Tell whether a value of a type is to be looked into; where nothing is marked, all of it is kept."""
    found = types().get(type_name)
    if found is None or found.kind == "primitive":
        return False
    return found.kind == "resource" or any(element.summary for element in found.elements.values())


@lru_cache(maxsize=4096)
def _named_plan(resource_type: str, names: frozenset[str], *, modifiers: bool) -> Plan:
    """Return the plan for some elements by name, beside what is always shown and what is mandatory."""
    plan: dict[str, str | None] = {"resourceType": None}
    for element in types()[resource_type].elements.values():
        wanted = element.name in names or element.name in _ALWAYS or element.min or (modifiers and element.modifier)
        for name, _ in element.json_names if wanted else ():
            plan[name] = plan[f"_{name}"] = None
    return MappingProxyType(plan)
