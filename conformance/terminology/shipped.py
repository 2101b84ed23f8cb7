"""The terminology that comes with the server, https://hl7.org/fhir/R4/terminologies.html.

ValueSets, ConceptMaps, NamingSystems and the smaller CodeSystems of FHIR 4.0.1, of HL7 Terminology and of the sets that HL7
publishes beside them lie in one pack; the large code systems have concept files. :mod:`conformance.compile_terminology`
makes them. Everything is read when first asked for and mapped into memory, so that processes share it.
The module itself is a source for the terminology engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from conformance.pack import Pack
from conformance.terminology.code_system import CodeSystem
from conformance.terminology.files.read import ConceptFile
from conformance.terminology.memory import ResourceCodeSystem

Json = dict[str, Any]

_FOLDER = Path(__file__).parent.parent / "definitions"
_WITHOUT_CONCEPTS = frozenset(("not-present", "supplement"))


class Listed(NamedTuple):
    """A code system in a list; ``version`` and ``title`` may be empty."""

    url: str
    version: str
    title: str
    concepts: int


@cache
def _pack() -> Pack:
    return Pack(_FOLDER / "terminology.pack")


@cache
def _files() -> dict[str, ConceptFile]:
    """Return the large code systems by URL."""
    files = [ConceptFile(path) for path in sorted(_FOLDER.glob("*.concepts"))]
    return {file.resource["url"]: file for file in files}


def find(resource_type: str, canonical: str) -> Json | None:
    """Return the shipped resource of a canonical URL, perhaps ``url|version``, or None; a NamingSystem by a unique id.

    Without a version the one of HL7 Terminology goes before the one that was current when FHIR 4.0.1 came out. A large code
    system comes without its concepts.
    """
    if resource_type == "CodeSystem":
        file = _file(canonical)
        if file is not None:
            return {**file.resource}
    return _pack().find(resource_type, canonical)


def _file(canonical: str) -> ConceptFile | None:
    url, _, version = canonical.partition("|")
    file = _files().get(url)
    return file if file is not None and version in ("", file.resource["version"]) else None


@lru_cache(maxsize=256)
def code_system(canonical: str) -> CodeSystem | None:
    """Return the code system of a canonical URL, perhaps ``url|version``; None when its concepts aren't shipped."""
    file = _file(canonical)
    if file is not None:
        return file
    resource = _pack().find("CodeSystem", canonical)
    if resource is None or resource["content"] in _WITHOUT_CONCEPTS:
        return None
    return ResourceCodeSystem(resource)


@lru_cache(maxsize=1024)
def versions(url: str) -> Sequence[str]:
    """Return the versions of a code system whose concepts are shipped, an empty text for one without a version.

    First is the one that the URL alone means.
    """
    file = _files().get(url)
    if file is not None:
        return [file.resource["version"]]
    known = ((v, _pack().find("CodeSystem", f"{url}|{v}")) for v in _pack().versions("CodeSystem", url))
    return [version for version, resource in known if resource and resource["content"] not in _WITHOUT_CONCEPTS]


@cache
def code_systems() -> tuple[Listed, ...]:
    """Return all code systems whose concepts are shipped, by URL."""
    large = [(file.resource, len(file)) for file in _files().values()]
    small = [(r, _count(r)) for r in _pack().resources("CodeSystem") if r["content"] not in _WITHOUT_CONCEPTS]
    listed = [Listed(r["url"], r.get("version", ""), r.get("title", ""), count) for r, count in (*large, *small)]
    return tuple(sorted(listed))


@cache
def concept_maps() -> tuple[Json, ...]:
    """Return all ConceptMaps that are shipped. They are shared: nobody may change them."""
    return tuple(_pack().resources("ConceptMap"))


def _count(resource: Json) -> int:
    """Return how many concepts a resource has, those inside others included."""
    return sum(1 + _count(concept) for concept in resource.get("concept", ()))
