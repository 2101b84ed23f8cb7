"""Concepts by the beginnings of words, https://hl7.org/fhir/R4/valueset-operation-expand.html (``filter``).

Best is a concept with that very code; then those whose display consists of these words; then those that have each word
whole; then those that have words that begin so. Among equals the order of the source decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from conformance.terminology.files.postings import Postings
from conformance.terminology.files.words import words_of

# A beginning that more than one concept in so many has is looked for in the concepts one by one, from the first on.
_DENSE = 4


class Searched(Protocol):
    """What the search asks about single concepts, by number."""

    def __len__(self) -> int:
        """Return how many concepts there are."""

    def number_of(self, code: str) -> int | None:
        """Return a code's number."""

    def words_at(self, number: int) -> set[str]:
        """Return the words by which a concept is found."""

    def display_words_at(self, number: int) -> int:
        """Return how many different words a display has."""


def search(system: Searched, postings: Postings, text: str) -> Iterator[int]:
    """Yield the numbers of the concepts that a text finds; all of them for a text without words."""
    words = list(dict.fromkeys(words_of(text)))
    if not words:
        if not text.strip():
            yield from range(len(system))
        return
    exact = system.number_of(text.strip())
    if exact is not None:
        yield exact
    whole = _intersect([postings.exactly(word.encode()) for word in words])
    close = [n for n in whole if system.display_words_at(n) == len(words)]
    yield from (n for n in close if n != exact)
    seen = {*close, exact}
    yield from (n for n in whole if n not in seen)
    seen.update(whole)
    yield from (n for n in _beginning(system, postings, words) if n not in seen)


def _intersect(lists: list[Sequence[int]]) -> list[int]:
    """Return the sorted numbers that are in all lists."""
    lists.sort(key=len)
    found = set(lists[0])
    for numbers in lists[1:]:
        if not found:
            break
        found.intersection_update(numbers)
    return sorted(found)


def _beginning(system: Searched, postings: Postings, words: list[str]) -> Iterator[int]:
    """Yield the numbers of the concepts that have for each word one that begins with it."""
    lists = [postings.starting(word.encode()) for word in words]
    dense = [word for word, numbers in zip(words, lists, strict=True) if len(numbers) * _DENSE > len(system)]
    sparse = [numbers for numbers in lists if len(numbers) * _DENSE <= len(system)]
    if not sparse and len(words) > 1:
        # Each is frequent but they may not meet: going through all concepts would take longer than the lists.
        yield from _intersect(lists)
        return
    for number in _intersect(sparse) if sparse else range(len(system)):
        if not dense or _has_all(system.words_at(number), dense):
            yield number


def _has_all(words: set[str], beginnings: list[str]) -> bool:
    return all(any(word.startswith(beginning) for word in words) for beginning in beginnings)
