"""The official patch cases, cut from their files as text, so that nothing but the code under test parses their XML."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.shared import SHARED

FOLDER = SHARED / "suites" / "patch"
_COMMENTED_OUT = re.compile(r"<!--(?:(?!-->).)*?<case(?:(?!</case>).)*?</case>\s*-->", re.DOTALL)
_CASE = re.compile(r'<case name="([^"]*)"[^>]*>(.*?)</case>', re.DOTALL)


@dataclass(frozen=True)
class XmlCase:
    """One case: the sections of its XML by element name, without the element."""

    name: str
    sections: dict[str, bytes]


def _text(name: str) -> str:
    path = FOLDER / name
    return path.read_text() if path.exists() else ""


def json_cases() -> list[dict[str, Any]]:
    """Return the cases of JSON Patch; none where the shared data is absent."""
    cases: list[dict[str, Any]] = json.loads(_text("json-patch-tests.json") or "[]")
    return cases


def xml_cases(name: str, *sections: str) -> list[XmlCase]:
    """Return the cases of a file with those of the sections that each has."""
    text = _COMMENTED_OUT.sub("", _text(name))
    return [XmlCase(case, _sections(body, sections)) for case, body in _CASE.findall(text)]


def _sections(body: str, names: tuple[str, ...]) -> dict[str, bytes]:
    found = {name: re.search(rf"<{name}(?: [^>]*)?>(.*)</{name}>|<{name} [^>]*/>", body, re.DOTALL) for name in names}
    return {name: (match[1] or "").strip().encode() for name, match in found.items() if match}
