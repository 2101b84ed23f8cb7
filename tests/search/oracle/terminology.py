"""Code systems and value sets of the world, https://hl7.org/fhir/R4/terminologies.html."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Codes = set[tuple[str, str]]


class Terminology:
    """What the stored CodeSystems and ValueSets say."""

    def __init__(self, resources: Iterable[dict[str, Any]]) -> None:
        self._parents: dict[str, dict[str, str | None]] = {}
        self._value_sets: dict[str, dict[str, Any]] = {}
        for resource in resources:
            if resource["resourceType"] == "CodeSystem":
                self._read(resource["url"], resource.get("concept", ()), None)
            elif resource["resourceType"] == "ValueSet":
                self._value_sets[resource["url"]] = resource
                self._value_sets[f"ValueSet/{resource['id']}"] = resource

    def _read(self, system: str, concepts: Iterable[dict[str, Any]], parent: str | None) -> None:
        for concept in concepts:
            self._parents.setdefault(system, {})[concept["code"]] = parent
            self._read(system, concept.get("concept", ()), concept["code"])

    def above(self, system: str, code: str) -> set[str]:
        """Return a code and all that subsume it."""
        found: set[str] = set()
        upwards: str | None = code
        while upwards is not None:
            found.add(upwards)
            upwards = self._parents.get(system, {}).get(upwards)
        return found

    def below(self, system: str, code: str) -> set[str]:
        """Return a code and all that it subsumes."""
        return {code} | {narrower for narrower in self._parents.get(system, {}) if code in self.above(system, narrower)}

    def expand(self, value_set: str) -> Codes:
        """Return the codes of a value set, given by its URL or as ``ValueSet/id``."""
        compose = self._value_sets[value_set].get("compose", {})
        included = set().union(*(self._include(part) for part in compose.get("include", ())))
        return included.difference(*(self._include(part) for part in compose.get("exclude", ())))

    def _include(self, part: dict[str, Any]) -> Codes:
        system = part["system"]
        if "concept" in part:
            return {(system, concept["code"]) for concept in part["concept"]}
        codes = set(self._parents.get(system, {}))
        for condition in part.get("filter", ()):
            codes &= self.below(system, condition["value"])  # the world's value sets filter by is-a only
        return {(system, code) for code in codes}
