"""How appointments of the demo practice end: the truth that a no-show model tries to learn.

The chance of a no-show is a logistic function of features that resources state, of one trait that they don't (the
patient's reliability, which shows only through past behaviour), and of chance. So a patient's own history helps, the
booking's features help more, and neither settles the matter.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import exp, log1p
from random import Random
from typing import Literal

from fhir_server.demo.elements import chance
from fhir_server.demo.people import Person

Outcome = Literal["fulfilled", "noshow", "cancelled"]

_BASE = -1.95
_RELIABILITY = 0.75
_LEAD = 0.62
_LEAD_CENTRE = 2.3
_WEEKDAY = (0.35, -0.1, -0.25, -0.1, 0.4, 0.0, 0.0)
_HOUR_STARTS = (9, 15)
_HOUR = (0.4, -0.15, 0.25)
_AGE_STARTS = (18, 30, 45, 65)
_AGE = (-0.1, 0.55, 0.2, 0.0, -0.35)
_REMINDER = {"sms": -0.5, "phone": -0.3, "email": 0.0, "none": 0.55}
_PAYER = {"commercial": -0.15, "senior": -0.2, "public": 0.25, "self": 0.45}


@dataclass(frozen=True, slots=True)
class Booked:
    """What is known when an appointment is booked."""

    visit_type_effect: float
    lead_days: float
    weekday: int
    hour: int
    reminder: str


def no_show_probability(person: Person, booked: Booked) -> float:
    """Return the probability, 0 to 1, that the patient stays away without notice (given no cancellation)."""
    score = (
        _BASE
        - _RELIABILITY * person.reliability
        + _LEAD * (log1p(booked.lead_days) - _LEAD_CENTRE)
        + _WEEKDAY[booked.weekday]
        + _step(_HOUR_STARTS, _HOUR, booked.hour)
        + _step(_AGE_STARTS, _AGE, person.age)
        + booked.visit_type_effect
        + person.practitioner["effect"]
        + _REMINDER[booked.reminder]
        + _PAYER[person.payer["kind"]]
    )
    return 1 / (1 + exp(-score))


def draw_outcome(rng: Random, person: Person, booked: Booked) -> Outcome:
    """Draw how an appointment ends."""
    if chance(rng, 0.03 + 0.02 * log1p(booked.lead_days)):
        return "cancelled"
    return "noshow" if chance(rng, no_show_probability(person, booked)) else "fulfilled"


def _step(starts: tuple[int, ...], effects: tuple[float, ...], value: int) -> float:
    return effects[bisect_right(starts, value)]
