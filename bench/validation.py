"""What validation costs per resource: against FHIR R4 itself, and against a profile of US Core besides.

``python -m bench validation``. US Core 6.1.0 is read from ``PRAXIS_SHARED`` or ``../shared``; without it only FHIR R4 itself
is measured. The models of fhir.resources check the same resources in the same run: structure and formats, for R4B, which
is the nearest to R4 that it has. They know no invariants, no bindings, no profiles.
"""

from __future__ import annotations

import os
import statistics
import tarfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

from bench.fhirpath import OBSERVATION, PATIENT
from conformance.decode import decode, encode, parse
from conformance.fhirpath.narrative import find_narrative_fault
from conformance.terminology.source import Find, Resources
from conformance.validation import Validator, has_errors

Json = dict[str, Any]

_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
_NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Blood pressure 122/81</div>'}
_UNIT = {"unit": "mm[Hg]", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}
_NORMAL = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
    "code": "N",
    "display": "Normal",
}
RESOURCES: tuple[tuple[Json, str], ...] = (
    (PATIENT, "us-core-patient"),
    (
        {
            **OBSERVATION,
            "text": _NARRATIVE,
            "interpretation": [{"coding": [_NORMAL], "text": "Normal"}],
            "note": [
                {"text": "Taken after five minutes of rest, sitting, left arm.", "time": "2026-03-02T08:16:00+01:00"}
            ],
            "referenceRange": [{"low": {"value": 90, **_UNIT}, "high": {"value": 130, **_UNIT}, "text": "90 to 130"}],
        },
        "us-core-blood-pressure",
    ),
)


def _median_microseconds(run: Callable[[], object], repetitions: int) -> float:
    """Return how long a run takes, a few runs for warming up aside."""
    for _ in range(20):
        run()
    times = []
    for _ in range(repetitions):
        find_narrative_fault.cache_clear()  # each resource has a narrative of its own
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def _us_core() -> Find | None:
    shared = Path(os.environ.get("PRAXIS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    path = shared / "spec" / "us-core" / "hl7.fhir.us.core-6.1.0.tgz"
    if not path.exists():
        return None
    with tarfile.open(path) as package:
        members = [m for m in package if m.name.startswith("package/StructureDefinition-")]
        files = [package.extractfile(m) for m in members]
        return Resources([parse(file.read()) for file in files if file is not None]).find


def _row(base: Validator, validator: Validator, resource: Json, profile: str | None, repetitions: int) -> str:
    name, body = resource["resourceType"], encode(resource)
    parsed = parse(body)
    profiles = () if profile is None else (_US_CORE + profile,)
    issues = validator.validate(parsed, profiles=profiles)
    if has_errors(issues):
        raise ValueError(f"the {name} of the benchmark is not valid: {issues}")
    model = get_fhir_model_class(name)
    figures = (
        _median_microseconds(lambda: decode(body), repetitions),
        _median_microseconds(lambda: base.validate(parsed), repetitions),
        _median_microseconds(lambda: validator.validate(parsed, profiles=profiles), repetitions) if profiles else None,
        _median_microseconds(lambda: model.model_validate_json(body), repetitions // 4),
    )
    return f"| {name}, {len(body)} B | " + " | ".join("" if f is None else f"{f:,.0f} µs" for f in figures) + " |"


def measure_validation(repetitions: int = 1000) -> str:
    """Return the figures as a Markdown table."""
    us_core = _us_core()
    base = Validator(lambda _type, _canonical: None)
    validator = Validator(us_core) if us_core else base
    rows = [
        _row(base, validator, resource, profile if us_core else None, repetitions) for resource, profile in RESOURCES
    ]
    head = "| resource | structure only | FHIR R4 | with US Core's profile | fhir.resources (R4B models) |"
    note = f"Medians of {repetitions}. fhir.resources {version('fhir.resources')}."
    if us_core is None:
        note += " US Core is not at hand (PRAXIS_SHARED)."
    return "\n".join([head, "|---|---:|---:|---:|---:|", *rows, "", note])
