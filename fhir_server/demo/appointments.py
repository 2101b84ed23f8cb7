"""Appointments and the Encounters they became, https://hl7.org/fhir/R4/appointment.html."""

from __future__ import annotations

from datetime import timedelta

from fhir_server.demo.calendar import Visit
from fhir_server.demo.data import read
from fhir_server.demo.elements import HL7, ICD10CM, REMINDER, VISIT_TYPE, concept, full_name, instant, reference
from fhir_server.demo.people import Person
from fhir_server.demo.staff import SLOT_MINUTES, slot_id
from fhir_server.operations.contract import Resource

_PARTICIPATION = f"{HL7}/v3-ParticipationType"


def practitioner_reference(visit: Visit) -> Resource:
    """Return the reference to the visit's practitioner, with display."""
    entry = visit.practitioner
    prefix = f"{entry['prefix']} " if entry["prefix"] else ""
    return reference(f"Practitioner/{entry['id']}", f"{prefix}{entry['given'][0]} {entry['family']} {entry['suffix']}")


def location_reference(visit: Visit) -> Resource:
    """Return the reference to where the visit takes place."""
    return reference(
        "Location/loc-virtual" if visit.kind == "telehealth" else f"Location/{visit.practitioner['location']}"
    )


def visit_id(prefix: str, person: Person, visit: Visit) -> str:
    """Return the id of a visit's resource, such as ``appt-0007-03``."""
    return f"{prefix}-{person.key}-{visit.number:02d}"


def appointment(person: Person, visit: Visit) -> Resource:
    """Return the Appointment of a visit; slots are stated while the visit lies ahead."""
    traits = read("practice")["visit_types"][visit.kind]
    made: Resource = {
        "resourceType": "Appointment",
        "id": visit_id("appt", person, visit),
        "extension": [{"url": REMINDER, "valueCode": visit.reminder}],
        "status": visit.outcome or "booked",
    }
    if visit.outcome == "cancelled":
        made["cancelationReason"] = concept(f"{HL7}/appointment-cancellation-reason", "pat", "Patient")
    made["serviceType"] = [concept(VISIT_TYPE, visit.kind, traits["display"])]
    made["specialty"] = [{"text": visit.practitioner["specialty"]}]
    code, display = traits["appointment_type"]
    made["appointmentType"] = concept(f"{HL7}/v2-0276", code, display, traits["display"])
    made["reasonCode"] = [{"text": reason_text(visit)}]
    made["description"] = traits["display"]
    made["start"] = instant(visit.start)
    made["end"] = instant(visit.end)
    made["minutesDuration"] = visit.minutes
    if visit.outcome is None:
        made["slot"] = [
            reference(f"Slot/{slot_id(visit.practitioner['id'], visit.day, minute)}")
            for minute in range(visit.minute, visit.minute + visit.minutes, SLOT_MINUTES)
        ]
    made["created"] = instant(visit.created)
    answer = "declined" if visit.outcome == "cancelled" else "accepted"
    made["participant"] = [
        {"actor": reference(person.resource, full_name(person.resource)), "required": "required", "status": answer},
        {
            "type": [concept(_PARTICIPATION, "PPRF", "primary performer")],
            "actor": practitioner_reference(visit),
            "required": "required",
            "status": "accepted",
        },
        {"actor": location_reference(visit), "required": "required", "status": "accepted"},
    ]
    return made


def encounter(person: Person, visit: Visit, diagnoses: list[Resource]) -> Resource:
    """Return the Encounter that a kept appointment became; ``diagnoses`` are its Conditions, main one first."""
    traits = read("practice")["visit_types"][visit.kind]
    virtual = visit.kind == "telehealth"
    # Visits begin a little late and mostly run to the end of the slot; the key keeps that the same in every run.
    wait = (person.number * 7 + visit.number * 3) % 12
    began = visit.start + timedelta(minutes=wait)
    period = {"start": instant(began), "end": instant(began + timedelta(minutes=visit.minutes - wait // 2))}
    return {
        "resourceType": "Encounter",
        "id": visit_id("enc", person, visit),
        "status": "finished",
        "class": {
            "system": f"{HL7}/v3-ActCode",
            "code": "VR" if virtual else "AMB",
            "display": "virtual" if virtual else "ambulatory",
        },
        "type": [concept(VISIT_TYPE, visit.kind, traits["display"])],
        "subject": reference(person.resource, full_name(person.resource)),
        "participant": [
            {
                "type": [concept(_PARTICIPATION, "PPRF", "primary performer")],
                "period": period,
                "individual": practitioner_reference(visit),
            }
        ],
        "appointment": [reference(f"Appointment/{visit_id('appt', person, visit)}")],
        "period": period,
        "reasonCode": [concept(ICD10CM, visit.reasons[0]["code"], visit.reasons[0]["display"], reason_text(visit))],
        "diagnosis": [
            {
                "condition": reference(condition),
                "use": concept(f"{HL7}/diagnosis-role", "billing", "Billing"),
                "rank": rank,
            }
            for rank, condition in enumerate(diagnoses, start=1)
        ],
        "location": [{"location": location_reference(visit), "status": "completed"}],
        "serviceProvider": reference(f"Organization/{read('practice')['organization']['id']}"),
    }


def reason_text(visit: Visit) -> str:
    """Return the patient's reason in plain words, as the front desk took it down."""
    main = visit.reasons[0]
    words: str = main.get("complaint", main["names"])[0]
    return words
