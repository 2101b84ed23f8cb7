"""Lines and columns of issues in the text that a resource was read from.

https://hl7.org/fhir/R4/operationoutcome.html: issues name places by FHIRPath; people look for them in a text. The text is
read again for that, so only resources with issues pay for it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from xml.parsers.expat import ExpatError

from conformance.issues import InvalidResource, Issue
from conformance.validation.reading import is_xml
from conformance.xml.parser import make_parser, parse_with, split_name

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]|[^\s{}\[\]:,"]+', re.DOTALL)
_SEGMENT = re.compile(r"`((?:[^`\\]|\\.)*)`|([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]")


@dataclass(slots=True)
class Place:
    """Where something begins, line and column from 1, and what is in it, by name and in order."""

    line: int
    column: int
    members: dict[str, list[Place]] = field(default_factory=dict)


def locate(issues: Iterable[Issue], text: bytes) -> list[Issue]:
    """Return issues with the line and column of what they are about, as far as that is in the text.

    Of what is missing, the position is that of the element that should have it.
    """
    listed = list(issues)
    root = _map_xml(text) if is_xml(text) else _map_json(text.decode(errors="replace"))
    if root is None:
        return listed
    return [_placed(issue, root) for issue in listed]


def _placed(issue: Issue, root: Place) -> Issue:
    if issue.expression is None or issue.line is not None:
        return issue
    place = root
    segments = [m.groups() for m in _SEGMENT.finditer(issue.expression)]
    # The first names the type of the outermost resource.
    at = 1
    while at < len(segments):
        quoted, name, _ = segments[at]
        found = _members(place, quoted if quoted is not None else name or "")
        index = 0
        if at + 1 < len(segments) and segments[at + 1][2] is not None:
            index = int(segments[at + 1][2])
            at += 1
        if index >= len(found):
            break
        place = found[index]
        at += 1
    return replace(issue, line=place.line, column=place.column)


def _members(place: Place, name: str) -> list[Place]:
    """Return the members of a name; a choice has the name of one of its types behind its own."""
    for known in (name, f"_{name}"):
        if known in place.members:
            return place.members[known]
    for known, found in place.members.items():
        stem = known.removeprefix("_")
        if stem.startswith(name) and stem[len(name) : len(name) + 1].isupper():
            return found
    if len(place.members) == 1:
        # XML has an element with the name of the type around what is in a resource inside another.
        known, found = next(iter(place.members.items()))
        if known[:1].isupper() and len(found) == 1:
            return _members(found[0], name)
    return []


def _map_json(text: str) -> Place | None:
    """Return the place of the outermost object, with all within."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(offset: int) -> Place:
        line = bisect_right(starts, offset)
        return Place(line, offset - starts[line - 1] + 1)

    root: Place | None = None
    # Open objects, and arrays by the object that has them and their name; then the name that waits for its value.
    open_: list[tuple[Place, str | None]] = []
    waiting: tuple[str, Place] | None = None
    for match in _TOKEN.finditer(text):
        mark = match[0]
        if mark in ("}", "]"):
            if open_:
                open_.pop()
            continue
        owner, array = open_[-1] if open_ else (None, None)
        if mark[0] == '"' and owner is not None and array is None and waiting is None:
            waiting = (_text(mark), place(match.start()))
            continue
        here = place(match.start()) if array is not None or waiting is None else waiting[1]
        name = array if array is not None else waiting[0] if waiting is not None else None
        waiting = None
        if mark == "[":
            open_.append((owner or here, name or ""))
            if owner is not None and name is not None and array is None:
                owner.members[name] = []
            continue
        if owner is None:
            root = here
        elif name is not None:
            owner.members.setdefault(name, []).append(here)
        if mark == "{":
            open_.append((here, None))
    return root


def _text(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token


def _map_xml(data: bytes) -> Place | None:
    """Return the place of the document's element, with all within."""
    parser = make_parser()
    found: list[Place] = []
    open_: list[Place] = []

    def start(name: str, _attributes: object) -> None:
        here = Place(parser.CurrentLineNumber, parser.CurrentColumnNumber + 1)
        if open_:
            open_[-1].members.setdefault(split_name(name)[1], []).append(here)
        else:
            found.append(here)
        open_.append(here)

    def end(_name: str) -> None:
        open_.pop()

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    try:
        parse_with(parser, data)
    except (InvalidResource, ExpatError):
        return None
    return found[0] if found else None
