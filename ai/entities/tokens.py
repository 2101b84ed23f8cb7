"""Tokens and sentences with exact offsets: ``text[start:end]`` is always the token.

Finer than the tokenizer of the code index: every mark is a token of its own, so that a mention inside ``5-HT3/placebo``
can begin and end where its annotator put it. Linear in the length of the text. Offsets count Python characters (code points).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

# A letter keeps its combining accents; possessive 's stands alone; a number keeps its fraction.
_TOKEN = re.compile(r"[^\W\d_][^\W\d_\u0300-\u036f]*(?:[\u0300-\u036f]+[^\W_]*)*[^\W_]*|\d+(?:[.,]\d+)*|\S", re.UNICODE)
_STOPS = frozenset(".?!")
_LONGEST = 120
_SHORTHAND = frozenset(
    [
        "dr",
        "mr",
        "mrs",
        "ms",
        "prof",
        "vs",
        "e",
        "g",
        "i",
        "al",
        "fig",
        "figs",
        "no",
        "approx",
        "st",
        "jr",
        "sr",
        "cf",
        "etc",
        "ca",
        "resp",
        "max",
        "min",
    ]
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The words of a text, the offsets where each begins and ends, and the index of the first word of each sentence."""

    words: list[str]
    starts: list[int]
    ends: list[int]
    sentences: list[int]

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield each sentence as a half-open range of words."""
        yield from pairwise([*self.sentences, len(self.words)])


def tokenize(text: str) -> Tokens:
    """Cut a text into words and sentences."""
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _TOKEN.finditer(text):
        words.append(match.group())
        starts.append(match.start())
        ends.append(match.end())
    return Tokens(words, starts, ends, list(_sentences(text, words, starts, ends)))


def _sentences(text: str, words: list[str], starts: list[int], ends: list[int]) -> Iterator[int]:
    """Begin a sentence after a stop and white space, and on a line that begins like one; none is endless."""
    begun = 0
    for position, word in enumerate(words):
        if position == 0:
            yield 0
            continue
        gap = text[ends[position - 1] : starts[position]]
        if not gap and position - begun < _LONGEST:
            continue
        before = words[position - 1]
        stopped = before in _STOPS and not word[0].islower() and not _abbreviates(words, position - 1)
        line = "\n" in gap or "\r" in gap
        if stopped or (line and (not word[0].islower() or gap.count("\n") > 1)) or position - begun >= _LONGEST:
            begun = position
            yield position


def _abbreviates(words: list[str], stop: int) -> bool:
    """Tell whether the full stop at ``stop`` ends a shorthand such as "vs." or an initial, not a sentence."""
    before = words[stop - 1] if stop else ""
    return words[stop] == "." and (
        before.lower() in _SHORTHAND
        or (len(before) == 1 and before.isalpha() and before.isupper() and stop > 1 and words[stop - 2] == ".")
    )
