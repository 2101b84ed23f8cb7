"""Proposals for the record: a transaction Bundle of Conditions, MedicationStatements and Observations, all unconfirmed.

Nothing is written by proposing; a person posts what is right. What a note denies, supposes or says of relatives is not
proposed, nor are drugs under a title such as Allergies. https://hl7.org/fhir/R4/condition.html, medicationstatement.html,
observation.html
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ai.authorship import TAG, provenance_of
from ai.entities.candidates import LOINC, Coding
from ai.entities.measurements import Measurement
from ai.entities.recognition import Entity
from ai.entities.sources import Source
from fhir_server.operations.contract import Context, Resource

_PROPOSED = frozenset({"affirmed", "possible", "historical"})
_NOT_TAKEN = frozenset({"allergies"})
_UCUM = "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


@dataclass(frozen=True, slots=True)
class Found:
    """An entity with its text and its code candidates."""

    entity: Entity
    text: str
    codings: Sequence[Coding]


def propose(found: Sequence[Found], source: Source, subject: Resource, device: Resource, context: Context) -> Resource:
    """Return the transaction Bundle, with a Provenance that names the model; each thing is proposed once."""
    entries: dict[str, Resource] = {}
    for one in found:
        resource = _resource(one, source, subject)
        if resource is not None:
            key = f"{source.reference}|{resource['resourceType']}|{one.entity.type}|{one.text.casefold()}"
            entries.setdefault(f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, key)}", resource)
    if entries:
        sources = [source.reference] if source.reference else []
        provenance = provenance_of(list(entries), sources, device, context.now)
        key = "|".join(entries) + provenance["recorded"]
        entries[f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, key)}"] = provenance
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(map(_entry, entries.items()))}


def _entry(entry: tuple[str, Resource]) -> Resource:
    url, resource = entry
    return {"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}


def _resource(one: Found, source: Source, subject: Resource) -> Resource | None:
    if one.entity.assertion not in _PROPOSED:
        return None
    made: dict[str, Any]
    if one.entity.measurement is not None:
        made = _observation(one.entity.measurement, source)
    elif one.entity.type in ("condition", "symptom"):
        made = _condition(one, source)
    elif one.entity.type == "medication" and one.entity.section not in _NOT_TAKEN:
        made = _medication(one, source)
    else:
        return None
    return {**made, "meta": {"tag": [TAG]}, "subject": subject}


def _concept(one: Found) -> Resource:
    """Return the words, with the code of the best candidate when that has the very same words."""
    same = [coding for coding in one.codings[:1] if coding.exact]
    codings = [{"system": c.system, "code": c.code, "display": c.display} for c in same]
    return {"coding": codings, "text": one.text} if codings else {"text": one.text}


def _state(name: str, code: str) -> Resource:
    return {"coding": [{"system": f"{_TERMINOLOGY}/{name}", "code": code}]}


def _condition(one: Found, source: Source) -> Resource:
    status = "inactive" if one.entity.assertion == "historical" else "active"
    condition: dict[str, Any] = {
        "resourceType": "Condition",
        "clinicalStatus": _state("condition-clinical", status),
        "verificationStatus": _state("condition-ver-status", "unconfirmed"),
        "code": _concept(one),
    }
    if source.date:
        condition["recordedDate"] = source.date
    return condition


def _medication(one: Found, source: Source) -> Resource:
    statement: dict[str, Any] = {
        "resourceType": "MedicationStatement",
        "status": "unknown",
        "medicationCodeableConcept": _concept(one),
    }
    if source.reference:
        statement["derivedFrom"] = [{"reference": source.reference}]
    if one.entity.attributes:
        statement["dosage"] = [
            {"text": "; ".join(f"{a.name.replace('_', ' ')}: {a.text}" for a in one.entity.attributes)}
        ]
    return statement


def _observation(measured: Measurement, source: Source) -> Resource:
    kind = measured.kind
    coding = [{"system": LOINC, "code": kind.code, "display": kind.display}] if kind.code else []
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "preliminary",
        "code": {"coding": coding, "text": kind.name} if coding else {"text": kind.name},
    }
    if coding:
        observation["category"] = [_state("observation-category", "vital-signs")]
    if source.date:
        observation["effectiveDateTime"] = source.date
    else:
        observation["_effectiveDateTime"] = {"extension": [{"url": _ABSENT, "valueCode": "unknown"}]}
    if source.reference.startswith("DocumentReference/"):
        observation["derivedFrom"] = [{"reference": source.reference}]
    if kind.pair:
        observation["component"] = [
            {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": _quantity(value, measured.unit)}
            for code, value in zip(kind.pair, measured.values, strict=True)
        ]
    else:
        observation["valueQuantity"] = _quantity(measured.values[0], measured.unit)
    return observation


def _quantity(value: Decimal, unit: str) -> Resource:
    return {"value": value, "unit": unit, "system": _UCUM, "code": unit} if unit else {"value": value}
