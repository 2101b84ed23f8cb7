"""What was known of a patient and a provider at an instant: outcomes on record before it, and nothing later."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ai.no_show.bookings import Booking

PROVIDER_WINDOW = timedelta(days=60)
"""How far back a provider's rate looks: long enough to be stable, short enough to fetch for one call."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many outcomes, how many of them no-shows, and whether the latest was one (None without any)."""

    outcomes: int
    missed: int
    last_missed: bool | None


class _Outcomes:
    """The outcomes of one patient or provider in the order they became known, with running sums."""

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


_NONE = Tally(0, 0, None)


class History:
    """Earlier outcomes by patient and by provider. Asked for an instant, it never looks at or past it."""

    def __init__(self, bookings: Iterable[Booking]) -> None:
        patients: dict[str, list[tuple[datetime, bool]]] = defaultdict(list)
        providers: dict[str, list[tuple[datetime, bool]]] = defaultdict(list)
        for booking in bookings:
            if booking.no_show is None or booking.known is None:
                continue
            if booking.patient:
                patients[booking.patient].append((booking.known, booking.no_show))
            if booking.provider:
                providers[booking.provider].append((booking.known, booking.no_show))
        self._patients = {key: _Outcomes(outcomes) for key, outcomes in patients.items()}
        self._providers = {key: _Outcomes(outcomes) for key, outcomes in providers.items()}

    def of_patient(self, patient: str | None, before: datetime) -> Tally:
        """Return the patient's outcomes known strictly before the instant."""
        outcomes = self._patients.get(patient or "")
        return outcomes.tally(None, before) if outcomes else _NONE

    def of_provider(self, provider: str | None, before: datetime) -> Tally:
        """Return the provider's outcomes known in the ``PROVIDER_WINDOW`` before the instant."""
        outcomes = self._providers.get(provider or "")
        return outcomes.tally(before - PROVIDER_WINDOW, before) if outcomes else _NONE
