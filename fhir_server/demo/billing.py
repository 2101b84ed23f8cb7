"""Coverages and Claims, https://hl7.org/fhir/R4/financial-module.html.

Items are coded with the practice's own service codes and HCPCS Level II, which are free to ship.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from fhir_server.demo.appointments import practitioner_reference, visit_id
from fhir_server.demo.calendar import Visit
from fhir_server.demo.data import read
from fhir_server.demo.elements import (
    HCPCS,
    HL7,
    MEMBER,
    SERVICE,
    concept,
    full_name,
    instant,
    money,
    reference,
)
from fhir_server.demo.people import ADULT, Person
from fhir_server.operations.contract import Resource

_VACCINE_FEE = Decimal("31.50")


def coverage(person: Person, today: date) -> Resource:
    """Return the patient's Coverage; a self-payer's names the patient as payor."""
    payer = person.payer
    pays_self = payer["kind"] == "self"
    code, display = payer["type"]
    patient = reference(person.resource, full_name(person.resource))
    made: Resource = {"resourceType": "Coverage", "id": f"cov-{person.key}", "status": "active"}
    if pays_self:
        made["type"] = concept(f"{HL7}/coverage-selfpay", code, display)
    else:
        made["type"] = concept(f"{HL7}/v3-ActCode", code, display)
        made["subscriberId"] = f"M{700000 + person.number * 13}"
        made["identifier"] = [{"system": MEMBER, "value": made["subscriberId"]}]
    if person.age >= ADULT:
        made["subscriber"] = patient
    made["beneficiary"] = patient
    relationship = ("self", "Self") if person.age >= ADULT else ("child", "Child")
    made["relationship"] = concept(f"{HL7}/subscriber-relationship", *relationship)
    made["period"] = {"start": date(today.year - 2, 1, 1).isoformat()}
    made["payor"] = [patient if pays_self else reference(f"Organization/{payer['id']}", payer["name"])]
    return made


def claim(person: Person, visit: Visit, diagnoses: list[Resource], vaccines: list[dict[str, Any]]) -> Resource:
    """Return the Claim of a kept visit: the visit itself and the administration of each vaccine."""
    traits = read("practice")["visit_types"][visit.kind]
    lines = [(concept(SERVICE, f"visit-{visit.kind}", traits["display"]), Decimal(traits["price"]))]
    for vaccine in vaccines:
        if vaccine["hcpcs"] is None:
            lines.append((concept(SERVICE, "vaccine-administration", "Vaccine administration"), _VACCINE_FEE))
        else:
            lines.append((concept(HCPCS, *vaccine["hcpcs"]), _VACCINE_FEE))
    made: Resource = {
        "resourceType": "Claim",
        "id": visit_id("claim", person, visit),
        "status": "active",
        "type": concept(f"{HL7}/claim-type", "professional", "Professional"),
        "use": "claim",
        "patient": reference(person.resource, full_name(person.resource)),
        "billablePeriod": {"start": visit.day.isoformat(), "end": visit.day.isoformat()},
        "created": instant(visit.end + timedelta(hours=2)),
    }
    if person.payer["kind"] != "self":
        made["insurer"] = reference(f"Organization/{person.payer['id']}", person.payer["name"])
    made["provider"] = reference(f"Organization/{read('practice')['organization']['id']}")
    made["priority"] = concept(f"{HL7}/processpriority", "normal", "Normal")
    made["careTeam"] = [{"sequence": 1, "provider": practitioner_reference(visit), "responsible": True}]
    made["diagnosis"] = [
        {"sequence": sequence, "diagnosisReference": reference(condition)}
        for sequence, condition in enumerate(diagnoses, start=1)
    ]
    made["insurance"] = [{"sequence": 1, "focal": True, "coverage": reference(f"Coverage/cov-{person.key}")}]
    made["item"] = [
        {
            "sequence": sequence,
            "careTeamSequence": [1],
            "diagnosisSequence": [1],
            "productOrService": service,
            "servicedDate": visit.day.isoformat(),
            "quantity": {"value": 1},
            "unitPrice": money(price),
            "net": money(price),
            "encounter": [reference(f"Encounter/{visit_id('enc', person, visit)}")],
        }
        for sequence, (service, price) in enumerate(lines, start=1)
    ]
    made["total"] = money(sum((price for _, price in lines), Decimal(0)))
    return made
