"""What FHIRPath costs per resource: the search expressions of an Observation, the constraints of a Patient.

``python -m bench fhirpath``. The same expressions run with fhirpathpy where it is installed (development only). Each
figure is the least of many repetitions: whatever else the machine does can only add to it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bench.elements import constrained_elements
from conformance.definitions import search_parameters
from conformance.fhirpath import compile_constraint, compile_path
from conformance.fhirpath.narrative import find_narrative_fault

Json = dict[str, Any]

_LOINC, _CATEGORY = "http://loinc.org", "http://terminology.hl7.org/CodeSystem/observation-category"


def _component(code: str, display: str, value: float) -> Json:
    quantity = {"value": value, "unit": "mm[Hg]", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}
    return {
        "code": {"coding": [{"system": _LOINC, "code": code, "display": display}], "text": display},
        "valueQuantity": quantity,
    }


OBSERVATION: Json = {
    "resourceType": "Observation",
    "id": "5b1e2a8c-3d44-4b0c-9a6e-7f1f0c2d9e11",
    "meta": {"versionId": "1", "lastUpdated": "2026-03-02T08:15:30.123Z"},
    "status": "final",
    "category": [{"coding": [{"system": _CATEGORY, "code": "vital-signs", "display": "Vital signs"}]}],
    "code": {"coding": [{"system": _LOINC, "code": "85354-9", "display": "Blood pressure panel"}], "text": "Pressure"},
    "subject": {"reference": "Patient/0f6c9d7e-6a0b-4b35-8f1e-2d9a3b7c5e10"},
    "encounter": {"reference": "Encounter/c1d2e3f4-0a1b-4c2d-8e3f-4a5b6c7d8e9f"},
    "effectiveDateTime": "2026-03-02T08:10:00+01:00",
    "issued": "2026-03-02T08:15:30.123+01:00",
    "performer": [{"reference": "Practitioner/7"}],
    "component": [_component("8480-6", "Systolic", 122.0), _component("8462-4", "Diastolic", 81.0)],
}
PATIENT: Json = {
    "resourceType": "Patient",
    "id": "0f6c9d7e-6a0b-4b35-8f1e-2d9a3b7c5e10",
    "meta": {"versionId": "3", "lastUpdated": "2026-03-01T10:00:00.000Z"},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Ada Quill, born 1971</div>'},
    "extension": [
        {
            "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
            "extension": [
                {"url": "ombCategory", "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"}},
                {"url": "text", "valueString": "White"},
            ],
        },
        {"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode": "F"},
    ],
    "identifier": [
        {
            "use": "usual",
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
            "system": "urn:oid:1.2.36.146.595.217.0.1",
            "value": "12345",
            "period": {"start": "2001-05-06"},
        },
        {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-40-1234"},
    ],
    "active": True,
    "name": [
        {"use": "official", "family": "Quill", "given": ["Ada", "Maria"], "prefix": ["Dr."]},
        {"use": "maiden", "family": "Holt", "given": ["Ada"], "period": {"end": "1999-04-30"}},
    ],
    "telecom": [
        {"system": "phone", "value": "+1 555 123 4567", "use": "home"},
        {"system": "email", "value": "ada.quill@example.org", "use": "work"},
    ],
    "gender": "female",
    "birthDate": "1971-08-14",
    "address": [
        {
            "use": "home",
            "line": ["12 Long Lane", "Flat 3"],
            "city": "Springfield",
            "state": "MA",
            "postalCode": "01101",
            "country": "US",
            "period": {"start": "1999-05-01", "end": "2031-05-01"},
        }
    ],
    "maritalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M"}]},
    "contact": [
        {
            "relationship": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0131", "code": "N"}]}],
            "name": {"family": "Quill", "given": ["Ben"]},
            "telecom": [{"system": "phone", "value": "+1 555 765 4321"}],
        }
    ],
    "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en-US"}]}, "preferred": True}],
    "generalPractitioner": [{"reference": "Practitioner/7", "display": "Dr. Adam Careful"}],
    "managingOrganization": {"reference": "Organization/1"},
}


def search_expressions(resource_type: str) -> list[str]:
    """Return the expressions of all of R4's search parameters for a type."""
    bases = {resource_type, "DomainResource", "Resource"}
    return [p.expression for p in search_parameters() if p.expression and bases & set(p.base)]


def least_seconds(run: Callable[[], object], repetitions: int) -> float:
    """Return how long the quickest of so many runs took."""
    best = float("inf")
    for _ in range(repetitions):
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best


def _search() -> Callable[[], object]:
    paths = [compile_path(expression, "Observation") for expression in search_expressions("Observation")]

    def run() -> None:
        for path in paths:
            path(OBSERVATION)

    return run


def _constraints() -> tuple[int, Callable[[], object]]:
    calls = [
        (compile_constraint(c.expression, c.context_type), c.value, c.extra, c.scope)
        for c in constrained_elements(PATIENT)
    ]

    def run() -> None:
        find_narrative_fault.cache_clear()  # each resource has a narrative of its own
        for check, value, extra, scope in calls:
            check(value, scope, extra)

    return len(calls), run


def _with_fhirpathpy() -> tuple[Callable[[], object], Callable[[], object]] | None:
    try:
        from fhirpathpy import compile as compile_other  # noqa: PLC0415 - installed for development only
        from fhirpathpy.models import models  # noqa: PLC0415
    except ImportError:
        return None
    model, scope = models["r4"], {"resource": PATIENT, "rootResource": PATIENT}
    paths = [compile_other(e, model) for e in search_expressions("Observation") if "resolve()" not in e]
    calls = [
        (compile_other(c.expression, model), c.value, scope)
        for c in constrained_elements(PATIENT)
        if type(c.value) is dict and "trace(" not in c.expression  # it prints traces
    ]
    return _runner([(path, OBSERVATION, {}) for path in paths]), _runner(calls)


def _runner(calls: Sequence[tuple[Callable[..., object], Json, Json]]) -> Callable[[], object]:
    """Return a function that makes those calls which raise nothing."""
    working = [call for call in calls if not _raises(*call)]

    def run() -> None:
        for evaluate, value, scope in working:
            evaluate(value, scope)

    return run


def _raises(evaluate: Callable[..., object], value: Json, scope: Json) -> bool:
    try:
        evaluate(value, scope)
    except Exception:
        return True
    return False


def measure_fhirpath() -> str:
    """Return the figures as a Markdown table."""
    count, constraints = _constraints()
    rows = [
        f"| {len(search_expressions('Observation'))} search expressions of an Observation "
        f"({len(json.dumps(OBSERVATION))} B) | {least_seconds(_search(), 5000) * 1e6:.1f} µs |",
        f"| {count} constraint checks of a Patient ({len(json.dumps(PATIENT))} B) "
        f"| {least_seconds(constraints, 5000) * 1e6:.1f} µs |",
    ]
    others = _with_fhirpathpy()
    if others is None:
        note = "fhirpathpy is not installed: nothing to compare with (`uv pip install fhirpathpy`)."
    else:
        rows += [
            f"| fhirpathpy: those search expressions that it can evaluate | {least_seconds(others[0], 100) * 1e6:,.0f} µs |",
            "| fhirpathpy: those constraints of complex elements that it can evaluate, without dom-3 and ref-1 "
            f"| {least_seconds(others[1], 20) * 1e6:,.0f} µs |",
        ]
        note = f"fhirpathpy {_version('fhirpathpy')}."
    return "\n".join(["| what | least time |", "|---|---:|", *rows, "", note])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"
