"""The code set itself: every ICD-10-CM code of the release with display, hierarchy and whether it is billable.

Codes with a seventh character are kept as their stem and a group of endings that many stems share.
https://www.cdc.gov/nchs/icd/icd-10-cm/
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache

from ai.codes.words import DATA

_STEM = 7
_INITIAL = "A"


@dataclass(frozen=True, slots=True)
class Code:
    """One code: ``billable`` codes are leaves; others group the codes below them."""

    code: str
    display: str
    billable: bool


class CodeSet:
    """All codes by their name; lookups are by the dotted form."""

    def __init__(self, text: str) -> None:
        header, *lines = text.splitlines()
        self._endings: list[dict[str, str]] = [dict(group) for group in json.loads(header)]
        self._rows: dict[str, tuple[bool, str, int | None]] = {}
        for line in lines:
            code, leaf, display, group = line.split("\t")
            self._rows[code] = (leaf == "1", display, int(group) if group else None)
        self._children: dict[str, list[str]] = {}
        for code in self._rows:
            above = self.parent(code)
            if above:
                self._children.setdefault(above, []).append(code)

    def __len__(self) -> int:
        return len(self._rows) + sum(len(self._endings[g]) for _, _, g in self._rows.values() if g is not None)

    def billable(self) -> int:
        """Return how many codes are billable."""
        endings = sum(len(self._endings[g]) for _, _, g in self._rows.values() if g is not None)
        return endings + sum(leaf for leaf, _, _ in self._rows.values())

    def get(self, code: str) -> Code | None:
        """Return a code, seventh characters included, or None when the release does not have it."""
        row = self._rows.get(code)
        if row:
            return Code(code, row[1], row[0])
        row = self._rows.get(code[:-1].rstrip("X").rstrip(".")) or self._rows.get(code[:-1])
        if row is None or row[2] is None or len(code) != _STEM + 1:
            return None
        ending = self._endings[row[2]].get(code[-1])
        return Code(code, f"{row[1]}, {ending}", billable=True) if ending else None

    def parent(self, code: str) -> str | None:
        """Return the nearest code above one, None for a category."""
        while len(code) > 3:  # noqa: PLR2004 - a category has three characters
            code = code[:-1].rstrip(".")
            if code in self._rows:
                return code
        return None

    def children(self, code: str) -> list[str]:
        """Return the codes directly below one, without seventh characters."""
        return self._children.get(code, [])

    def resolve(self, code: str) -> Code | None:
        """Return the billable code that a mention without further detail means, or the code itself as a parent.

        Below a group that is the child which says "unspecified", or an only one; an injury without further word is an
        initial encounter. Where the classification has no such default the group is returned, not billable.
        """
        found = self.get(code)
        if found is None or found.billable:
            return found
        _, _, group = self._rows[code]
        if group is not None:
            endings = self._endings[group]
            letter = _INITIAL if _INITIAL in endings else next(iter(endings)) if len(endings) == 1 else None
            return self.get(f"{_padded(code)}{letter}") if letter else found
        below = self.children(code)
        default = below[0] if len(below) == 1 else _default_child(found.display, below, self)
        resolved = self.resolve(default) if default else None
        return resolved if resolved and resolved.billable else found


def _padded(code: str) -> str:
    dotted = code if "." in code else f"{code}."
    return dotted.ljust(_STEM, "X")


def _default_child(display: str, below: list[str], codes: CodeSet) -> str | None:
    for child in sorted(below, key=lambda code: (not code.endswith(("9", "0")), code)):
        found = codes.get(child)
        title = found.display.lower() if found else ""
        if "unspecified" in title or "not specified" in title:
            return child
        if title.startswith(display.lower()) and "without" in title:
            return child
    return None


@cache
def code_set() -> CodeSet:
    """Load the shipped code set once."""
    return CodeSet(gzip.decompress((DATA / "codes.tsv.gz").read_bytes()).decode("utf-8"))
