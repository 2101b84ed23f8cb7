"""The features of a booking as of the instant it was made.

Everything here is a function of the booking itself and of outcomes known before ``Booking.created``; changing any
later outcome changes nothing. A feature that cannot be known is None and gets the model's effect for "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from ai.no_show.bookings import Booking
from ai.no_show.history import History, Tally

Value = float | str | None

PATIENT_PRIOR = 4.0
PROVIDER_PRIOR = 50.0
"""Pseudo-outcomes at the base rate, to which the few outcomes of one patient or provider are shrunk."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature's code, its English name, and the levels of a categorical one or the knots of a numeric one.

    ``None`` knots or levels are learned from the training data.
    """

    code: str
    display: str
    numeric: bool
    knots: tuple[float, ...] | None = None


FEATURES = (
    Feature("lead-days", "days between booking and appointment", True, (0, 1, 2, 4, 7, 14, 21, 30, 45, 60, 90)),
    Feature("patient-rate", "patient's own rate of earlier no-shows", True, None),
    Feature("patient-outcomes", "number of the patient's earlier visits", True, (0, 1, 2, 4, 8, 16)),
    Feature("patient-last", "outcome of the patient's last appointment", False),
    Feature("provider-rate", "provider's recent rate of no-shows", True, None),
    Feature("age", "patient's age", True, (0, 5, 12, 18, 25, 35, 45, 55, 65, 75, 90)),
    Feature("hour", "hour of the day", True, (7, 8, 9, 11, 13, 15, 17, 19)),
    Feature("weekday", "day of the week", False),
    Feature("visit-type", "type of visit", False),
    Feature("minutes", "planned duration", True, (10, 20, 30, 45, 60)),
)

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def shrunk_rate(tally: Tally, prior: float, base_rate: float) -> float:
    """Return the no-show rate of a tally drawn towards the base rate by ``prior`` pseudo-outcomes."""
    return (tally.missed + prior * base_rate) / (tally.outcomes + prior)


def features_of(booking: Booking, history: History, base_rate: float) -> dict[str, Value]:
    """Return feature code → value as of ``booking.created``, which must not be None."""
    if booking.created is None:
        raise ValueError("a booking without a booking instant has no features")
    patient = history.of_patient(booking.patient, booking.created)
    provider = history.of_provider(booking.provider, booking.created)
    return {
        "lead-days": lead_days(booking),
        "patient-rate": _log_odds(shrunk_rate(patient, PATIENT_PRIOR, base_rate), base_rate),
        "patient-outcomes": float(patient.outcomes),
        "patient-last": None if patient.last_missed is None else "no-show" if patient.last_missed else "showed",
        "provider-rate": _log_odds(shrunk_rate(provider, PROVIDER_PRIOR, base_rate), base_rate),
        "age": booking.age,
        "hour": None if booking.hour is None else float(booking.hour),
        "weekday": None if booking.day is None else _WEEKDAYS[booking.day.weekday()],
        "visit-type": booking.visit_type,
        "minutes": None if booking.minutes is None else float(booking.minutes),
    }


def lead_days(booking: Booking) -> float | None:
    """Return calendar days from booking to appointment; a booking entered afterwards (a walk-in) counts as same-day."""
    if booking.created_day is None or booking.day is None:
        return None
    return float(max((booking.day - booking.created_day).days, 0))


def _log_odds(rate: float, base_rate: float) -> float:
    """Return log-odds relative to the base rate, so that 0 means average in every practice."""
    return log(rate / (1 - rate)) - log(base_rate / (1 - base_rate))
