"""Snapshots made from differentials are those that HL7 has published: 565 of 601 to the last fact, the others named here."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance.snapshot.published import differences, generated, published

NARROWED = (
    "the differential says valueQuantity, not that it must be there: older publishers allow no other type all the same, "
    "newer ones (US Core 6.1.0), as we do, leave the choice open"
)
SLICED = "the differential slices elements that can't repeat, or without slicing them: we keep the whole, they drop it"
UNFOLDED = "the published snapshot unfolds extensions without need"
KEPT = (
    "the differential demands a profile of a type: the publisher drops what the base profile says of the elements below, "
    "which has to hold all the same"
)
OTHER_BASE = "the published snapshot isn't that of its differential: System types are nameless, constraints missing"
MISLED = "the publisher lets a contentReference lead to a slice"
UNKNOWN = "it builds on definitions of packages that aren't here"

EXCEPTIONS: dict[str, dict[str, tuple[str, dict[str, int]]]] = {
    "R4 profiles": {
        **{
            name: (NARROWED, {"type": 1, "slicing": 1})
            for name in (
                "bodyheight",
                "bodytemp",
                "bodyweight",
                "bp",
                "cholesterol",
                "hdlcholesterol",
                "headcircum",
                "heartrate",
                "ldlcholesterol",
                "oxygensat",
                "resprate",
                "triglyceride",
            )
        },
        "catalog": (SLICED, {"extra": 1}),
        "familymemberhistory-genetic": (SLICED, {"extra": 14}),
        "clinicaldocument": ("the publisher doesn't limit an extension to as many as it may be", {"max": 1}),
        "provenance-relevant-history": (MISLED, {"contentReference": 1}),
    },
    "R4 extensions": {
        f"structuredefinition-{kind}-type": (OTHER_BASE, {"type": 3, "constraint": 3, "slicing": 1})
        for kind in ("json", "rdf", "xml")
    },
    "R4 type profiles": {"elementdefinition-de": (UNFOLDED, {"missing": 8})},
    "US Core 6.1.0": {"us-core-questionnaireresponse": (UNKNOWN, {"none": 1})},
    "US Core 3.1.1": {
        **{
            name: (NARROWED, {"type": 1, "slicing": 1})
            for name in (
                "pediatric-weight-for-height",
                "head-occipital-frontal-circumference-percentile",
                "us-core-goal",
                "pediatric-bmi-for-age",
            )
        },
        "us-core-provenance": (MISLED, {"contentReference": 1}),
        "us-core-race": (f"{UNFOLDED}, and moves bindings to slices", {"missing": 15, "binding": 2, "slicing": 3}),
        "us-core-ethnicity": (UNFOLDED, {"missing": 12}),
        "us-core-patient": ("the publisher drops a binding that the differential gives an extension", {"binding": 1}),
    },
    "PAS 2.0.1": {
        "profile-claim": (UNKNOWN, {"missing": 4}),
        "profile-devicerequest": (UNKNOWN, {"constraint": 1}),
        "profile-medicationrequest": (UNKNOWN, {"constraint": 1}),
        "profile-nutritionorder": (UNKNOWN, {"constraint": 1}),
        "profile-servicerequest": (UNKNOWN, {"constraint": 1}),
        "profile-organization": (KEPT, {"extra": 8, "mustSupport": 2}),
        "profile-practitioner": (KEPT, {"extra": 8}),
    },
}
COUNTS = {
    "R4 profiles": (43, 27),
    "R4 extensions": (396, 393),
    "R4 type profiles": (3, 2),
    "US Core 6.1.0": (59, 58),
    "US Core 3.1.1": (30, 22),
    "PAS 2.0.1": (70, 63),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_published_snapshots(name: str) -> None:
    """Path, id, order, min, max, types and profiles, fixed and pattern, binding, slicing, constraints, mustSupport."""
    found: dict[str, Counter[str]] = {}
    structures = published(name)
    for structure in structures:
        made = generated(name, structure).structure
        found[structure["id"]] = differences(structure, made) if "snapshot" in made else Counter({"none": 1})
    different = {id_: dict(counts) for id_, counts in found.items() if counts}
    assert different == {id_: counts for id_, (_, counts) in EXCEPTIONS[name].items()}
    assert (len(structures), len(structures) - len(different)) == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "most"),
    [("R4 profiles", 4), ("R4 extensions", 0), ("US Core 6.1.0", 2), ("US Core 3.1.1", 0), ("PAS 2.0.1", 6)],
)
def test_hardly_any_issue_is_told_of_them(name: str, most: int) -> None:
    """Slices without slicing, a binding that is loosened, extensions that aren't here: each of them is one."""
    issues = [issue for structure in published(name) for issue in generated(name, structure).issues]
    assert len(issues) == most, issues
    assert all(issue.expression and issue.diagnostics for issue in issues)
