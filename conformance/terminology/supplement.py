"""A code system with what supplements add to its concepts, https://hl7.org/fhir/R4/codesystem.html#supplements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from conformance.terminology.memory import ResourceCodeSystem

if TYPE_CHECKING:
    from conformance.terminology.code_system import CodeSystem, Concept, Json


def name_of(resource: Json) -> str:
    """Return ``url|version`` of a resource, without a version its url."""
    version = resource.get("version")
    return f"{resource.get('url', '')}|{version}" if version else str(resource.get("url", ""))


class Supplemented:
    """A code system whose concepts carry the designations, properties and extensions of supplements too."""

    def __init__(self, plain: CodeSystem, supplements: Sequence[Json]) -> None:
        self._plain = plain
        self.supplements = tuple(name_of(s) for s in supplements)
        self._added = [(name_of(s), ResourceCodeSystem(s)) for s in supplements]
        declared = [p for s in supplements for p in s.get("property", ())]
        self.resource: Json = plain.resource | {"property": [*plain.resource.get("property", ()), *declared]}

    def __len__(self) -> int:
        """Return how many concepts there are."""
        return len(self._plain)

    def find(self, code: str) -> Concept | None:
        """Return a concept by its exact code."""
        return self._complete(self._plain.find(code))

    def find_folded(self, code: str) -> Concept | None:
        """Return a concept whose code differs in nothing but case."""
        return self._complete(self._plain.find_folded(code))

    def _complete(self, concept: Concept | None) -> Concept | None:
        if concept is None:
            return None
        for source, system in self._added:
            more = system.find(concept.code)
            if more is not None:
                said = tuple(replace(designation, source=source) for designation in more.designations)
                concept = replace(
                    concept,
                    designations=concept.designations + said,
                    properties=concept.properties + more.properties,
                    extension=concept.extension + more.extension,
                )
        return concept

    def codes(self) -> Iterator[str]:
        """Yield all codes, parents before children."""
        return self._plain.codes()

    def roots(self) -> Sequence[str]:
        """Return the codes that have no parent, in order."""
        return self._plain.roots()

    def parents(self, code: str) -> Sequence[str]:
        """Return the codes directly above."""
        return self._plain.parents(code)

    def children(self, code: str) -> Sequence[str]:
        """Return the codes directly below, in order."""
        return self._plain.children(code)

    def below(self, code: str) -> Collection[str]:
        """Return the code and all that it subsumes."""
        return self._plain.below(code)

    def above(self, code: str) -> Collection[str]:
        """Return the code and all that subsume it."""
        return self._plain.above(code)

    def having(self, name: str, values: Iterable[str]) -> Collection[str]:
        """Return the codes with a property of one of these values, the supplements' properties too."""
        wanted = tuple(values)
        return self._joined([system.having(name, wanted) for system in (self._plain, *self._systems)])

    def with_property(self, name: str) -> Collection[str]:
        """Return the codes that have a property at all."""
        return self._joined([system.with_property(name) for system in (self._plain, *self._systems)])

    def search(self, text: str) -> Iterator[str]:
        """Yield the codes that a text finds in the code system, then those that it finds in supplements."""
        seen: set[str] = set()
        for system in (self._plain, *self._systems):
            for code in system.search(text):
                if code not in seen and self._plain.find(code) is not None:
                    seen.add(code)
                    yield code

    @cached_property
    def _systems(self) -> list[ResourceCodeSystem]:
        return [system for _, system in self._added]

    def _joined(self, parts: Iterable[Collection[str]]) -> Collection[str]:
        return dict.fromkeys(code for part in parts for code in part if self._plain.find(code) is not None)
