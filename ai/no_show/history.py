"""What was known of a patient, a provider and a location at an instant: outcomes on record before it, and nothing later."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ai.no_show.bookings import Booking

RATE_WINDOW = timedelta(days=60)
"""How far back the rate of a provider or a location looks: long enough to be stable, short enough to follow changes."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many outcomes, how many of them no-shows, and whether the latest was one (None without any)."""

    outcomes: int
    missed: int
    last_missed: bool | None


class _Outcomes:
    """The outcomes of one patient or place in the order they became known, with running sums."""

    def __init__(self, outcomes: list[tuple[datetime, bool]]) -> None:
        outcomes.sort()
        self.known = [known for known, _ in outcomes]
        self.missed = [0]
        for _, no_show in outcomes:
            self.missed.append(self.missed[-1] + no_show)

    def tally(self, since: datetime | None, before: datetime) -> Tally:
        first = bisect_left(self.known, since) if since else 0
        end = bisect_left(self.known, before)
        last = self.missed[end] > self.missed[end - 1] if end > first else None
        return Tally(end - first, self.missed[end] - self.missed[first], last)


NO_OUTCOMES = Tally(0, 0, None)
_Key = tuple[str, str]


class History:
    """Earlier outcomes by patient, provider and location, and open bookings. Asked for an instant, it never looks at or past it."""

    def __init__(self, bookings: Iterable[Booking]) -> None:
        outcomes: dict[_Key, list[tuple[datetime, bool]]] = defaultdict(list)
        self._made: dict[str, list[tuple[datetime, datetime, date | None, str]]] = defaultdict(list)
        for booking in bookings:
            if booking.patient and booking.created and booking.known:
                self._made[booking.patient].append((booking.created, booking.known, booking.day, booking.reference))
            if booking.no_show is None or booking.known is None:
                continue
            for key in _keys(booking):
                outcomes[key].append((booking.known, booking.no_show))
        self._outcomes = {key: _Outcomes(found) for key, found in outcomes.items()}

    def of_patient(self, patient: str | None, before: datetime) -> Tally:
        """Return the patient's outcomes known strictly before the instant."""
        return self._tally(("patient", patient or ""), None, before)

    def of_patient_ahead(self, patient: str | None, before: datetime) -> Tally:
        """Return those of them that were booked for a later day."""
        return self._tally(("ahead", patient or ""), None, before)

    def of_place(self, reference: str | None, before: datetime) -> Tally:
        """Return the outcomes of a provider or location known in the ``RATE_WINDOW`` before the instant."""
        return self._tally(("place", reference or ""), before - RATE_WINDOW, before)

    def places(self, before: datetime) -> dict[str, Tally]:
        """Return the tallies of all providers and locations that have outcomes in the ``RATE_WINDOW`` before the instant."""
        found = {key: self.of_place(key, before) for kind, key in self._outcomes if kind == "place"}
        return {key: tally for key, tally in sorted(found.items()) if tally.outcomes}

    def open_bookings(self, booking: Booking, before: datetime) -> tuple[int, int]:
        """Return how many other bookings of the patient were open, and how many of them for the same day.

        Open is what was booked before the instant and not over by then, whatever became of it later.
        """
        others = [
            day
            for created, known, day, reference in self._made.get(booking.patient or "", ())
            if created < before <= known and reference != booking.reference
        ]
        return len(others), sum(1 for day in others if day == booking.day)

    def _tally(self, key: _Key, since: datetime | None, before: datetime) -> Tally:
        outcomes = self._outcomes.get(key)
        return outcomes.tally(since, before) if outcomes else NO_OUTCOMES


def _keys(booking: Booking) -> Iterable[_Key]:
    if booking.patient:
        yield "patient", booking.patient
        if booking.created_day and booking.day and booking.day > booking.created_day:
            yield "ahead", booking.patient
    if booking.provider:
        yield "place", booking.provider
    if booking.location:
        yield "place", booking.location
