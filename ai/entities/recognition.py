"""Entities of a note: what the taggers and the rules see, joined, with assertion, section and attributes.

``text[start:end]`` is the entity's words, whatever characters the text holds. Assertion is ConText's
(``ai.assertion``); what a section's title says holds where the sentence says nothing else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ai.assertion.context import PLAIN, Sentence, assertion, read_sentence, section_assertion
from ai.entities.lexicon import matches
from ai.entities.measurements import Measurement, find_measurements
from ai.entities.medications import Attribute, attributes_of
from ai.entities.sections import Section, find_sections, section_at
from ai.entities.tagging import Tagged, Taggers
from ai.entities.tokens import Tokens, tokenize

TYPES = ("condition", "symptom", "medication", "procedure", "anatomy", "vital-sign", "measurement")
_CLEAR = 0.8
_BY_NAME = 0.5
_BY_RULE = 0.9
_LONGEST_NAME = 150
_NAMED = {"disease": "condition", "symptom": "symptom", "drug": "medication"}
_OF_LABORATORY = frozenset({"procedure", "medication", "anatomy"})


@dataclass(frozen=True, slots=True)
class Entity:
    """``text[start:end]`` is of ``type``; ``confidence`` 0 to 1; ``section`` is empty before the first title.

    ``attributes`` say how a medication is given; ``measurement`` holds the value of a vital sign or measurement.
    """

    type: str
    start: int
    end: int
    assertion: str
    confidence: float
    section: str
    attributes: tuple[Attribute, ...] = ()
    measurement: Measurement | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    type: str
    start: int
    end: int
    confidence: float
    measurement: Measurement | None = None


def recognise(text: str, taggers: Taggers) -> list[Entity]:
    """Return the entities of a text in order. Time and memory grow in proportion to its length."""
    tokens = tokenize(text)
    sections = find_sections(text)
    titles = [(section.start, section.start + len(section.title)) for section in sections]
    seen = [one for one in _seen(text, tokens, taggers) if not _inside(one, titles)]
    return list(_entities(text, tokens, sections, seen))


def _inside(one: _Seen, titles: Sequence[tuple[int, int]]) -> bool:
    """Tell whether something lies within the title of a section, which names no finding."""
    number = bisect_right(titles, one.start, key=lambda title: title[0])
    return bool(number) and one.end <= titles[number - 1][1]


def _seen(text: str, tokens: Tokens, taggers: Taggers) -> list[_Seen]:
    """Join by trust: measurements, case reports' taggers, clear findings of the abstracts' tagger, then known drug names."""
    tagged = taggers.tag(tokens, "case-report", "chemical-disease")
    measured = [_of_measurement(one) for one in find_measurements(text)]
    found: list[_Seen] = list(measured)
    taken, numbers = bytearray(len(text)), bytearray(len(text))
    for one in measured:
        numbers[one.start : one.end] = b"\x01" * (one.end - one.start)
    for one in _of_taggers(tokens, tagged):
        if (
            not _can_be_named(text[one.start : one.end])
            or any(taken[one.start : one.end])
            or (one.type in _OF_LABORATORY and any(numbers[one.start : one.end]))
        ):
            continue
        taken[one.start : one.end] = b"\x01" * (one.end - one.start)
        found.append(one)
    return sorted(found, key=lambda one: (one.start, one.end))


def _can_be_named(words: str) -> bool:
    """Tell whether a mention may be a name: the taggers know English, and no name goes on and on."""
    return len(words) <= _LONGEST_NAME and any("a" <= character <= "z" for character in words.lower())


def _of_measurement(one: Measurement) -> _Seen:
    return _Seen("vital-sign" if one.kind.code else "measurement", one.start, one.end, _BY_RULE, one)


def _of_taggers(tokens: Tokens, tagged: dict[str, list[Tagged]]) -> Iterator[_Seen]:
    lowered = [word.lower() for word in tokens.words]
    names = {(first, stop): _NAMED[kind] for first, stop, kind in matches(lowered)}
    for one in tagged["case-report"]:
        yield _of_words(tokens, one.type, one.first, one.stop, one.confidence)
    for one in tagged["chemical-disease"]:
        if one.confidence >= _CLEAR:
            plain = "medication" if one.type == "chemical" else "condition"
            kind = names.get((one.first, one.stop), plain)
            yield _of_words(tokens, kind if kind != "medication" else plain, one.first, one.stop, one.confidence)
    for (first, stop), kind in names.items():
        if kind == "medication":
            yield _of_words(tokens, kind, first, stop, _BY_NAME)


def _of_words(tokens: Tokens, kind: str, first: int, stop: int, confidence: float) -> _Seen:
    return _Seen(kind, tokens.starts[first], tokens.ends[stop - 1], confidence)


def _entities(text: str, tokens: Tokens, sections: list[Section], seen: list[_Seen]) -> Iterator[Entity]:
    position = 0
    for first, last in tokens.ranges():
        begin, stop = tokens.starts[first], tokens.ends[last - 1]
        own = []
        while position < len(seen) and seen[position].start < stop:
            own.append(seen[position])
            position += 1
        if not own:
            continue
        read = read_sentence(text[begin:stop])
        medications = [one for one in own if one.type == "medication"]
        given = attributes_of(text, begin, stop, [(one.start, one.end) for one in medications]) if medications else []
        attributes = dict(zip(medications, given, strict=True))
        for one in own:
            section = section_at(sections, one.start)
            yield Entity(
                one.type,
                one.start,
                one.end,
                _assertion(read, one.start - begin, one.end - begin, section),
                one.confidence,
                (section.name or section.title.lower()) if section else "",
                tuple(attributes.get(one, ())),
                one.measurement,
            )


def _assertion(sentence: Sentence, start: int, end: int, section: Section | None) -> str:
    said = assertion(sentence, start, end)
    return (section_assertion(section.title) or PLAIN) if said == PLAIN and section else said
