"""Key facts against the pairs of message and FHIR Bundle that another converter's authors published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mappers.hl7v2.convert import convert
from mappers.hl7v2.receive import receive
from mappers.hl7v2.tokenizer import tokenize
from tests.shared import shared

Json = dict[str, Any]
MAPPED = ("ORU_R01", "ADT_A01", "ADT_A04", "ADT_A08")


def pairs() -> Iterator[tuple[str, list[Json], list[Json]]]:
    """Yield name, our resources and theirs for every message that is accepted."""
    for kind in MAPPED:
        for path in sorted(shared("hl7v2", "pairs", "microsoft", kind).glob("*.hl7")):
            raw = path.read_bytes()
            if receive(raw).status != "received":
                continue
            theirs = json.loads(path.with_name(f"{path.stem}-expected.json").read_text("utf-8-sig"))
            yield (
                path.name,
                [d.resource for d in convert(tokenize(raw)).drafts],
                [e["resource"] for e in theirs["entry"]],
            )


def of(resources: list[Json], resource_type: str) -> list[Json]:
    """Return the resources of a type."""
    return [r for r in resources if r["resourceType"] == resource_type]


def test_patients_agree() -> None:
    compared = 0
    for name, ours, theirs in pairs():
        (mine,), (other,) = of(ours, "Patient"), of(theirs, "Patient")
        for element in ("birthDate", "gender"):
            assert mine.get(element) == other.get(element), (name, element)
        assert mine["name"][0].get("family") == other["name"][0].get("family"), name
        compared += 1
    assert compared == 15


def test_results_agree() -> None:
    compared = 0
    for name, ours, theirs in pairs():
        if not of(theirs, "DiagnosticReport"):
            continue
        assert len(of(ours, "DiagnosticReport")) == len(of(theirs, "DiagnosticReport")), name
        values = [float(o["valueQuantity"]["value"]) for o in of(ours, "Observation") if "valueQuantity" in o]
        expected = [
            float(o["valueQuantity"]["value"])
            for o in of(theirs, "Observation")
            if "value" in o.get("valueQuantity", {})
        ]
        assert values == expected, name
        codes = {o["code"]["coding"][0]["code"] for o in of(ours, "Observation") if "coding" in o["code"]}
        their_codes = {c["code"] for o in of(theirs, "Observation") for c in o["code"].get("coding", ()) if "code" in c}
        assert codes <= their_codes, name
        compared += 1
    assert compared == 4


def test_visits_agree() -> None:
    compared = 0
    for name, ours, theirs in pairs():
        if not of(theirs, "Encounter"):
            continue
        (mine,), (other,) = of(ours, "Encounter"), of(theirs, "Encounter")
        assert mine["class"].get("code") == other["class"].get("code"), name
        compared += 1
    assert compared == 11
