"""How a message departs from the standard's own structure, for people who set up a feed. Not on the path of a message.

hl7apy's structure tables (HL7 v2.1 to 2.8.2, https://crs4.github.io/hl7apy/) give segments and fields with their
cardinality. They are applied to our tokens, since hl7apy's parser drops what stands outside the structure. Nothing found
here refuses a message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import hl7apy
from hl7apy.exceptions import ChildNotFound, HL7apyException

from mappers.hl7v2.tokenizer import Message, Segment
from mappers.hl7v2.validate import message_type

_DEFAULT_VERSION = "2.5.1"
_SEGMENT = "SEG"
Kind = Literal["version", "structure", "segment", "field", "cardinality"]


@dataclass(frozen=True, slots=True)
class Departure:
    """One finding: ``location`` as in ERR-2, ``text`` what the standard expects there."""

    kind: Kind
    location: str
    text: str


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    name: str
    minimum: int
    maximum: int


def _version(message: Message) -> str:
    version = message.header.value(12)
    return version if version in hl7apy.SUPPORTED_LIBRARIES else _DEFAULT_VERSION


@lru_cache(maxsize=512)
def _fields(segment: str, version: str) -> tuple[_Field, ...] | None:
    try:
        reference = hl7apy.load_reference(segment, "Segment", version)
    except (ChildNotFound, HL7apyException):
        return None
    return tuple(
        _Field(int(name.rpartition("_")[2]), str(definition[3]).replace("_", " ").lower(), bounds[0], bounds[1])
        for name, definition, bounds, *_ in reference[1]
    )


@lru_cache(maxsize=256)
def _structure(name: str, version: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """Return the segments a structure allows, and those it requires whatever groups are there."""
    try:
        reference = hl7apy.load_reference(name, "Message", version)
    except (ChildNotFound, HL7apyException):
        return None
    allowed: set[str] = set()
    required: set[str] = set()

    def walk(children: Any, optional: bool) -> None:
        for child, definition, bounds, kind in children:
            skippable = optional or bounds[0] == 0
            if kind == _SEGMENT:
                allowed.add(child)
                if not skippable:
                    required.add(child)
            else:
                walk(definition[1], skippable)

    walk(reference[1], optional=False)
    return frozenset(allowed), frozenset(required)


def _structure_name(message: Message) -> str:
    code, event = message_type(message)
    return message.header.value(9, 3) or f"{code}_{event}"


def _segment_departures(segment: Segment, version: str) -> Iterator[Departure]:
    fields = _fields(segment.name, version)
    if fields is None:
        return
    for known in fields:
        where = f"{segment.name}^{segment.sequence}^{known.number}"
        repetitions = segment.repetitions(known.number)
        if known.minimum and not repetitions:
            yield Departure("cardinality", where, f"{known.name} is required")
        elif 0 <= known.maximum < len(repetitions) and segment.name != "MSH":
            yield Departure("cardinality", where, f"{known.name} may occur {known.maximum} times at most")
    last = max((f.number for f in fields), default=0)
    for number in range(last + 1, len(segment.fields)):
        if segment.field(number):
            where = f"{segment.name}^{segment.sequence}^{number}"
            yield Departure("field", where, f"version {version} has no such field")


def report(message: Message) -> list[Departure]:
    """Return where a message departs from its version's structure and cardinalities; Z-segments are never one."""
    version = _version(message)
    out: list[Departure] = []
    if message.header.value(12) != version:
        out.append(Departure("version", "MSH^1^12", f"not a version hl7apy knows; compared with {version}"))
    name = _structure_name(message)
    structure = _structure(name, version)
    if structure is None:
        out.append(Departure("structure", "MSH^1^9", f"version {version} has no structure {name}"))
    else:
        allowed, required = structure
        present = {s.name for s in message.segments}
        out += [Departure("segment", f"{s}^1", f"{name} requires {s}") for s in sorted(required - present)]
        out += [
            Departure("segment", f"{s.name}^{s.sequence}", f"{name} has no {s.name}")
            for s in message.segments
            if s.name not in allowed and not s.name.startswith("Z")
        ]
    for segment in message.segments:
        out += _segment_departures(segment, version)
    return out
