"""What one operation sees: the source, which versions count, which supplements are used.

https://hl7.org/fhir/R4/valueset-operation-expand.html. Value sets and code systems are resolved once per scope.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conformance.terminology import currencies
from conformance.terminology.code_system import CodeSystem, Json
from conformance.terminology.currencies import CURRENCIES
from conformance.terminology.errors import TerminologyError, unknown_value_set
from conformance.terminology.grammars import GRAMMARS
from conformance.terminology.source import Source
from conformance.terminology.supplement import Supplemented
from conformance.terminology.value_sets import ValueSet
from conformance.terminology.versions import NO_RULES, VersionRules, newest

_MOST_KEPT = 1_000


class Scope:
    """Resolves canonical URLs for an operation. ``supplements`` are code systems' supplements by what they supplement."""

    def __init__(self, source: Source, rules: VersionRules = NO_RULES, supplements: tuple[Json, ...] = ()) -> None:
        self.source = source
        self.rules = rules
        self.supplements = supplements
        self._value_sets: dict[str, ValueSet] = {}
        self._code_systems: dict[tuple[str, str | None], CodeSystem] = {}

    def with_supplements(self, canonicals: Iterable[str]) -> Scope:
        """Return a scope that uses supplements too. Raises TerminologyError when one isn't known."""
        found = list(self.supplements)
        for canonical in canonicals:
            resource = self.source.find("CodeSystem", canonical)
            if resource is None or resource.get("content") != "supplement":
                raise TerminologyError(422, "business-rule", "not-found", f"Required supplement not found: {canonical}")
            if resource not in found:
                found.append(resource)
        return Scope(self.source, self.rules, tuple(found))

    def value_set(self, canonical: str) -> ValueSet:
        """Return the value set of a canonical URL. Raises TerminologyError when it isn't known."""
        found = self._value_sets.get(canonical)
        if found is None:
            resource = self.source.find("ValueSet", canonical)
            if resource is None:
                raise unknown_value_set(canonical)
            found = self._value_sets[canonical] = ValueSet(resource, self)
        return found

    def url_of(self, system: str) -> str:
        """Return the URL of a code system; one named by its OID or UUID has a NamingSystem that tells its URL."""
        if not system.startswith(("urn:oid:", "urn:uuid:")) or self.code_system(system, None) is not None:
            return system
        naming = self.source.find("NamingSystem", system)
        if naming is None or naming.get("kind") != "codesystem":
            return system
        urls = [unique for unique in naming.get("uniqueId", ()) if unique.get("type") == "uri"]
        preferred = next((unique for unique in urls if unique.get("preferred")), urls[0] if urls else None)
        return str(preferred["value"]) if preferred is not None else system

    def code_system(self, system: str, wanted: str | None) -> CodeSystem | None:
        """Return the newest version of a code system that is as wanted, None when there is none."""
        place = system, wanted
        found = self._code_systems.get(place)
        if found is None:
            found = self._resolve(system, wanted)
            if found is not None:
                # Clients write what is wanted, so there is no end of it.
                if len(self._code_systems) >= _MOST_KEPT:
                    self._code_systems.clear()
                self._code_systems[place] = found
        return found

    def _resolve(self, system: str, wanted: str | None) -> CodeSystem | None:
        if wanted is None:
            found = self.source.code_system(system)
        else:
            found = self.source.code_system(f"{system}|{wanted}")
            if found is None:
                version = newest(self.versions(system), wanted)
                found = None if version is None else self.source.code_system(f"{system}|{version}")
        if found is None:
            return CURRENCIES if system == currencies.URL else GRAMMARS.get(system)
        fitting = [s for s in self.supplements if _supplements(s, found)]
        return Supplemented(found, fitting) if fitting else found

    def versions(self, system: str) -> Sequence[str]:
        """Return the versions of a code system that are known."""
        return sorted(self.source.versions(system))


def _supplements(supplement: Json, system: CodeSystem) -> bool:
    url, _, version = supplement.get("supplements", "").partition("|")
    return url == system.resource.get("url") and (not version or version == system.resource.get("version"))
