"""The pure part of ``ConceptMap/$closure``, https://hl7.org/fhir/R4/conceptmap-operation-closure.html.

A closure table says of each of the concepts that a client uses which others subsume it. The table itself lies with the
caller; here are the entries that new concepts add to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from conformance.terminology.filters import check_subsumption
from conformance.terminology.lookup import find_code, require_system

if TYPE_CHECKING:
    from conformance.terminology.code_system import Json
    from conformance.terminology.scope import Scope

Concept = tuple[str, str]
"""A system and a code."""
Pair = tuple[Concept, Concept]
"""A concept and one that subsumes it."""


def closure_pairs(scope: Scope, known: Iterable[Concept], added: Sequence[Concept]) -> list[Pair]:
    """Return the pairs that concepts add to a table that has the known ones. Raises TerminologyError for unknown codes."""
    table = dict.fromkeys(known)
    new = [concept for concept in dict.fromkeys(added) if concept not in table]
    fresh = frozenset(new)
    table |= dict.fromkeys(new)
    by_system: dict[str, list[str]] = {}
    for url, code in table:
        by_system.setdefault(url, []).append(code)
    pairs: list[Pair] = []
    for url in dict.fromkeys(url for url, _ in new):
        system = require_system(scope, url, None, "the closure cannot be computed")
        check_subsumption(system)
        for of_system, code in new:
            if of_system == url:
                find_code(system, code)
        codes = by_system[url]
        for code in codes:
            above = system.above(code)
            pairs.extend(
                ((url, code), (url, other))
                for other in codes
                if other != code and other in above and ((url, code) in fresh or (url, other) in fresh)
            )
    return pairs


def closure_map(name: str, version: str, pairs: Iterable[Pair], now: datetime) -> Json:
    """Return pairs as the ConceptMap that ``$closure`` answers with; ``version`` is that of the table."""
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for (source, code), (target, above) in pairs:
        groups.setdefault((source, target), {}).setdefault(code, []).append(above)
    made: Json = {
        "resourceType": "ConceptMap",
        "name": name,
        "version": version,
        "status": "active",
        "experimental": True,
        "date": now.isoformat(timespec="seconds"),
    }
    if groups:
        made["group"] = [
            {
                "source": source,
                "target": target,
                "element": [
                    {"code": code, "target": [{"code": above, "equivalence": "subsumes"} for above in subsumers]}
                    for code, subsumers in elements.items()
                ],
            }
            for (source, target), elements in groups.items()
        ]
    return made
