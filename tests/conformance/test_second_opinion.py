"""A second opinion on our models: fhir.resources, which others wrote, reads what we accept and refuses what we refuse.

It carries R4B, which differs from R4 only in a few types; the ones below are the same in both.
"""

from __future__ import annotations

import json
from datetime import date

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from conformance.decode import decode, encode
from conformance.issues import InvalidResource
from fhir_server.demo import generate

TYPES = (
    "Patient",
    "Practitioner",
    "Organization",
    "Location",
    "Encounter",
    "Condition",
    "Observation",
    "Coverage",
    "Claim",
    "Slot",
)
SAMPLE = 20


def demo_resources() -> list[bytes]:
    """Return some demo resources of each type."""
    found: dict[str, list[bytes]] = {name: [] for name in TYPES}
    for resource in generate(patients=12, today=date(2026, 4, 1)):
        kept = found.get(resource["resourceType"])
        if kept is not None and len(kept) < SAMPLE:
            kept.append(encode(resource))
    assert all(found.values()), {name: len(kept) for name, kept in found.items()}
    return [body for kept in found.values() for body in kept]


def test_both_accept_the_demo_practice_and_agree_on_its_content() -> None:
    for body in demo_resources():
        ours = decode(body)
        theirs = get_fhir_model_class(ours["resourceType"]).model_validate_json(body)
        again = decode(theirs.model_dump_json().encode())
        assert {k: v for k, v in again.items() if k != "meta"}.keys() == {
            k: v for k, v in ours.items() if k != "meta"
        }.keys()
        assert again["id"] == ours["id"]


@pytest.mark.parametrize(
    "damaged",
    [
        {"resourceType": "Patient", "surname": "Okafor"},
        {"resourceType": "Patient", "birthDate": "yesterday"},
        {"resourceType": "Patient", "active": "maybe"},
        {"resourceType": "Patient", "name": {"family": "Okafor"}},
        {"resourceType": "Observation", "status": "final"},
        {
            "resourceType": "Observation",
            "code": {"text": "x"},
            "status": "final",
            "valueString": "a",
            "valueInteger": 1,
        },
    ],
)
def test_both_refuse_broken_structure(damaged: dict[str, object]) -> None:
    body = json.dumps(damaged).encode()
    with pytest.raises(InvalidResource):
        decode(body)
    with pytest.raises(ValidationError):
        get_fhir_model_class(str(damaged["resourceType"])).model_validate_json(body)
