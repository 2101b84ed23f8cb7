"""Appointments as the no-show model sees them, read from FHIR, https://hl7.org/fhir/R4/appointment.html.

A booking keeps only what the appointment says of itself. What came before it is asked of a ``History``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fhir_server.operations.contract import Resource

SHOWED = frozenset({"fulfilled", "arrived", "checked-in"})
MISSED = frozenset({"noshow"})
IMPOSSIBLE = frozenset({"cancelled", "entered-in-error"})

_DATE_LENGTH = len("2026-04-01")
_DEFAULT_MINUTES = 30


@dataclass(frozen=True, slots=True)
class Booking:
    """One appointment. Instants are aware; ``hour`` and ``day`` are in the appointment's own offset.

    ``created`` is the booking instant, to which all features refer; ``known`` is when the outcome is on record (the
    end of the appointment). ``age`` is in years with their fraction and ``years`` are the completed ones, both on the
    day of booking (of the appointment when that is unknown). ``no_show`` is None when the status is not an outcome.
    """

    reference: str
    patient: str | None
    created: datetime | None
    created_day: date | None
    day: date | None
    hour: int | None
    known: datetime | None
    age: float | None
    years: int | None
    visit_type: str | None
    minutes: int | None
    provider: str | None
    no_show: bool | None


def read_booking(appointment: Resource, birth_dates: dict[str, date]) -> Booking:
    """Read an Appointment; ``birth_dates`` maps ``Patient/id`` to a date. What is unusable becomes None."""
    created, created_day = read_instant(appointment.get("created"))
    start, _ = read_instant(appointment.get("start"))
    end, _ = read_instant(appointment.get("end"))
    minutes = _minutes(appointment, start, end)
    patient = _actor(appointment, ("Patient",))
    born = birth_dates.get(patient or "")
    reference_day = created_day or (start.date() if start else None)
    age, years = _age(born, reference_day) if born and reference_day and born <= reference_day else (None, None)
    status = appointment.get("status")
    return Booking(
        reference=f"Appointment/{appointment.get('id', '')}",
        patient=patient,
        created=created,
        created_day=created_day,
        day=start.date() if start else None,
        hour=start.hour if start else None,
        known=start + timedelta(minutes=minutes or _DEFAULT_MINUTES) if start else None,
        age=age,
        years=years,
        visit_type=_visit_type(appointment),
        minutes=minutes,
        provider=_actor(appointment, ("Practitioner", "PractitionerRole")),
        no_show=True if status in MISSED else False if status in SHOWED else None,
    )


def read_bookings(appointments: Iterable[Resource], patients: Iterable[Resource]) -> list[Booking]:
    """Read Appointments with the birth dates of their Patients."""
    born = read_birth_dates(patients)
    return [read_booking(appointment, born) for appointment in appointments]


def read_birth_dates(patients: Iterable[Resource]) -> dict[str, date]:
    """Return ``Patient/id`` → birth date for those with a full date."""
    found = {}
    for patient in patients:
        text = patient.get("birthDate")
        if isinstance(text, str) and len(text) == _DATE_LENGTH:
            try:
                found[f"Patient/{patient.get('id', '')}"] = date.fromisoformat(text)
            except ValueError:
                continue
    return found


def read_instant(text: Any) -> tuple[datetime | None, date | None]:
    """Return the instant and calendar day of a FHIR dateTime; a bare day begins at midnight UTC."""
    if not isinstance(text, str):
        return None, None
    try:
        if len(text) == _DATE_LENGTH:
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC), day
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None, None
    return (instant, instant.date()) if instant.tzinfo else (None, None)


def _age(born: date, day: date) -> tuple[float, int]:
    """Return the age in years with their fraction, and the completed years (born on 29 February: from 1 March)."""
    before_birthday = (day.month, day.day) < (born.month, born.day)
    return (day - born).days / 365.25, day.year - born.year - before_birthday


def _minutes(appointment: Resource, start: datetime | None, end: datetime | None) -> int | None:
    stated = appointment.get("minutesDuration")
    if isinstance(stated, int) and stated > 0:
        return stated
    return round((end - start).total_seconds() / 60) if start and end and end > start else None


def _actor(appointment: Resource, types: tuple[str, ...]) -> str | None:
    """Return the first participant of one of the types as ``Type/id``, be its reference relative or absolute."""
    for participant in appointment.get("participant", ()):
        parts = str(participant.get("actor", {}).get("reference", "")).split("/_history/")[0].split("/")
        if len(parts) > 1 and parts[-2] in types:
            return f"{parts[-2]}/{parts[-1]}"
    return None


def _visit_type(appointment: Resource) -> str | None:
    for concept in (*appointment.get("serviceType", ()), appointment.get("appointmentType", {})):
        for coding in concept.get("coding", ()):
            if coding.get("code"):
                return str(coding["code"])
        if concept.get("text"):
            return str(concept["text"])
    return None
