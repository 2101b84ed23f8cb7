"""Appointments as the no-show model sees them, read from FHIR, https://hl7.org/fhir/R4/appointment.html.

A booking keeps only what the appointment says of itself. What came before it is asked of a ``History``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fhir_server.operations.contract import Resource

SHOWED = frozenset({"fulfilled", "arrived", "checked-in"})
MISSED = frozenset({"noshow"})
IMPOSSIBLE = frozenset({"cancelled", "entered-in-error"})

_DATE_LENGTH = len("2026-04-01")
_DEFAULT_MINUTES = 30
_EVENING = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Booking:
    """One appointment. Instants are aware; ``hour``, ``day`` and ``booked_hour`` are in their own offset.

    ``created`` is the booking instant, to which all features refer; ``known`` is when the outcome is on record (the
    end of the appointment). ``age`` is in years with their fraction and ``years`` are the completed ones, both on the
    day of booking (of the appointment when that is unknown). ``no_show`` is None when the status is not an outcome.
    ``reminders`` are the instants at which the patient was reminded of it.
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
    gender: str | None = None
    location: str | None = None
    booked_hour: float | None = None
    reminders: tuple[datetime, ...] = ()

    @property
    def eve(self) -> datetime | None:
        """The evening before the visit, or the booking instant when that is later; None when either is unknown."""
        if self.created is None or self.day is None or self.known is None:
            return None
        midnight = datetime(self.day.year, self.day.month, self.day.day, tzinfo=self.known.tzinfo)
        return max(self.created, midnight - _EVENING)


@dataclass(frozen=True, slots=True)
class Person:
    """What a booking takes from its Patient."""

    born: date | None
    gender: str | None


_NOBODY = Person(None, None)


def read_booking(
    appointment: Resource, people: Mapping[str, Person], reminders: Mapping[str, Sequence[datetime]] | None = None
) -> Booking:
    """Read an Appointment; ``people`` are by ``Patient/id``, ``reminders`` by ``Appointment/id``. What is unusable becomes None."""
    created, created_day = read_instant(appointment.get("created"))
    start, _ = read_instant(appointment.get("start"))
    end, _ = read_instant(appointment.get("end"))
    minutes = _minutes(appointment, start, end)
    actors = _actors(appointment)
    patient = actors.get("Patient")
    person = people.get(patient or "", _NOBODY)
    reference_day = created_day or (start.date() if start else None)
    usable = person.born is not None and reference_day is not None and person.born <= reference_day
    age, years = _age(person.born, reference_day) if usable and person.born and reference_day else (None, None)
    status = appointment.get("status")
    reference = f"Appointment/{appointment.get('id', '')}"
    return Booking(
        reference=reference,
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
        provider=actors.get("Practitioner") or actors.get("PractitionerRole"),
        no_show=True if status in MISSED else False if status in SHOWED else None,
        gender=person.gender,
        location=actors.get("Location"),
        booked_hour=_booked_hour(appointment.get("created"), created),
        reminders=tuple(sorted((reminders or {}).get(reference, ()))),
    )


def read_bookings(
    appointments: Iterable[Resource], patients: Iterable[Resource], communications: Iterable[Resource] = ()
) -> list[Booking]:
    """Read Appointments with what their Patients and the reminders (Communications) add."""
    people = read_people(patients)
    reminders = read_reminders(communications)
    return [read_booking(appointment, people, reminders) for appointment in appointments]


def read_people(patients: Iterable[Resource]) -> dict[str, Person]:
    """Return ``Patient/id`` → birth date (when it is a full date) and gender."""
    found = {}
    for patient in patients:
        text, gender = patient.get("birthDate"), patient.get("gender")
        born = None
        if isinstance(text, str) and len(text) == _DATE_LENGTH:
            with suppress(ValueError):
                born = date.fromisoformat(text)
        found[f"Patient/{patient.get('id', '')}"] = Person(born, gender if gender in ("female", "male") else None)
    return found


def read_reminders(communications: Iterable[Resource]) -> dict[str, list[datetime]]:
    """Return ``Appointment/id`` → the instants at which Communications of category reminder about it were sent."""
    found: dict[str, list[datetime]] = {}
    for communication in communications:
        sent, _ = read_instant(communication.get("sent"))
        if sent is None or communication.get("status") != "completed" or not _reminds(communication):
            continue
        for about in communication.get("about", ()):
            parts = str(about.get("reference", "")).split("/_history/")[0].split("/")
            if parts[-2:-1] == ["Appointment"]:
                found.setdefault("/".join(parts[-2:]), []).append(sent)
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


def _booked_hour(text: Any, created: datetime | None) -> float | None:
    """Return the hour of booking with its fraction; None when only the day is known."""
    return None if created is None or len(str(text)) == _DATE_LENGTH else created.hour + created.minute / 60


def _minutes(appointment: Resource, start: datetime | None, end: datetime | None) -> int | None:
    stated = appointment.get("minutesDuration")
    if isinstance(stated, int) and stated > 0:
        return stated
    return round((end - start).total_seconds() / 60) if start and end and end > start else None


def _actors(appointment: Resource) -> dict[str, str]:
    """Return type → the first participant of it as ``Type/id``, be its reference relative or absolute."""
    found: dict[str, str] = {}
    for participant in appointment.get("participant", ()):
        parts = str(participant.get("actor", {}).get("reference", "")).split("/_history/")[0].split("/")
        if len(parts) > 1:
            found.setdefault(parts[-2], f"{parts[-2]}/{parts[-1]}")
    return found


def _reminds(communication: Resource) -> bool:
    return any(
        coding.get("code") == "reminder"
        for concept in communication.get("category", ())
        for coding in concept.get("coding", ())
    )


def _visit_type(appointment: Resource) -> str | None:
    for concept in (*appointment.get("serviceType", ()), appointment.get("appointmentType", {})):
        for coding in concept.get("coding", ()):
            if coding.get("code"):
                return str(coding["code"])
        if concept.get("text"):
            return str(concept["text"])
    return None
