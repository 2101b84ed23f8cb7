"""Versions of code systems and which one an operation means.

https://hl7.org/fhir/R4/valueset-operation-expand.html (``system-version``, ``check-system-version``,
``force-system-version``). A version may be a pattern: ``1.x.x`` or ``1.*`` stands for every version of that form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.terminology.errors import invalid

_PARTS = re.compile(r"\d+|[^\d.\-_+]+")
# The end of a version: after it a word makes the version older, a number newer.
_END = (0, 1, "")
_WILD = frozenset(("x", "X", "*"))


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return what sorts versions from old to new: numbers by value, words before numbers (``1.0.0-cibuild``)."""
    parts = ((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in _PARTS.findall(version))
    return (*parts, _END)


def fits(pattern: str, version: str) -> bool:
    """Tell whether a version is the one that is wanted, or one of the form."""
    if pattern == version:
        return True
    wanted = pattern.split(".")
    if _WILD.isdisjoint(wanted):
        return False
    there = version.split(".")
    if len(wanted) < len(there) and wanted[-1] not in _WILD:
        return False
    return len(there) >= len(wanted) and all(w in _WILD or w == t for w, t in zip(wanted, there, strict=False))


def newest(versions: Iterable[str], pattern: str | None = None) -> str | None:
    """Return the newest of these versions that fits, or None."""
    return max((v for v in versions if not pattern or fits(pattern, v)), key=version_key, default=None)


def parse_rules(canonicals: Iterable[str]) -> dict[str, str]:
    """Return version by system of ``system|version`` canonicals. Raises TerminologyError for one without a version."""
    rules: dict[str, str] = {}
    for canonical in canonicals:
        system, _, version = canonical.partition("|")
        if not system or not version:
            raise invalid(f"'{canonical}' doesn't name the version of a code system: write system|version")
        rules[system] = version
    return rules


@dataclass(frozen=True, slots=True)
class VersionRules:
    """What a caller says about versions: ``default`` where nothing else says, ``check`` what it has to be, ``force``."""

    default: dict[str, str] = field(default_factory=dict)
    check: dict[str, str] = field(default_factory=dict)
    force: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.default or self.check or self.force)

    def wanted(self, system: str, stated: str | None) -> str | None:
        """Return the version, perhaps a pattern, to use where ``stated`` is what the value set says; None is any."""
        forced = self.force.get(system)
        return forced or stated or self.default.get(system) or self.check.get(system)


NO_RULES = VersionRules()
"""Nothing said about versions."""
