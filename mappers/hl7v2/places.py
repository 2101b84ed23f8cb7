"""Where a patient is: PL to Locations, each part of the one it lies in.

HL7 v2.9 chapter 2A.3.53 (PL), https://www.hl7.eu/HL7v2x/v29/std29/ch02a.html.
"""

from __future__ import annotations

from typing import Any

from mappers.hl7v2.concepts import split
from mappers.hl7v2.identity import composed
from mappers.hl7v2.primitives import text
from mappers.hl7v2.run import Run

_LEVELS = ((4, "si"), (7, "bu"), (8, "lvl"), (1, "wa"), (2, "ro"), (3, "bd"))
"""Components of PL from the outside in, with their physical type; a point of care is taken for a ward."""
_PHYSICAL_TYPE = "http://terminology.hl7.org/CodeSystem/location-physical-type"
_DESCRIPTION = 8


def location(piece: str, run: Run, depth: int) -> dict[str, Any] | None:
    """Return a reference to the innermost Location that a PL names."""
    parts = split(piece, run, depth)
    path: list[str] = [run.sender]
    outer: dict[str, Any] | None = None
    for number, kind in _LEVELS:
        raw = parts[number - 1] if number <= len(parts) else ""
        mark = run.marks[depth + 1]
        name = text(raw.split(mark, 1)[0] if mark else raw, run)
        if name is None:
            continue
        path = [*path, f"{kind}.{name}"]
        draft = run.draft("Location", composed("location", *path), "create")
        draft.resource.update(
            identifier=[{"system": draft.identity.system, "value": draft.identity.value}],
            status="active",
            name=name,
            mode="instance",
            physicalType={"coding": [{"system": _PHYSICAL_TYPE, "code": kind}]},
        )
        if outer is not None:
            draft.resource["partOf"] = outer
        outer = {"reference": draft.full_url, "display": name}
    if outer is None:
        described = text(parts[_DESCRIPTION], run) if len(parts) > _DESCRIPTION else None
        return {"display": described} if described else None
    return outer
