"""How a medication is given: strength, dose, route, frequency, duration, by patterns (``data/attributes.json``).

An attribute belongs to the nearest medication before it in its sentence or, standing right before one ("IV vancomycin",
"5 mg of prednisone"), to that. https://hl7.org/fhir/R4/dosage.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DATA = Path(__file__).parent / "data" / "attributes.json"
NAMES = ("strength", "dose", "duration", "frequency", "as_needed", "route")
_REACH = 90
_LEADING = re.compile(r"(?:\s|of|with|a|the|dose|doses|started|on|and|,)*", re.IGNORECASE)
_STOP = re.compile(r";|\n\s*\n|\.\s+[A-Z]")


@dataclass(frozen=True, slots=True)
class Attribute:
    """``text``, at ``start`` to ``end`` of the note, says how a medication is given; ``name`` is one of NAMES."""

    name: str
    start: int
    end: int
    text: str


@cache
def _pattern() -> re.Pattern[str]:
    data = json.loads(_DATA.read_text(encoding="utf-8"))
    groups = []
    for name in NAMES:
        alternatives = "|".join(data[name]).replace("NUMBER", data["number"])
        spaced = alternatives.replace(" ?", r"\s?").replace(" ", r"\s+")
        groups.append(f"(?P<{name}>{spaced})")
    return re.compile(rf"(?<![\w.])(?:{'|'.join(groups)})(?!\w)", re.IGNORECASE)


def attributes_of(text: str, begin: int, stop: int, medications: Sequence[tuple[int, int]]) -> list[list[Attribute]]:
    """Return the attributes of each medication (in order, not overlapping) of the sentence ``begin`` to ``stop``."""
    found: list[list[Attribute]] = [[] for _ in medications]
    for match in _pattern().finditer(text, begin, stop):
        attribute = Attribute(match.lastgroup or "", match.start(), match.end(), match.group())
        owner = _owner(text, attribute, medications, found)
        if owner is not None and all(attribute.name != known.name for known in found[owner]):
            found[owner].append(attribute)
    return found


def _owner(
    text: str, attribute: Attribute, medications: Sequence[tuple[int, int]], found: list[list[Attribute]]
) -> int | None:
    before = [number for number, (_, end) in enumerate(medications) if end <= attribute.start]
    after = before[-1] + 1 if before else 0
    if any(start < attribute.end and end > attribute.start for start, end in medications):
        return None
    ahead = after < len(medications) and _LEADING.fullmatch(text, attribute.end, medications[after][0]) is not None
    if ahead and (
        not before
        or "," in text[medications[before[-1]][1] : attribute.start]
        or " and " in text[medications[before[-1]][1] : attribute.start]
    ):
        return after
    if not before:
        return None
    end = max([medications[before[-1]][1], *(known.end for known in found[before[-1]])])
    near = attribute.start - end <= _REACH and not _STOP.search(text, end, attribute.start)
    return before[-1] if near else None
