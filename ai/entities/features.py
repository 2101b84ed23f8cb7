"""What a tagger sees of a word: the word and its neighbours, pairs of them, and what the document says elsewhere.

Three groups, so that tagging can cache. The features of a word, of its place beside another, and of a pair depend on the
words alone; only the third group, ``extras``, has to be worked out for each place. Training spells all three out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from ai.entities.abbreviations import definitions
from ai.entities.lexicon import matches
from ai.entities.tokens import Tokens

OFFSETS = (-2, -1, 0, 1, 2)
PAIRS = ((-1, 0), (0, 1))
_DIGIT = re.compile(r"\d")
_RUN = re.compile(r"(.)\1+")
_UPPER = re.compile(r"[^\W\d_a-zß-öø-ÿ]")
_LOWER = re.compile(r"[a-zß-öø-ÿ]")
_GREEK = frozenset(["alpha", "beta", "gamma", "delta", "kappa", "omega", "sigma", "theta", "lambda"])
_MOST_ELSEWHERE = 4
EDGE = "¶"
"""What stands beyond the ends of a sentence."""

Clusters = Mapping[str, str]
"""Lower-cased word → its clusters, from coarse to fine, separated by a space."""


@lru_cache(maxsize=100_000)
def normal(word: str) -> str:
    """Return a word as features know it: lower-cased, every digit a 0."""
    return _DIGIT.sub("0", word.lower())


def shape(word: str) -> str:
    """Return capitals as X, small letters as x, digits as 0, each run once."""
    return _RUN.sub(r"\1", _DIGIT.sub("0", _LOWER.sub("x", _UPPER.sub("X", word))))


def word_features(word: str, offset: int, clusters: Clusters) -> Iterator[str]:
    """Yield the features that a word gives to the one ``offset`` places before it."""
    low = normal(word)
    yield f"{offset}w={low}"
    groups = clusters.get(low, "").split()
    for level, group in enumerate(groups):
        if abs(offset) < 2 or level:  # noqa: PLR2004 - the coarse ones say little from afar
            yield f"{offset}c{level}={group}"
    if abs(offset) > 1:
        return
    yield f"{offset}s={shape(word)}"
    yield f"{offset}e3={low[-3:]}"
    if offset:
        yield f"{offset}e4={low[-4:]}"
        return
    yield f"x={word}"
    for length in (2, 4, 5, 6):
        if len(low) > length:
            yield f"e{length}={low[-length:]}"
    for length in (2, 3, 4, 5):
        if len(low) > length:
            yield f"b{length}={low[:length]}"
    if len(low) > 6:  # noqa: PLR2004 - inner letter groups tell drugs and diseases by their stems
        for start in range(1, len(low) - 4):
            yield f"i={low[start : start + 4]}"
    yield f"l={min(len(low), 12)}"
    if low in _GREEK:
        yield "greek"
    if not groups:
        yield "rare"


def pair_features(left: str, right: str, place: int, clusters: Clusters) -> Iterator[str]:
    """Yield the features of two neighbouring words; ``place`` is the offset of the first."""
    first, second = normal(left), normal(right)
    yield f"{place}ww={first} {second}"
    one, two = clusters.get(first, "").split(), clusters.get(second, "").split()
    if one and two:
        yield f"{place}cc={one[1]} {two[1]}"


def edge(words: Sequence[str], begin: int, stop: int, position: int) -> str:
    """Return the word at a position of the sentence ``begin`` to ``stop``, a mark of its own beyond its ends."""
    return words[position] if begin <= position < stop else EDGE


def extras(tokens: Tokens, clusters: Clusters) -> list[list[str]]:
    """Return for each word what known names, definitions and its other occurrences in the document add."""
    words = tokens.words
    lowered = [word.lower() for word in words]
    found: list[list[str]] = [[] for _ in words]
    for first, stop, kind in matches(lowered):
        size = min(stop - first, 3)
        for position in range(first, stop):
            found[position].append(f"n={kind}{'B' if position == first else 'I'}{size}")
        if first:
            found[first - 1].append(f"n+1={kind}")
        if stop < len(words):
            found[stop].append(f"n-1={kind}")
    _add_definitions(tokens, clusters, found)
    _add_elsewhere(words, found)
    _add_brackets(tokens, found)
    return found


def _add_definitions(tokens: Tokens, clusters: Clusters, found: list[list[str]]) -> None:
    known = definitions(tokens)
    if not known:
        return
    said: dict[str, list[str]] = {}
    for short, (first, stop, _) in known.items():
        head, opening = normal(tokens.words[stop - 1]), normal(tokens.words[first])
        own = [f"ah={head}", f"ae={head[-4:]}", f"ao={opening}", f"aoe={opening[-4:]}"]
        own += [f"ac{level}={group}" for level, group in enumerate(clusters.get(head, "").split())]
        own += [feature.replace("n=", "an=", 1) for feature in found[stop - 1] if feature.startswith("n=")]
        said[short] = own
        for position in range(first, stop):
            found[position].append("long")
    for position, word in enumerate(tokens.words):
        if word in said:
            found[position].extend(said[word])


def _add_elsewhere(words: Sequence[str], found: list[list[str]]) -> None:
    """Add the neighbours of a word's other occurrences: a drug named beside "mg" once is one everywhere."""
    places: dict[str, list[int]] = {}
    for position, word in enumerate(words):
        if len(word) > 2 and word[0].isalnum():  # noqa: PLR2004 - short words are everywhere
            places.setdefault(word, []).append(position)
    for word, positions in places.items():
        if not 1 < len(positions) <= 40 or word.lower() in _COMMON:  # noqa: PLR2004 - the same
            continue
        before = dict.fromkeys(normal(words[p - 1]) for p in positions if p)
        after = dict.fromkeys(normal(words[p + 1]) for p in positions if p + 1 < len(words))
        said = [f"d-={w}" for w in list(before)[:_MOST_ELSEWHERE]] + [f"d+={w}" for w in list(after)[:_MOST_ELSEWHERE]]
        for position in positions:
            found[position].extend(said)


def _add_brackets(tokens: Tokens, found: list[list[str]]) -> None:
    for begin, stop in tokens.ranges():
        depth = 0
        for position in range(begin, stop):
            word = tokens.words[position]
            depth = max(depth + (word in "([") - (word in ")]"), 0)
            if depth:
                found[position].append("in")


_COMMON = frozenset(
    [
        "the",
        "and",
        "was",
        "were",
        "with",
        "for",
        "that",
        "this",
        "from",
        "had",
        "are",
        "has",
        "have",
        "not",
        "but",
        "who",
        "which",
        "after",
        "before",
        "during",
        "all",
        "his",
        "her",
        "she",
        "him",
        "its",
        "their",
        "been",
        "than",
        "then",
        "also",
        "these",
        "those",
        "there",
        "can",
        "may",
        "one",
        "two",
        "three",
        "more",
        "most",
        "other",
        "into",
        "both",
        "between",
        "within",
        "only",
        "our",
        "she",
        "they",
        "when",
        "per",
        "without",
    ]
)
