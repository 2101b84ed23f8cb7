"""The value sets of FHIR 4.0.1 against the expansions that came out with it."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.terminology.errors import TerminologyError
from conformance.terminology.listing import list_codes
from conformance.terminology.scope import Scope
from conformance.terminology.source import Resources
from tests.shared import shared

Json = dict[str, Any]
Pair = tuple[str, str]
FOLDER = shared("spec", "r4")
# Where there is more than in the official expansion: codes that are deprecated or retired, which its maker left out, and
# in these two codes that a second parent brings, which it didn't follow.
BY_A_SECOND_PARENT = {
    "http://hl7.org/fhir/ValueSet/detectedissue-category",
    "http://terminology.hl7.org/ValueSet/v3-ActPharmacySupplyType",
}
# ISO 4217 has moved on since.
NEWER = {"http://hl7.org/fhir/ValueSet/currencies"}


def read(folder: Path, name: str) -> Iterator[Json]:
    with gzip.open(folder / f"{name}.ndjson.gz", "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def flat(contains: list[Json]) -> Iterator[Pair]:
    for item in contains:
        if "code" in item and not item.get("abstract"):
            yield item["system"], item["code"]
        yield from flat(item.get("contains", []))


def test_value_sets_have_the_codes_of_their_official_expansions() -> None:
    names = [f"{kind}-{of}" for kind in ("CodeSystem", "ValueSet") for of in ("fhir", "v3", "v2")]
    resources = [resource for name in names for resource in read(FOLDER, name)]
    # Of the value sets themselves only what they say counts, not an expansion that they carry.
    scope = Scope(Resources({n: v for n, v in r.items() if n != "expansion"} for r in resources))
    outcomes: Counter[str] = Counter()
    for official in read(FOLDER, "ValueSet-expansions"):
        expansion = official["expansion"]
        if any(e["url"].endswith(("toocostly", "unclosed")) for e in expansion.get("extension", ())):
            outcomes["not listed officially"] += 1
            continue
        try:
            found = list_codes(scope.value_set(official["url"]))
        except TerminologyError as error:
            outcomes[error.issue.detail] += 1
            continue
        if not all(code for _, code in found):
            outcomes["of whole code systems that aren't FHIR's"] += 1
            continue
        due = frozenset(flat(expansion.get("contains", [])))
        assert due <= found, official["url"]
        surplus = {code for code in found - due if not left_out(scope, *code)}
        assert not surplus or official["url"] in BY_A_SECOND_PARENT | NEWER, (official["url"], sorted(surplus))
        outcomes["the same" if not surplus else "more"] += 1
    assert outcomes == {
        "not listed officially": 34,
        "not-found": 19,  # filters on code systems that aren't FHIR's
        "of whole code systems that aren't FHIR's": 10,
        "the same": 487,
        "more": 3,
    }


def left_out(scope: Scope, system: str, code: str) -> bool:
    """Tell whether the official expansions leave a code out, or show it as abstract."""
    known = scope.code_system(system, None)
    concept = known.find(code) if known is not None else None
    if concept is None:
        return False
    status = {p.value for p in concept.properties if p.code == "status"}
    return concept.abstract or concept.inactive or "deprecated" in status
