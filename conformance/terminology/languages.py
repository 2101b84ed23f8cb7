"""Which words of a concept suit a language, https://hl7.org/fhir/R4/languages.html.

Languages are asked for as in ``Accept-Language``: ``de-CH, de;q=0.8, en;q=0.5``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from conformance.terminology.code_system import Concept

# Uses of a designation that mean: this is the display in its language.
_AS_DISPLAY = frozenset(("display", "preferredForLanguage", "preferred"))


@lru_cache(maxsize=256)
def parse_languages(header: str) -> tuple[str, ...]:
    """Return the languages of an ``Accept-Language`` value, the best first; those with weight 0 are left out."""
    found: list[tuple[float, str]] = []
    for part in header.split(","):
        tag, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if tag and tag != "*" and weight > 0:
            found.append((weight, tag))
    return tuple(tag for _, tag in sorted(found, key=lambda pair: -pair[0]))


def speaks(language: str | None, wanted: str) -> bool:
    """Tell whether words in ``language`` serve one who wants another: the same, or a variety of it."""
    if language is None:
        return False
    have, want = language.lower(), wanted.lower()
    return have == want or have.startswith(f"{want}-")


def words_of(concept: Concept, language: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield (words, language) of a concept's display and designations; ``language`` is the code system's."""
    if concept.display is not None:
        yield concept.display, language
    for designation in concept.designations:
        yield designation.value, designation.language


def display_in(concept: Concept, language: str | None, wanted: Iterable[str]) -> str | None:
    """Return the display in the first of the languages that there is one in, else None; ``language`` is the code system's.

    The display proper goes before designations, and those that stand for a display before synonyms. Where nobody says what
    language the display is in, a synonym doesn't replace it.
    """
    for want in wanted:
        if concept.display is not None and speaks(language, want):
            return concept.display
        best: str | None = None
        for designation in concept.designations:
            if speaks(designation.language, want):
                if designation.use is None or designation.use.get("code") in _AS_DISPLAY:
                    return designation.value
                if language is not None or concept.display is None:
                    best = best or designation.value
        if best is not None:
            return best
    return None
