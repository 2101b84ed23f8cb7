"""Who and what the demo practice consists of: organization, payers, locations, practitioners, roles, schedules, slots.

https://hl7.org/fhir/R4/administration-module.html
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from fhir_server.demo.data import read
from fhir_server.demo.elements import (
    HL7,
    STAFF,
    VISIT_TYPE,
    address,
    concept,
    full_name,
    instant,
    moment,
    reference,
)
from fhir_server.operations.contract import Resource

SLOT_MINUTES = 20
HORIZON_DAYS = 28
"""How far ahead the calendar is open, in days."""

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOSED = ((1, 1), (7, 4), (12, 25))


def works_on(practitioner: dict[str, Any], day: date) -> bool:
    """Return whether a practitioner (an entry of practice.json) sees patients on a day."""
    return day.weekday() in practitioner["days"] and (day.month, day.day) not in _CLOSED


def slot_id(practitioner_id: str, day: date, minute: int) -> str:
    """Return the id of the slot that starts ``minute`` minutes after midnight of a day."""
    return f"slot-{practitioner_id.removeprefix('prac-')}-{day:%Y%m%d}-{minute // 60:02d}{minute % 60:02d}"


def organizations() -> Iterator[Resource]:
    """Yield the practice itself and the payers."""
    practice = read("practice")
    own = practice["organization"]
    yield {
        "resourceType": "Organization",
        "id": own["id"],
        "active": True,
        "type": [concept(f"{HL7}/organization-type", "prov", "Healthcare Provider")],
        "name": own["name"],
        "alias": own["alias"],
        "telecom": [
            {"system": "phone", "value": own["phone"], "use": "work"},
            {"system": "email", "value": own["email"], "use": "work"},
        ],
        "address": [own["address"]],
    }
    for payer in practice["payers"]:
        if payer["kind"] != "self":
            yield {
                "resourceType": "Organization",
                "id": payer["id"],
                "active": True,
                "type": [concept(f"{HL7}/organization-type", "pay", "Payer")],
                "name": payer["name"],
            }


def locations() -> Iterator[Resource]:
    """Yield the places where visits happen."""
    practice = read("practice")
    for place in practice["locations"]:
        code, display = place["physicalType"]
        made: Resource = {
            "resourceType": "Location",
            "id": place["id"],
            "status": "active",
            "name": place["name"],
            "mode": "instance",
            "address": address(place["line"], place["city"], place["postalCode"], "work"),
            "physicalType": concept(f"{HL7}/location-physical-type", code, display),
            "managingOrganization": reference(f"Organization/{practice['organization']['id']}"),
        }
        if place["longitude"]:
            made["position"] = {"longitude": Decimal(place["longitude"]), "latitude": Decimal(place["latitude"])}
        yield made


def practitioner(entry: dict[str, Any], number: int) -> Resource:
    """Return the Practitioner of one entry of practice.json."""
    name: Resource = {"use": "official", "family": entry["family"], "given": entry["given"]}
    if entry["prefix"]:
        name["prefix"] = [entry["prefix"]]
    name["suffix"] = [entry["suffix"]]
    return {
        "resourceType": "Practitioner",
        "id": entry["id"],
        "identifier": [{"use": "official", "system": STAFF, "value": f"S{number:04d}"}],
        "active": True,
        "name": [name],
        "telecom": [{"system": "email", "value": f"{entry['id']}@mesquite-ridge.example.org", "use": "work"}],
        "gender": entry["gender"],
        "birthDate": entry["birthDate"],
        "communication": [concept("urn:ietf:bcp:47", language) for language in entry["languages"]],
    }


def practitioner_role(entry: dict[str, Any], person: Resource) -> Resource:
    """Return the PractitionerRole of one entry of practice.json."""
    return {
        "resourceType": "PractitionerRole",
        "id": f"role-{entry['id'].removeprefix('prac-')}",
        "active": True,
        "practitioner": reference(person, full_name(person)),
        "organization": reference(f"Organization/{read('practice')['organization']['id']}"),
        "code": [{"text": entry["suffix"]}],
        "specialty": [{"text": entry["specialty"]}],
        "location": [reference(f"Location/{entry['location']}")],
        "availableTime": [
            {
                "daysOfWeek": [_WEEKDAYS[day] for day in entry["days"]],
                "availableStartTime": f"{entry['from']:02d}:00:00",
                "availableEndTime": f"{entry['to']:02d}:00:00",
            }
        ],
    }


def schedule(entry: dict[str, Any], person: Resource, today: date) -> Resource:
    """Return the Schedule of one practitioner: a year back and the open horizon ahead."""
    return {
        "resourceType": "Schedule",
        "id": f"schedule-{entry['id'].removeprefix('prac-')}",
        "active": True,
        "serviceType": [
            concept(VISIT_TYPE, code, kind["display"]) for code, kind in read("practice")["visit_types"].items()
        ],
        "specialty": [{"text": entry["specialty"]}],
        "actor": [reference(person, full_name(person)), reference(f"Location/{entry['location']}")],
        "planningHorizon": {
            "start": instant(moment(today - timedelta(days=365), 0)),
            "end": instant(moment(today + timedelta(days=HORIZON_DAYS), 0)),
        },
    }


def slots(entry: dict[str, Any], today: date, busy: set[tuple[date, int]]) -> Iterator[Resource]:
    """Yield a practitioner's slots from today over the horizon; ``busy`` holds (day, minute) of taken ones."""
    of = reference(f"Schedule/schedule-{entry['id'].removeprefix('prac-')}")
    for ahead in range(HORIZON_DAYS):
        day = today + timedelta(days=ahead)
        if not works_on(entry, day):
            continue
        for minute in range(entry["from"] * 60, entry["to"] * 60, SLOT_MINUTES):
            yield {
                "resourceType": "Slot",
                "id": slot_id(entry["id"], day, minute),
                "schedule": of,
                "status": "busy" if (day, minute) in busy else "free",
                "start": instant(moment(day, minute)),
                "end": instant(moment(day, minute + SLOT_MINUTES)),
            }
