"""The resources that the scenarios send: made from a seed, in the shape and size of a practice's daily data."""

from __future__ import annotations

import json
from random import Random
from typing import Any
from uuid import UUID

SYSTEM = "http://bench.praxis.example/mrn"
HL7 = "http://terminology.hl7.org/CodeSystem"
FAMILIES = tuple(
    start + end
    for start in ("Al", "Ber", "Car", "Dom", "Er", "Fal", "Gar", "Hol", "In", "Jor", "Kal", "Lin", "Mar", "Nor", "Ost")
    for end in ("den", "gard", "ino", "kins", "ley", "man", "quist", "sen", "ton", "wood")
)
GIVEN = (
    "Ada",
    "Bela",
    "Cleo",
    "Dario",
    "Edda",
    "Finn",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kira",
    "Luca",
    "Mona",
    "Nils",
)
TOWNS = ("Ashford", "Brookhaven", "Cedar Falls", "Dunmore", "Eastgate")
VITAL_SIGNS = (
    ("8302-2", "cm"),
    ("29463-7", "kg"),
    ("39156-5", "kg/m2"),
    ("8867-4", "/min"),
    ("9279-1", "/min"),
    ("8310-5", "Cel"),
)


def encode(resource: dict[str, Any]) -> bytes:
    """Return compact JSON."""
    return json.dumps(resource, separators=(",", ":")).encode()


def make_patient(rng: Random, mrn: str) -> dict[str, Any]:
    """Return a Patient of about a kilobyte with this medical record number."""
    family, first, second = rng.choice(FAMILIES), rng.choice(GIVEN), rng.choice(GIVEN)
    number_type = {"coding": [{"system": f"{HL7}/v2-0203", "code": "MR", "display": "Medical record number"}]}
    status = {"coding": [{"system": f"{HL7}/v3-MaritalStatus", "code": rng.choice("SM")}]}
    return {
        "resourceType": "Patient",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{first} {family}</div>',
        },
        "identifier": [
            {"use": "usual", "type": number_type, "system": SYSTEM, "value": mrn},
            {"system": "http://bench.praxis.example/card", "value": f"{rng.randrange(10**9):09d}"},
        ],
        "active": True,
        "name": [{"use": "official", "family": family, "given": [first, second]}],
        "telecom": [
            {"system": "phone", "value": f"555-01{rng.randrange(100):02d}", "use": "home"},
            {"system": "email", "value": f"{first}.{family}@example.org".lower()},
        ],
        "gender": rng.choice(("female", "male")),
        "birthDate": f"{rng.randrange(1930, 2020)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}",
        "address": [
            {
                "use": "home",
                "line": [f"{rng.randrange(1, 9999)} Harbour Road"],
                "city": rng.choice(TOWNS),
                "state": "MA",
                "postalCode": f"{rng.randrange(10**5):05d}",
                "country": "US",
            }
        ],
        "maritalStatus": status,
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en-US"}]}}],
    }


def make_visit(rng: Random, mrn: str, observations: int) -> dict[str, Any]:
    """Return a transaction Bundle: a Patient, an Encounter and so many Observations that refer to both."""
    patient_urn, encounter_urn = (f"urn:uuid:{UUID(int=rng.getrandbits(128), version=4)}" for _ in range(2))
    encounter = {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": f"{HL7}/v3-ActCode", "code": "AMB"},
        "subject": {"reference": patient_urn},
        "period": {"start": "2025-03-04T09:00:00Z", "end": "2025-03-04T09:20:00Z"},
    }
    entries = [_post(make_patient(rng, mrn), patient_urn), _post(encounter, encounter_urn)]
    category = [{"coding": [{"system": f"{HL7}/observation-category", "code": "vital-signs"}]}]
    for number in range(observations):
        code, unit = VITAL_SIGNS[number % len(VITAL_SIGNS)]
        value = {
            "value": round(rng.uniform(10, 200), 1),
            "unit": unit,
            "system": "http://unitsofmeasure.org",
            "code": unit,
        }
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "category": category,
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "subject": {"reference": patient_urn},
            "encounter": {"reference": encounter_urn},
            "effectiveDateTime": f"2025-03-04T{9 + number // 60 % 12:02d}:{number % 60:02d}:00Z",
            "valueQuantity": value,
        }
        entries.append(_post(observation, f"urn:uuid:{UUID(int=rng.getrandbits(128), version=4)}"))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _post(resource: dict[str, Any], full_url: str) -> dict[str, Any]:
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": full_url, "resource": resource, "request": request}
