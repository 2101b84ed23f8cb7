"""A year of bookings and the weeks ahead: who comes when, to whom and why, without double booking.

https://hl7.org/fhir/R4/appointment.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import log1p
from random import Random
from typing import Any

from fhir_server.demo.attendance import Booked, Outcome, draw_outcome
from fhir_server.demo.data import read
from fhir_server.demo.elements import CLINIC_TIME, chance, moment
from fhir_server.demo.people import ADULT, Person
from fhir_server.demo.staff import HORIZON_DAYS, SLOT_MINUTES, works_on

_PAST_DAYS = 365
_ATTEMPTS = 12


@dataclass(frozen=True, slots=True)
class Visit:
    """One booking; ``outcome`` is None while it lies ahead, ``reasons`` come from conditions.json, main one first."""

    number: int
    practitioner: dict[str, Any]
    kind: str
    day: date
    minute: int
    minutes: int
    created: datetime
    reminder: str
    outcome: Outcome | None
    reasons: tuple[dict[str, Any], ...]

    @property
    def start(self) -> datetime:
        """When it begins."""
        return moment(self.day, self.minute)

    @property
    def end(self) -> datetime:
        """When it ends."""
        return moment(self.day, self.minute + self.minutes)


@dataclass(slots=True)
class Calendar:
    """The books of all practitioners: for each, the set of (day, minute) of taken slots."""

    today: date
    taken: dict[str, set[tuple[date, int]]] = field(default_factory=dict)

    def reserve(self, rng: Random, practitioner: dict[str, Any], day: date, minutes: int) -> int | None:
        """Take a free stretch on a day and return its start in minutes after midnight, or None when there is none."""
        if not works_on(practitioner, day):
            return None
        books = self.taken.setdefault(practitioner["id"], set())
        starts = list(range(practitioner["from"] * 60, practitioner["to"] * 60 - minutes + 1, SLOT_MINUTES))
        rng.shuffle(starts)
        for start in starts:
            stretch = {(day, minute) for minute in range(start, start + minutes, SLOT_MINUTES)}
            if not stretch & books:
                books |= stretch
                return start
        return None

    def book(self, person: Person, seed: int) -> list[Visit]:
        """Book all visits of one patient, oldest first."""
        rng = Random(f"{seed}/visits/{person.number}")  # noqa: S311 - a simulation, not a secret
        expected = person.visits_a_year * (_PAST_DAYS + HORIZON_DAYS) / 365
        wanted = sorted(rng.randrange(-_PAST_DAYS, HORIZON_DAYS) for _ in range(_poisson(rng, expected)))
        visits: list[Visit] = []
        last: date | None = None
        for position, offset in enumerate(wanted):
            day = self.today + timedelta(days=offset)
            if last is not None and day <= last:
                day = last + timedelta(days=1)
            kind = _visit_type(rng, person, first=position == 0)
            visit = self._book_one(rng, person, kind, day, len(visits) + 1)
            if visit is not None:
                visits.append(visit)
                last = visit.day
        return visits

    def _book_one(self, rng: Random, person: Person, kind: str, day: date, number: int) -> Visit | None:
        traits = read("practice")["visit_types"][kind]
        lead_low, lead_high = traits["lead"]
        lead = int(rng.triangular(lead_low, lead_high, lead_low))
        midnight = datetime(self.today.year, self.today.month, self.today.day, tzinfo=CLINIC_TIME)
        for candidate in _days_from(day):
            if candidate >= self.today + timedelta(days=HORIZON_DAYS):
                return None
            minute = self.reserve(rng, person.practitioner, candidate, traits["minutes"])
            if minute is None:
                continue
            start = moment(candidate, minute)
            created = moment(candidate - timedelta(days=lead), rng.randrange(8 * 60, 17 * 60))
            if created >= start:
                created = start - timedelta(minutes=rng.randrange(45, 180))
            if created >= midnight:  # not booked yet
                self._release(person, candidate, minute, traits["minutes"])
                return None
            reminder = person.reminder if lead >= 1 else "none"
            booked = Booked(
                traits["effect"], (start - created) / timedelta(days=1), candidate.weekday(), minute // 60, reminder
            )
            outcome = draw_outcome(rng, person, booked)
            ahead = candidate >= self.today
            return Visit(
                number=number,
                practitioner=person.practitioner,
                kind=kind,
                day=candidate,
                minute=minute,
                minutes=traits["minutes"],
                created=created,
                reminder=reminder,
                outcome=None if ahead else outcome,
                reasons=_reasons(rng, person, kind),
            )
        return None

    def _release(self, person: Person, day: date, minute: int, minutes: int) -> None:
        self.taken[person.practitioner["id"]] -= {
            (day, taken) for taken in range(minute, minute + minutes, SLOT_MINUTES)
        }


def _days_from(day: date) -> Iterator[date]:
    return (day + timedelta(days=step) for step in range(_ATTEMPTS))


def _poisson(rng: Random, mean: float) -> int:
    total = -log1p(-rng.random())
    count = 0
    while total < mean:
        count += 1
        total -= log1p(-rng.random())
    return count


def _visit_type(rng: Random, person: Person, *, first: bool) -> str:
    if first and chance(rng, 0.25):
        return "new-patient"
    chronic = len(person.chronic)
    weights = {
        "acute": 24,
        "follow-up": 24,
        "chronic-care": 14 * min(chronic, 3),
        "physical": 12,
        "vaccination": 9,
        "telehealth": 12,
    }
    return rng.choices(list(weights), list(weights.values()))[0]


def _reasons(rng: Random, person: Person, kind: str) -> tuple[dict[str, Any], ...]:
    wellness = read("conditions")["wellness"]
    if kind == "vaccination":
        return (wellness["vaccination"],)
    if kind == "physical":
        main = wellness["child" if person.age < ADULT else "adult"]
        return (main, *rng.sample(person.chronic, min(len(person.chronic), rng.randint(0, 2))))
    if person.chronic and kind != "acute" and chance(rng, 0.85):
        return tuple(rng.sample(person.chronic, min(len(person.chronic), rng.randint(1, 3))))
    suited = [
        c
        for c in read("conditions")["acute"]
        if c["ages"][0] <= person.age <= c["ages"][1] and c.get("sex", person.sex) == person.sex
    ]
    main = rng.choices(suited, [c["weight"] for c in suited])[0]
    return (main, *rng.sample(person.chronic, 1 if person.chronic and chance(rng, 0.3) else 0))
