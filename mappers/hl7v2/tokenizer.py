"""A lazy, tolerant tokenizer: bytes to segments, and deeper only where someone looks.

HL7 v2.9 chapter 2.5 and 2.6, https://www.hl7.eu/HL7v2x/v29/std29/ch02.html. It takes CR, LF and CRLF, a byte order
mark, stray
framing characters, any delimiters, unknown and local segments in any order, and text that runs on over line ends. It
never validates: what is wrong with a message is :mod:`mappers.hl7v2.validate`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mappers.hl7v2.encoding import Delimiters, HeaderError, decode, delimiters_of
from mappers.hl7v2.escapes import unescape

MAX_BYTES = 64 * 1024 * 1024
DELETE = '""'
"""A field that holds this asks for the value to be removed; an empty one says nothing about it."""

_START = re.compile(rb"(?:^|(?<=[\r\n\x0b\x1c]))[ \t]*MSH(?=[^A-Za-z0-9\s])")
_PADDING = b" \t\r\n\x0b\x1c\x00"
_CHARACTER_SET_FIELD = 17  # MSH-18, counting from the name: MSH-1 is the separator itself
_BATCH_NAMES = ("FHS", "BHS", "BTS", "FTS")


class Segment:
    """One segment: ``name``, and ``sequence``, its place among the segments of that name (from 1)."""

    __slots__ = ("_fields", "delimiters", "name", "sequence", "text")

    def __init__(self, name: str, text: str, sequence: int, delimiters: Delimiters) -> None:
        self.name = name
        self.text = text
        self.sequence = sequence
        self.delimiters = delimiters
        self._fields: list[str] | None = None

    @property
    def fields(self) -> list[str]:
        """The raw fields; ``fields[n]`` is field n, ``fields[0]`` the name."""
        if self._fields is None:
            separator = self.delimiters.field
            self._fields = self.text.split(separator)
            if self.name == "MSH" or self.name in _BATCH_NAMES[:2]:
                self._fields.insert(1, separator)
        return self._fields

    def field(self, number: int) -> str:
        """Return field ``number`` (from 1) as it stands, ``""`` when absent."""
        fields = self.fields
        return fields[number] if number < len(fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """Return the raw repetitions of a field; none when it is empty."""
        raw = self.field(number)
        if not raw:
            return []
        mark = self.delimiters.repetition
        return raw.split(mark) if mark and mark in raw else [raw]

    def value(self, number: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> str:
        """Return one leaf, unescaped and stripped; ``""`` when absent. ``DELETE`` comes back as it is."""
        repetitions = self.repetitions(number)
        if repetition > len(repetitions):
            return ""
        raw = part(repetitions[repetition - 1], self.delimiters.component, component)
        raw = part(raw, self.delimiters.subcomponent, subcomponent)
        return unescape(raw, self.delimiters).strip()


@dataclass(frozen=True, slots=True)
class Message:
    """A tokenized message. ``prelude`` stands before MSH (a batch header); ``fallback``: MSH-18 did not fit."""

    segments: tuple[Segment, ...]
    delimiters: Delimiters
    codec: str
    fallback: bool
    prelude: str

    @property
    def header(self) -> Segment:
        """The MSH segment."""
        return self.segments[0]

    def all(self, name: str) -> Iterator[Segment]:
        """Iterate over the segments of one name, in order."""
        return (s for s in self.segments if s.name == name)

    def first(self, name: str) -> Segment | None:
        """Return the first segment of a name, or None."""
        return next(self.all(name), None)


def part(raw: str, mark: str, number: int) -> str:
    """Return piece ``number`` (from 1) of a raw value divided by ``mark``, ``""`` when absent."""
    if not mark or mark not in raw:
        return raw if number == 1 else ""
    pieces = raw.split(mark)
    return pieces[number - 1] if number <= len(pieces) else ""


def _declared_character_set(header: bytes) -> str:
    fields = header.split(header[3:4] or b"|", _CHARACTER_SET_FIELD + 1)
    if len(fields) <= _CHARACTER_SET_FIELD or not fields[1]:
        return ""
    return fields[_CHARACTER_SET_FIELD].split(fields[1][1:2] or b"~")[0].decode("ascii", "replace")


def _segments(text: str, delimiters: Delimiters) -> Iterator[Segment]:
    """Yield segments; a line that does not open one goes on with the line before it."""
    separator = delimiters.field
    counts: dict[str, int] = {}
    name, body = "", ""
    for line in text.split("\r"):
        opens = line[3:4] == separator and line[:3].isalnum()
        if not opens and len(line.rstrip()) == 3 and line[:3].isalnum() and line[:1].isupper() and line[:3].isupper():  # noqa: PLR2004
            opens = True  # a segment without fields
        if not opens:
            if line.strip():
                body += "\n" + line
            continue
        if name:
            counts[name] = sequence = counts.get(name, 0) + 1
            yield Segment(name, body, sequence, delimiters)
        name, body = line[:3], line
    counts[name] = sequence = counts.get(name, 0) + 1
    yield Segment(name, body, sequence, delimiters)


def tokenize(raw: bytes) -> Message:
    """Tokenize one message; raises HeaderError, and nothing else, when there is no readable MSH or it is over 64 MB."""
    if len(raw) > MAX_BYTES:
        raise HeaderError(f"The message has more than {MAX_BYTES} bytes.", "MSH^1", "207")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raw = raw.decode("utf-16", "replace").encode()
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    start = 0
    if raw[:3] != b"MSH" or raw[3:4].isalnum():
        found = _START.search(raw)
        if found is None:
            raise HeaderError("There is no MSH segment.")
        start = found.start() + found.group().index(b"MSH")
    content = raw[start:].rstrip(_PADDING)
    line_end = content.find(b"\r")
    other_end = content.find(b"\n")
    ends = [e for e in (line_end, other_end) if e >= 0]
    header = content[: min(ends)] if ends else content
    text, codec, fallback = decode(content, _declared_character_set(header))
    if other_end >= 0:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    delimiters = delimiters_of(text[: text.find("\r")] if "\r" in text else text)
    segments = tuple(_segments(text, delimiters))
    prelude = raw[:start].decode(codec, "replace") if start else ""
    return Message(segments, delimiters, codec, fallback, prelude)


def serialize(message: Message) -> bytes:
    """Return the message as bytes again, from its fields: one CR after every segment."""
    separator = message.delimiters.field
    lines: list[str] = []
    for segment in message.segments:
        fields = segment.fields
        if segment.name == "MSH" or segment.name in _BATCH_NAMES[:2]:
            fields = [fields[0], *fields[2:]]
        lines.append(separator.join(fields).replace("\n", "\r"))
    return ("\r".join(lines) + "\r").encode(message.codec)


def split_batch(raw: bytes) -> list[bytes]:
    """Cut a batch before each MSH but the first. Joined, the pieces are the input."""
    starts = [m.start() for m in _START.finditer(raw)][1:]
    return [raw[a:b] for a, b in zip([0, *starts], [*starts, len(raw)], strict=True)]
