"""Where the terminology engine finds what resources refer to, https://hl7.org/fhir/R4/references.html#canonical.

Everything that a source is asked for is either there, or not known, or raises
:class:`~conformance.terminology.errors.MissingResource`: then whoever runs the operation fetches it and tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from conformance.pack import urls_of
from conformance.terminology.code_system import CodeSystem
from conformance.terminology.memory import ResourceCodeSystem
from conformance.terminology.versions import version_key

Json = dict[str, Any]
Find = Callable[[str, str], Json | None]
"""Returns the resource (first argument: its type) of a canonical URL, perhaps ``url|version``; None if unknown."""

_WITHOUT_CONCEPTS = frozenset(("not-present", "supplement"))
_MOST_KEPT = 5_000


class Source(Protocol):
    """What the engine asks of its surroundings."""

    def find(self, resource_type: str, canonical: str) -> Json | None:
        """Return the resource of a canonical URL, perhaps ``url|version``; without a version the newest. None: unknown.

        Asked for ValueSets, ConceptMaps, CodeSystems that are supplements, and NamingSystems by an OID or UUID as a URN.
        """

    def code_system(self, canonical: str) -> CodeSystem | None:
        """Return the code system of a canonical URL, perhaps ``url|version``; without a version the newest."""

    def versions(self, url: str) -> Sequence[str]:
        """Return the versions that there are of a code system, an empty text for one without a version."""


class Resources:
    """A source of resources in memory."""

    def __init__(self, resources: Iterable[Json]) -> None:
        self._resources: dict[tuple[str, str], list[Json]] = {}
        self._systems: dict[str, CodeSystem] = {}
        for resource in resources:
            for url in urls_of(resource) if "url" in resource or "uniqueId" in resource else ():
                self._resources.setdefault((resource["resourceType"], url), []).append(resource)
        for versions in self._resources.values():
            versions.sort(key=lambda r: (r.get("status") != "retired", version_key(r.get("version", ""))), reverse=True)

    def find(self, resource_type: str, canonical: str) -> Json | None:
        """Return the resource of a canonical URL; without a version the newest that isn't retired."""
        url, _, version = canonical.partition("|")
        known = self._resources.get((resource_type, url), ())
        return next((r for r in known if not version or r.get("version") == version), None)

    def code_system(self, canonical: str) -> CodeSystem | None:
        """Return the code system of a canonical URL."""
        found = self._systems.get(canonical)
        if found is None:
            resource = self.find("CodeSystem", canonical)
            if resource is not None and resource.get("content") not in _WITHOUT_CONCEPTS:
                found = self._systems[canonical] = ResourceCodeSystem(resource)
        return found

    def versions(self, url: str) -> Sequence[str]:
        """Return the versions of a code system whose concepts are here."""
        known = self._resources.get(("CodeSystem", url), ())
        return [str(r.get("version", "")) for r in known if r.get("content") not in _WITHOUT_CONCEPTS]


class FindSource:
    """A source that is a function: it returns the resource of a type and canonical URL, or None, or raises."""

    def __init__(self, find: Find) -> None:
        self.find = find
        self._systems: dict[str, CodeSystem | None] = {}

    def code_system(self, canonical: str) -> CodeSystem | None:
        """Return the code system of a canonical URL."""
        if canonical not in self._systems:
            resource = self.find("CodeSystem", canonical)
            if resource is not None and resource.get("content") in _WITHOUT_CONCEPTS:
                resource = None
            # Resources may name what they like, so there is no end of it.
            if len(self._systems) >= _MOST_KEPT:
                self._systems.clear()
            self._systems[canonical] = None if resource is None else ResourceCodeSystem(resource)
        return self._systems[canonical]

    def versions(self, url: str) -> Sequence[str]:
        """Return the one version that the function gives."""
        found = self.code_system(url)
        return [] if found is None else [str(found.resource.get("version", ""))]


class Sources:
    """Several sources in one: what the first of them knows, goes."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    def find(self, resource_type: str, canonical: str) -> Json | None:
        """Return the resource of a canonical URL from the first source that knows it."""
        for source in self._sources:
            found = source.find(resource_type, canonical)
            if found is not None:
                return found
        return None

    def code_system(self, canonical: str) -> CodeSystem | None:
        """Return the code system of a canonical URL from the first source that knows it."""
        for source in self._sources:
            found = source.code_system(canonical)
            if found is not None:
                return found
        return None

    def versions(self, url: str) -> Sequence[str]:
        """Return the versions that all sources together know."""
        return list(dict.fromkeys(version for source in self._sources for version in source.versions(url)))
