"""Which packages another one needs, https://hl7.org/fhir/packages.html#2.1.10.4, and which of them aren't there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conformance.definitions import FHIR_VERSION

BUILT_IN = {
    "hl7.fhir.r4.core": FHIR_VERSION,
    "hl7.fhir.r4.expansions": FHIR_VERSION,
    # The code systems and value sets of HL7's terminology come with this server, in its own version.
    "hl7.terminology": "x",
    "hl7.terminology.r4": "x",
}
"""Packages whose content this server has without installing them."""


def satisfies(version: str, wanted: str) -> bool:
    """Tell whether a package's version is one that is asked for: the same, or ``6.1.x`` and the like.

    ``x`` or ``*`` stand for any number and all that follows; ``latest``, ``current`` and ``dev`` for any version.
    """
    if version in {wanted, "x"} or wanted in {"latest", "current", "dev"}:
        return True
    parts = version.split(".")
    for number, part in enumerate(wanted.split(".")):
        if part in {"x", "X", "*"}:
            return True
        if number >= len(parts) or parts[number] != part:
            return False
    return False


def find_missing(dependencies: Mapping[str, str], installed: Iterable[tuple[str, str]]) -> list[str]:
    """Return the dependencies that no built-in and no installed (name, version) satisfies, as ``name#version``, sorted."""
    there = [*BUILT_IN.items(), *installed]
    return sorted(
        f"{name}#{wanted}"
        for name, wanted in dependencies.items()
        if not any(name == known and satisfies(version, wanted) for known, version in there)
    )
