"""How a result says that a model made it: a tag, the model as a Device, a Provenance, and for what is stored an AuditEvent.

R4's own security labels have no code for machine-made content (``AIAST`` came to v3-ObservationValue later), so the tag
is ours: code ``ai`` of our code system ``authorship``. https://hl7.org/fhir/R4/provenance.html, https://hl7.org/fhir/R4/auditevent.html
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ai.registry import card_of
from fhir_server.operations.contract import Context, Resource

CANONICAL = "https://praxis.example/fhir"
TAG = {"system": f"{CANONICAL}/CodeSystem/authorship", "code": "ai", "display": "Made by an AI model"}
FACTOR_SYSTEM = f"{CANONICAL}/CodeSystem/ai-factor"
DEVICE_ID = "model"
_AGENT = {"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "assembler"}
_ACTIVITY = {"system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation", "code": "CREATE"}


def device_of(name: str, version: str, sha256: str) -> Resource:
    """Return the model as a Device, to be contained: name, version, its card, and the hash of its artifact as identifier."""
    card = card_of(name)
    device: Resource = {
        "resourceType": "Device",
        "id": DEVICE_ID,
        "identifier": [{"system": f"{CANONICAL}/sid/ai-model-sha256", "value": sha256}],
        "deviceName": [{"name": name, "type": "model-name"}],
        "version": [{"value": version}],
    }
    if card is not None:
        device["note"] = [{"text": f"Model card: {card}"}]
    return device


def provenance_of(targets: Sequence[str], sources: Sequence[str], device: Resource, now: datetime) -> Resource:
    """Return the Provenance of ``targets`` (references, also urn:uuid) made by a model from ``sources``.

    Without targets it speaks of the answer that holds it.
    """
    provenance: dict[str, Any] = {
        "resourceType": "Provenance",
        "meta": {"tag": [TAG]},
        "contained": [device],
        "target": [{"reference": target} for target in targets] or [{"display": "The answer that holds this"}],
        "recorded": instant(now),
        "activity": {"coding": [_ACTIVITY]},
        "agent": [{"type": {"coding": [_AGENT]}, "who": {"reference": f"#{DEVICE_ID}"}}],
    }
    if sources:
        provenance["entity"] = [{"role": "source", "what": {"reference": source}} for source in sources]
    return provenance


def audit_event_of(operation: str, targets: Sequence[str], device: Resource, context: Context) -> Resource:
    """Return the AuditEvent of an operation whose results are stored: who asked, which model answered, what was written."""
    model = f"{device['deviceName'][0]['name']} {device['version'][0]['value']}"
    return {
        "resourceType": "AuditEvent",
        "meta": {"tag": [TAG]},
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "subtype": [
            {"system": "http://hl7.org/fhir/restful-interaction", "code": "operation", "display": f"${operation}"}
        ],
        "action": "E",
        "recorded": instant(context.now),
        "outcome": "0",
        "agent": [
            {"altId": context.subject, "name": context.subject, "requestor": True},
            {"name": model, "requestor": False},
        ],
        "source": {"observer": {"display": "Praxis"}},
        "entity": [{"what": {"reference": target}} for target in targets],
    }


def instant(moment: datetime) -> str:
    """Return a FHIR instant in whole milliseconds."""
    return moment.isoformat(timespec="milliseconds")
