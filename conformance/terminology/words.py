"""How a text finds a concept, https://hl7.org/fhir/R4/valueset-operation-expand.html (``filter``)."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.terminology.code_system import Concept
from conformance.terminology.files.words import words_of


def spoken(concept: Concept) -> str:
    """Return the folded words of a concept's code, display and designations, each with a space before it."""
    texts = (concept.code, concept.display or "", *(d.value for d in concept.designations))
    return " " + " ".join(word for text in texts for word in words_of(text))


def begins_words(wanted: Iterable[str], words: str) -> bool:
    """Tell whether each of the wanted words begins one of ``words``, as :func:`spoken` gives them."""
    return all(f" {word}" in words for word in wanted)
