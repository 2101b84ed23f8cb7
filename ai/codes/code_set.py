"""The code set itself: every ICD-10-CM code of the release with display, hierarchy and whether it is billable.

It is the code system that comes with the terminology, see :mod:`conformance.terminology.shipped`.
https://www.cdc.gov/nchs/icd/icd-10-cm/
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ai.codes.terms import SYSTEM
from conformance.terminology import shipped
from conformance.terminology.code_system import CodeSystem

_INITIAL = "A"


@dataclass(frozen=True, slots=True)
class Code:
    """One code: ``billable`` codes are leaves; others group the codes below them."""

    code: str
    display: str
    billable: bool


class CodeSet:
    """All codes by their name; lookups are by the dotted form."""

    def __init__(self, system: CodeSystem) -> None:
        self._system = system
        self._billable = system.having("billable", ("true",))
        self._extended = system.having("seventhCharacter", ("true",))

    def __len__(self) -> int:
        return len(self._system)

    def billable(self) -> int:
        """Return how many codes are billable."""
        return len(self._billable)

    def get(self, code: str) -> Code | None:
        """Return a code, seventh characters included, or None when the release does not have it."""
        found = self._system.find(code)
        return Code(code, found.display or "", code in self._billable) if found else None

    def parent(self, code: str) -> str | None:
        """Return the nearest code above one, None for a category."""
        return next(iter(self._system.parents(code)), None)

    def children(self, code: str) -> list[str]:
        """Return the codes directly below one, without seventh characters."""
        return [child for child in self._system.children(code) if child not in self._extended]

    def resolve(self, code: str) -> Code | None:
        """Return the billable code that a mention without further detail means, or the code itself as a parent.

        Below a group that is the child which says "unspecified", or an only one; an injury without further word is an
        initial encounter. Where the classification has no such default the group is returned, not billable.
        """
        found = self.get(code)
        if found is None or found.billable:
            return found
        extended = [child for child in self._system.children(code) if child in self._extended]
        if extended:
            first = next((child for child in extended if child[-1] == _INITIAL), None)
            only = extended[0] if len(extended) == 1 else None
            return self.get(first or only or code)
        below = self.children(code)
        default = below[0] if len(below) == 1 else _default_child(found.display, below, self)
        resolved = self.resolve(default) if default else None
        return resolved if resolved and resolved.billable else found


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
    """Open the shipped code set once."""
    system = shipped.code_system(SYSTEM)
    if system is None:
        raise FileNotFoundError(f"{SYSTEM} is missing from conformance/definitions")
    return CodeSet(system)
