"""The sections of a note, told by their titles (``data/sections.json``)."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DATA = Path(__file__).parent / "data" / "sections.json"
_UNKNOWN = r"[A-Z][A-Z/&,-]*(?: [A-Z/&,-]+){0,5}"


@dataclass(frozen=True, slots=True)
class Section:
    """From character ``start`` (its title's first) on, up to the next section; ``title`` is as written, ``name`` ours.

    ``name`` is empty for a title that is not in the list.
    """

    start: int
    title: str
    name: str


@cache
def _names() -> dict[str, str]:
    data = json.loads(_DATA.read_text(encoding="utf-8"))["sections"]
    return {title: name for name, titles in data.items() for title in titles}


@cache
def _pattern() -> re.Pattern[str]:
    known = "|".join(re.escape(title) for title in sorted(_names(), key=len, reverse=True))
    return re.compile(
        rf"(?:^|(?<=[\n\r])|(?<=[.,;] )|(?<=[.;],))[ \t]{{0,20}}(?:\d{{1,2}}[.)] ?)?"
        rf"(?:((?i:{known})|{_UNKNOWN})[ \t]{{0,3}}:|((?i:{known}))[ \t]{{0,20}}(?=[\r\n]))"
    )


def find_sections(text: str) -> list[Section]:
    """Return the sections in order; what stands before the first belongs to none."""
    found = []
    for match in _pattern().finditer(text):
        title = match[1] or match[2]
        found.append(Section(match.start(1 if match[1] else 2), title, _names().get(title.lower(), "")))
    return found


def section_at(sections: list[Section], position: int) -> Section | None:
    """Return the section that holds a position, None before the first."""
    number = bisect_right(sections, position, key=lambda section: section.start)
    return sections[number - 1] if number else None
