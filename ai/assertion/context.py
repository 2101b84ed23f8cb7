"""Assertion of a mention by cues around it, in the manner of ConText (https://doi.org/10.1016/j.jbi.2009.05.002).

The cues, their direction and reach are data (``rules.json``, own). Everything works on the words of one sentence;
a mention is a range of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RULES = Path(__file__).with_name("rules.json")
PLAIN = "affirmed"

_WORD = re.compile(r"[a-z0-9'/]+|[^\sa-z0-9]", re.IGNORECASE)
_ORDER = ("family", "negated", "hypothetical", "historical", "possible")
_LONGEST = 6
_BREAKS = frozenset(";:")


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that govern what comes after (forward) or before them (backward), or nothing (pseudo)."""

    assertion: str
    direction: str
    reach: int


@dataclass(frozen=True, slots=True)
class Found(Cue):
    """A cue where it stands: words ``begin`` to ``stop`` of its sentence."""

    begin: int
    stop: int


@dataclass(frozen=True, slots=True)
class Rules:
    """Cues by their words, the words that end a cue's reach, section titles by what they assert, and how phrases begin."""

    cues: dict[tuple[str, ...], tuple[Cue, ...]]
    boundaries: frozenset[tuple[str, ...]]
    sections: dict[str, str]
    openings: frozenset[str]


@cache
def rules() -> Rules:
    """Load the rules once."""
    data = json.loads(RULES.read_text(encoding="utf-8"))
    cues: dict[tuple[str, ...], list[Cue]] = {}
    for rule in data["cues"]:
        cue = Cue(rule["assertion"], rule["direction"], rule["reach"])
        for phrase in rule["phrases"]:
            cues.setdefault(_split(phrase), []).append(cue)
    boundaries = frozenset(_split(phrase) for phrase in data["boundaries"])
    return Rules(
        cues={words: tuple(found) for words, found in cues.items()},
        boundaries=boundaries,
        sections={title: assertion for assertion, titles in data["sections"].items() for title in titles},
        openings=frozenset(words[0] for words in (*cues, *boundaries)),
    )


def _split(text: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(text))


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence's words, lower-cased, with their offsets in it, and the cues and boundaries found among them."""

    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    cues: tuple[Found, ...]
    boundaries: tuple[tuple[int, int], ...]


def read_sentence(text: str) -> Sentence:
    """Find words, cues and boundaries of one sentence. Where cues overlap the longest counts."""
    matches = list(_WORD.finditer(text))
    words = tuple(match.group().lower().replace("\u2019", "'") for match in matches)
    known = rules()
    cues: list[Found] = []
    boundaries: list[tuple[int, int]] = []
    position = 0
    while position < len(words):
        length = _longest(words, position, known)
        phrase = words[position : position + length]
        cues += [
            Found(cue.assertion, cue.direction, cue.reach, position, position + length)
            for cue in known.cues.get(phrase, ())
        ]
        if phrase in known.boundaries or words[position] in _BREAKS:
            boundaries.append((position, position + max(length, 1)))
        position += max(length, 1)
    return Sentence(words, tuple(match.span() for match in matches), tuple(cues), tuple(boundaries))


def _longest(words: Sequence[str], position: int, known: Rules) -> int:
    if words[position] not in known.openings:
        return 0
    for length in range(min(_LONGEST, len(words) - position), 0, -1):
        phrase = tuple(words[position : position + length])
        if phrase in known.cues or phrase in known.boundaries:
            return length
    return 0


def assertions(sentence: Sentence, start: int, end: int) -> tuple[str, ...]:
    """Return all that governs the mention at characters ``start`` to ``end`` of the sentence, the weightiest first."""
    inside = [i for i, (begin, stop) in enumerate(sentence.spans) if begin < end and stop > start]
    if not inside:
        return ()
    first, last = inside[0], inside[-1] + 1
    found = {cue.assertion for cue in sentence.cues if _governs(sentence, cue, first, last)}
    return tuple(name for name in _ORDER if name in found)


def assertion(sentence: Sentence, start: int, end: int) -> str:
    """Return the weightiest assertion of a mention, ``affirmed`` when nothing qualifies it."""
    return next(iter(assertions(sentence, start, end)), PLAIN)


def _governs(sentence: Sentence, cue: Found, first: int, last: int) -> bool:
    if cue.direction == "forward" and cue.stop <= first:
        low, high = cue.stop, first
    elif cue.direction == "backward" and cue.begin >= last:
        low, high = last, cue.begin
    else:
        return False
    if cue.reach and high - low > cue.reach:
        return False
    return not any(low <= edge < high for edge, _ in sentence.boundaries)


def section_assertion(line: str) -> str | None:
    """Return what a section's title (a line up to a colon) says of all below it, None when it says nothing."""
    title = line.partition(":")[0].strip().lower()
    return rules().sections.get(title)
