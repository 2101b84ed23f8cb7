"""The FHIR 4.0.1 definitions as typed, immutable values, read from the compiled files in ``definitions/``.

Source: https://hl7.org/fhir/R4/downloads.html, compiled by :mod:`conformance.compile_definitions`.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

import msgspec

FHIR_VERSION = "4.0.1"

TypeKind = Literal["primitive", "complex", "backbone", "resource"]


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type.

    ``types`` are FHIR type names; a backbone element's type is its path (``Patient.contact``), also through a
    content reference. ``max`` is ``None`` for ``*``. ``required`` is the URL of a value set bound with strength required.
    """

    name: str
    types: tuple[str, ...]
    min: int
    max: int | None
    choice: bool
    targets: tuple[str, ...]
    required: str | None
    summary: bool
    modifier: bool

    @property
    def is_list(self) -> bool:
        """Whether JSON carries the element as an array."""
        return self.max is None or self.max > 1

    @property
    def json_names(self) -> tuple[tuple[str, str], ...]:
        """(JSON property, type) pairs: ``valueQuantity``/``Quantity`` … for a choice, else the name itself."""
        if self.choice:
            return tuple((self.name + t[0].upper() + t[1:], t) for t in self.types)
        return ((self.name, self.types[0]),)


@dataclass(frozen=True, slots=True)
class Type:
    """A FHIR type: primitive, complex, backbone (named by its path) or resource. ``elements`` includes inherited ones."""

    name: str
    kind: TypeKind
    base: str
    abstract: bool
    regex: str | None
    elements: Mapping[str, Element]


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A SearchParameter's facts, https://hl7.org/fhir/R4/searchparameter.html."""

    url: str
    code: str
    type: str
    base: tuple[str, ...]
    expression: str | None
    target: tuple[str, ...]
    component: tuple[tuple[str, str], ...]
    description: str
    usage: str = "normal"  # or phonetic, nearby, distance, other


def _load(name: str) -> Any:
    raw = (files(__package__) / "definitions" / f"{name}.json.gz").read_bytes()
    return msgspec.json.decode(gzip.decompress(raw))


def _element(raw: dict[str, Any]) -> Element:
    maximum = raw.get("max", "1")
    return Element(
        name=raw["name"],
        types=tuple(raw["types"]),
        min=raw.get("min", 0),
        max=None if maximum == "*" else int(maximum),
        choice=raw.get("choice", False),
        targets=tuple(raw.get("targets", ())),
        required=raw.get("required"),
        summary=raw.get("summary", False),
        modifier=raw.get("modifier", False),
    )


@cache
def types() -> Mapping[str, Type]:
    """Every type of FHIR 4.0.1 by name (``Patient``, ``Patient.contact``, ``HumanName``, ``dateTime`` …)."""
    return MappingProxyType(
        {
            name: Type(
                name=name,
                kind=raw["kind"],
                base=raw["base"],
                abstract=raw.get("abstract", False),
                regex=raw.get("regex"),
                elements=MappingProxyType({e["name"]: _element(e) for e in raw["elements"]}),
            )
            for name, raw in _load("structure").items()
        }
    )


@cache
def resource_types() -> tuple[str, ...]:
    """The 146 concrete resource types, sorted."""
    return tuple(sorted(t.name for t in types().values() if t.kind == "resource" and not t.abstract))


@cache
def value_sets() -> Mapping[str, frozenset[tuple[str, str]]]:
    """(system, code) pairs of every value set that a required binding names and whose codes can be listed."""
    return MappingProxyType({url: frozenset((s, c) for s, c in pairs) for url, pairs in _load("value-sets").items()})


@cache
def search_parameters() -> tuple[SearchParameter, ...]:
    """The official SearchParameters. One may serve several ``base`` types; ``expression`` is FHIRPath, or None."""
    return tuple(
        SearchParameter(
            url=raw["url"],
            code=raw["code"],
            type=raw["type"],
            base=tuple(raw["base"]),
            expression=raw.get("expression"),
            target=tuple(raw.get("target", ())),
            component=tuple((c["definition"], c["expression"]) for c in raw.get("component", ())),
            description=raw.get("description", ""),
            usage=raw.get("xpathUsage", "normal"),
        )
        for raw in _load("search-parameters")
    )


@cache
def compartments() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Compartment → resource type → the search parameters that put a resource in it."""
    return MappingProxyType(
        {
            code: MappingProxyType({t: tuple(params) for t, params in members.items()})
            for code, members in _load("compartments").items()
        }
    )


@cache
def operation_definitions() -> Mapping[str, dict[str, Any]]:
    """The official OperationDefinitions of what this server implements, by id (``Patient-everything`` …)."""
    return MappingProxyType(_load("operations"))
