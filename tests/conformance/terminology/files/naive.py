"""A code system as plain dicts: the slow, obvious answers that a concept file must give as well."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from conformance.terminology.code_system import Concept

Entry = tuple[Concept, Sequence[str]]


def plain(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c)).casefold()


def split(text: str) -> set[str]:
    return set(re.sub(r"[\W_]+", " ", plain(text)).split())


def text_of(value: object) -> str:
    if isinstance(value, dict):
        return str(value["code"])
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


class Naive:
    """The answers, each by going through everything."""

    def __init__(self, entries: list[Entry]) -> None:
        self.concepts = {concept.code: concept for concept, _ in entries}
        self.above_of = {concept.code: list(dict.fromkeys(parents)) for concept, parents in entries}

    def children(self, code: str) -> list[str]:
        """Those that name it as a parent."""
        return [child for child, parents in self.above_of.items() if code in parents]

    def roots(self) -> list[str]:
        """Those that name none."""
        return [code for code, parents in self.above_of.items() if not parents]

    def above(self, code: str) -> set[str]:
        """It, and what is above its parents."""
        return {code}.union(*(self.above(parent) for parent in self.above_of[code]))

    def below(self, code: str) -> set[str]:
        """It, and what is below its children."""
        return {code}.union(*(self.below(child) for child in self.children(code)))

    def having(self, name: str, values: list[str]) -> set[str]:
        """Those with the property and one of the values."""
        return {
            c.code
            for c in self.concepts.values()
            for p in c.properties
            if p.code == name and text_of(p.value) in values
        }

    def with_property(self, name: str) -> set[str]:
        """Those with the property."""
        return {c.code for c in self.concepts.values() if any(p.code == name for p in c.properties)}

    def found(self, text: str) -> list[str]:
        """Those that a text finds, by rank, then by place."""
        return [code for _, code in sorted(self._ranked(text), key=lambda pair: pair[0])]

    def _ranked(self, text: str) -> Iterator[tuple[int, str]]:
        wanted = split(text)
        for concept in self.concepts.values():
            has = split("\n".join((concept.code, concept.display or "", *(d.value for d in concept.designations))))
            if concept.code == text.strip() and wanted:
                yield 0, concept.code
            elif wanted and wanted <= has:
                yield 1 if len(split(concept.display or "")) == len(wanted) else 2, concept.code
            elif all(any(word.startswith(w) for word in has) for w in wanted) and (wanted or not text.strip()):
                yield 3, concept.code
