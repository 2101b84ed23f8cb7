"""The features of a booking as of an instant: that of the booking itself, or a later one such as the day before the visit.

Everything here is a function of the booking itself and of what was known before the instant; changing any
later outcome changes nothing. A feature that cannot be known is None and gets the model's effect for "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import log

from ai.no_show.bookings import Booking
from ai.no_show.history import NO_OUTCOMES, History, Tally

Value = float | str | None

PATIENT_PRIOR = 4.0
AHEAD_PRIOR = 3.0
PLACE_PRIOR = 50.0
"""Pseudo-outcomes at the base rate, to which the few outcomes of one patient, provider or location are shrunk."""


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
    Feature("patient-ahead-rate", "patient's own rate of no-shows when booked ahead", True, None),
    Feature("patient-ahead-outcomes", "number of the patient's visits that were booked ahead", True, (0, 1, 2, 4, 8)),
    Feature("open-bookings", "patient's other open bookings", True, (0, 1, 2, 4, 8)),
    Feature("same-day-bookings", "patient's other bookings for the same day", True, (0, 1, 2, 3)),
    Feature("reminders", "reminders sent so far", True, (0, 1, 2)),
    Feature("provider-rate", "provider's recent rate of no-shows", True, None),
    Feature("location-rate", "location's recent rate of no-shows", True, None),
    Feature("age", "patient's age", True, (0, 5, 12, 18, 25, 35, 45, 55, 65, 75, 90)),
    Feature("gender", "patient's gender", False),
    Feature("booked-hour", "hour of the day of booking", True, (7, 8, 9, 11, 13, 15, 17, 19)),
    Feature("hour", "hour of the day", True, (7, 8, 9, 11, 13, 15, 17, 19)),
    Feature("weekday", "day of the week", False),
    Feature("visit-type", "type of visit", False),
    Feature("minutes", "planned duration", True, (10, 20, 30, 45, 60)),
)

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def shrunk_rate(tally: Tally, prior: float, base_rate: float) -> float:
    """Return the no-show rate of a tally drawn towards the base rate by ``prior`` pseudo-outcomes."""
    return (tally.missed + prior * base_rate) / (tally.outcomes + prior)


def features_of(
    booking: Booking,
    history: History,
    base_rate: float,
    as_of: datetime | None = None,
    places: Mapping[str, Tally] | None = None,
) -> dict[str, Value]:
    """Return feature code → value as of an instant, by default ``booking.created``; one of them must be there.

    ``places`` are the tallies of providers and locations that a model remembers; without them the history is asked.

    An instant after the end of the visit counts as that end: its own outcome is never part of its features.
    """
    instant = as_of or booking.created
    if instant is None:
        raise ValueError("a booking without a booking instant has no features")
    if booking.known is not None:
        instant = min(instant, booking.known)
    patient = history.of_patient(booking.patient, instant)
    ahead = history.of_patient_ahead(booking.patient, instant)
    open_bookings, same_day = history.open_bookings(booking, instant)

    def rate(tally: Tally, prior: float) -> float:
        return _log_odds(shrunk_rate(tally, prior, base_rate), base_rate)

    def place(reference: str | None) -> Tally:
        return history.of_place(reference, instant) if places is None else places.get(reference or "", NO_OUTCOMES)

    return {
        "lead-days": lead_days(booking),
        "patient-rate": rate(patient, PATIENT_PRIOR),
        "patient-outcomes": float(patient.outcomes),
        "patient-last": None if patient.last_missed is None else "no-show" if patient.last_missed else "showed",
        "patient-ahead-rate": rate(ahead, AHEAD_PRIOR),
        "patient-ahead-outcomes": float(ahead.outcomes),
        "open-bookings": float(open_bookings),
        "same-day-bookings": float(same_day),
        "reminders": float(sum(1 for sent in booking.reminders if sent < instant)),
        "provider-rate": rate(place(booking.provider), PLACE_PRIOR),
        "location-rate": rate(place(booking.location), PLACE_PRIOR),
        "age": booking.age,
        "gender": booking.gender,
        "booked-hour": booking.booked_hour,
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
