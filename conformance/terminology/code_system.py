"""What the terminology engine asks of a code system, wherever its concepts lie: https://hl7.org/fhir/R4/codesystem.html.

A CodeSystem resource in memory and a memory-mapped concept file both answer to :class:`CodeSystem`. Everything is
synchronous and cheap per concept; nothing here knows of databases or HTTP.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Designation:
    """Another way to say a concept. ``use`` is a Coding as JSON, ``source`` the supplement that it comes from."""

    value: str
    language: str | None = None
    use: Json | None = None
    extension: tuple[Json, ...] = ()
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a concept: ``value`` is a str, bool, int, Decimal, or a Coding as JSON; ``type`` as in FHIR (``code`` …)."""

    code: str
    type: str
    value: Any


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept by itself. ``abstract`` is notSelectable; ``inactive`` by the properties ``inactive`` and ``status``."""

    code: str
    display: str | None
    definition: str | None = None
    designations: tuple[Designation, ...] = ()
    properties: tuple[Property, ...] = ()
    abstract: bool = False
    inactive: bool = False
    extension: tuple[Json, ...] = ()


class CodeSystem(Protocol):
    """A code system of one version."""

    @property
    def resource(self) -> Json:
        """The CodeSystem resource without its concepts: url, version, name, title, content, caseSensitive, property."""

    def __len__(self) -> int:
        """Return how many concepts there are."""

    def find(self, code: str) -> Concept | None:
        """Return a concept by its exact code."""

    def find_folded(self, code: str) -> Concept | None:
        """Return a concept whose code differs in nothing but case."""

    def codes(self) -> Iterator[str]:
        """Yield all codes, parents before children, in the order of the source."""

    def roots(self) -> Sequence[str]:
        """Return the codes that have no parent, in order."""

    def parents(self, code: str) -> Sequence[str]:
        """Return the codes directly above."""

    def children(self, code: str) -> Sequence[str]:
        """Return the codes directly below, in order."""

    def below(self, code: str) -> Collection[str]:
        """Return the code and all that it subsumes, in a stable order."""

    def above(self, code: str) -> Collection[str]:
        """Return the code and all that subsume it."""

    def having(self, name: str, values: Iterable[str]) -> Collection[str]:
        """Return the codes with a property ``name`` of one of these values, in a stable order.

        A Coding counts by its code, a boolean as true or false, a number as it is written.
        """

    def with_property(self, name: str) -> Collection[str]:
        """Return the codes that have a property at all."""

    def search(self, text: str) -> Iterator[str]:
        """Yield the codes that a text finds, best match first, then in order.

        Each word of the text, case and accents aside, must begin a word of the code, the display or a designation.
        """
