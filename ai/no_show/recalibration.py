"""Rolling recalibration: how the model's log-odds are corrected by the outcomes that arrived since it was trained.

The correction of a day is fitted on outcomes known before that day's first instant (UTC) and on what the model said of those
bookings, so a prediction as of an instant never uses an outcome at or after it. Days are only ever added: scoring a past
booking again gives what it gave then.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np

from ai.artifact import Artifact, ArtifactError, read_artifact, write_artifact
from ai.metrics import Vector, sigmoid
from ai.no_show.bookings import Booking
from ai.no_show.history import History
from ai.no_show.model import NAME, Loaded, Model, modified

FILE = f"{NAME}.recalibration"
WINDOW = timedelta(days=28)
LEAST = 100
"""Outcomes in the window below which nothing is corrected."""

_DAY = timedelta(days=1)
# How much the evidence must weigh: standard deviations of the offset and of the slope before any outcome is seen.
_PRIOR = np.diag([1 / 0.25**2, 1 / 0.1**2])


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome, when it was known, and the log-odds that the model gave as of the booking instant."""

    known: datetime
    log_odds: float
    missed: bool


@dataclass(frozen=True, slots=True)
class Correction:
    """``log-odds = offset + slope * the model's``, in force from the first instant (UTC) of ``day``; fitted on ``outcomes`` outcomes."""

    day: date
    offset: float
    slope: float
    outcomes: int


@dataclass(frozen=True, slots=True)
class Recalibration:
    """The corrections of one model in the order of their days."""

    model: str
    corrections: tuple[Correction, ...] = ()

    def at(self, moment: datetime) -> Correction | None:
        """Return the correction in force at an instant; None before the first."""
        place = bisect_right([correction.day for correction in self.corrections], moment.astimezone(UTC).date())
        return self.corrections[place - 1] if place else None

    def apply(self, log_odds: Vector, moments: Sequence[datetime]) -> Vector:
        """Return corrected log-odds, each by the correction in force at its own instant."""
        found = [self.at(moment) for moment in moments]
        offsets = np.array([correction.offset if correction else 0.0 for correction in found])
        slopes = np.array([correction.slope if correction else 1.0 for correction in found])
        return np.asarray(offsets + slopes * log_odds)


def outcomes_of(model: Model, bookings: Iterable[Booking], past: History) -> list[Outcome]:
    """Return the outcomes of bookings with what the model said of them, in the order in which they became known."""
    usable = [b for b in bookings if b.no_show is not None and b.created and b.known]
    if not usable:
        return []
    log_odds, _ = model.score([model.features(booking, past) for booking in usable])
    found = [
        Outcome(booking.known, float(z), bool(booking.no_show))
        for booking, z in zip(usable, log_odds, strict=True)
        if booking.known
    ]
    return sorted(found, key=lambda outcome: (outcome.known, outcome.log_odds, outcome.missed))


def correct(outcomes: Sequence[Outcome], day: date) -> Correction | None:
    """Return the correction for a day from the outcomes of the ``WINDOW`` before it; None when they are fewer than ``LEAST``."""
    end = datetime(day.year, day.month, day.day, tzinfo=UTC)
    inside = [outcome for outcome in outcomes if end - WINDOW <= outcome.known < end]
    if len(inside) < LEAST:
        return None
    x = np.column_stack([np.ones(len(inside)), [outcome.log_odds for outcome in inside]])
    y = np.array([float(outcome.missed) for outcome in inside])
    usual = np.array([0.0, 1.0])
    beta = usual.copy()
    for _ in range(50):
        fitted = sigmoid(x @ beta)
        information = (x * (fitted * (1 - fitted))[:, None]).T @ x + _PRIOR
        step = np.linalg.solve(information, x.T @ (y - fitted) - _PRIOR @ (beta - usual))
        beta += step
        if np.abs(step).max() < 1e-9:  # noqa: PLR2004 - converged
            break
    return Correction(day, round(float(beta[0]), 6), round(float(beta[1]), 6), len(inside))


def extend(recalibration: Recalibration, outcomes: Sequence[Outcome], until: date) -> Recalibration:
    """Add the days that are missing, from the last one (or the first outcome) to ``until``; earlier days stay as they are."""
    if recalibration.corrections:
        day = recalibration.corrections[-1].day + _DAY
    elif outcomes:
        day = outcomes[0].known.astimezone(UTC).date() + _DAY
    else:
        return recalibration
    added = []
    while day <= until:
        found = correct(outcomes, day)
        if found is not None:
            added.append(found)
        day += _DAY
    return Recalibration(recalibration.model, (*recalibration.corrections, *added))


def load(models: Path | None, loaded: Loaded) -> Recalibration:
    """Load the corrections of a model; none when there are none of this very model. Raises ArtifactError for an altered file."""
    path = models / f"{FILE}.json" if models else None
    if path is None or not path.exists():
        return Recalibration(loaded.sha256)
    found = _load(path, modified(path))
    return found if found.model == loaded.sha256 else Recalibration(loaded.sha256)


def save(models: Path, recalibration: Recalibration) -> None:
    """Write corrections at once and durably."""
    days = [[c.day.isoformat(), c.offset, c.slope, c.outcomes] for c in recalibration.corrections]
    write_artifact(models / f"{FILE}.json", {"name": FILE, "model": recalibration.model, "days": days})


@lru_cache(maxsize=4)
def _load(path: Path, _modified: tuple[int, int]) -> Recalibration:
    artifact: Artifact = read_artifact(path, FILE)
    try:
        days = [Correction(date.fromisoformat(day), *rest) for day, *rest in artifact["days"]]
        return Recalibration(str(artifact["model"]), tuple(days))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is not a recalibration: {error}") from error
