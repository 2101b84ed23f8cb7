"""The whole demo practice as a stream of resources, the referenced before those that refer to them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from random import Random

from fhir_server.demo.appointments import appointment, encounter
from fhir_server.demo.billing import claim, coverage
from fhir_server.demo.calendar import Calendar, Visit
from fhir_server.demo.clinical import (
    due_vaccines,
    immunization,
    observations,
    prescriptions,
    problem_list,
    take_vitals,
    visit_conditions,
)
from fhir_server.demo.data import read
from fhir_server.demo.notes import note
from fhir_server.demo.people import Person, make_person
from fhir_server.demo.staff import locations, organizations, practitioner, practitioner_role, schedule, slots
from fhir_server.operations.contract import Resource

SEED = 20260101


def generate(seed: int = SEED, patients: int = 500, today: date | None = None) -> Iterator[Resource]:
    """Yield the practice: staff and calendar, then patient by patient.

    The same ``seed``, ``patients`` and ``today`` give the same resources with the same ids. ``today`` (default: the
    current date in UTC) divides the past year of appointments from the booked weeks ahead.
    """
    today = today or datetime.now(UTC).date()
    calendar = Calendar(today)
    booked = []
    for number in range(1, patients + 1):
        person = make_person(number, seed, today)
        booked.append((person, calendar.book(person, seed)))
    yield from _practice(calendar)
    for person, visits in booked:
        yield from _record(person, visits, seed, today)


def _practice(calendar: Calendar) -> Iterator[Resource]:
    yield from organizations()
    yield from locations()
    for number, entry in enumerate(read("practice")["practitioners"], start=1):
        person = practitioner(entry, number)
        yield person
        yield practitioner_role(entry, person)
        yield schedule(entry, person, calendar.today)
        yield from slots(entry, calendar.today, calendar.taken.get(entry["id"], set()))


def _record(person: Person, visits: list[Visit], seed: int, today: date) -> Iterator[Resource]:
    yield person.resource
    yield coverage(person, today)
    problems = problem_list(person, today)
    yield from problems
    given: set[str] = set()
    for visit in visits:
        yield appointment(person, visit)
        if visit.outcome != "fulfilled":
            continue
        rng = Random(f"{seed}/visit/{person.number}/{visit.number}")  # noqa: S311 - a simulation, not a secret
        diagnoses, new = visit_conditions(person, visit, problems)
        yield encounter(person, visit, diagnoses)
        yield from new
        vitals = take_vitals(rng, person)
        yield from observations(rng, person, visit, vitals)
        yield from prescriptions(rng, person, visit)
        vaccines = due_vaccines(rng, person, visit, given)
        for vaccine in vaccines:
            yield immunization(person, visit, vaccine)
        yield note(rng, person, visit, vitals)
        yield claim(person, visit, diagnoses, vaccines)
