"""Held-out evaluation of the no-show model against its baselines, split by time and, in the bootstrap, by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from ai.metrics import PROBABILITY_METRICS, Figure, Metric, Vector, measure
from ai.no_show.bookings import Booking, read_bookings
from ai.no_show.features import features_of, lead_days
from ai.no_show.history import History
from ai.no_show.training import patient_rate_baseline, train_on, usable_bookings
from ai.no_show.vitoria import read_vitoria
from ai.read_resources import read_resources

TEST_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures by predictor and metric on ``n`` held-out bookings, and the seconds spent."""

    n: int
    n_train: int
    missed: int
    split: str
    figures: dict[str, dict[str, Figure]]
    seconds: float


def read_bookings_from(path: Path) -> list[Booking]:
    """Read bookings from a Vitoria CSV or from FHIR files (Appointments and Patients)."""
    if path.name.endswith((".csv", ".csv.gz")):
        return read_vitoria(path)
    resources = [r for r in read_resources(path) if r["resourceType"] in ("Appointment", "Patient")]
    return read_bookings(
        [r for r in resources if r["resourceType"] == "Appointment"],
        [r for r in resources if r["resourceType"] == "Patient"],
    )


def split_by_time(bookings: Sequence[Booking], share: float = TEST_SHARE) -> tuple[list[Booking], list[Booking]]:
    """Split bookings with an outcome into an earlier and a later part at a day's boundary.

    Bookings made before the boundary for a day after it belong to the later part: their outcome was open.
    """
    usable = usable_bookings(bookings)
    boundary = usable[int(len(usable) * (1 - share))].day if usable else None
    earlier = [b for b in usable if b.day and boundary and b.day < boundary]
    later = [b for b in usable if b.day and boundary and b.day >= boundary]
    return earlier, later


def evaluate(train: Sequence[Booking], test: Sequence[Booking], split: str) -> Evaluation:
    """Train on ``train`` and measure on ``test``, both scored as of each booking's own instant."""
    began = perf_counter()
    model = train_on(train, "evaluation")
    held_out = usable_bookings(test)
    past = History([*train, *test])
    y = np.array([float(bool(booking.no_show)) for booking in held_out])
    _, groups = np.unique([booking.patient or "" for booking in held_out], return_inverse=True)
    p, _ = model.score([features_of(booking, past, model.prior_rate) for booking in held_out])
    predictors = {
        "model": p,
        "patient rate only (shrunk)": patient_rate_baseline(held_out, past, model.prior_rate),
        "base rate only": np.full(len(y), model.base_rate),
    }
    figures = {name: measure(PROBABILITY_METRICS, y, predicted, groups) for name, predicted in predictors.items()}
    figures["model minus patient rate"] = _gain(y, p, predictors["patient rate only (shrunk)"], groups)
    ahead = np.array([(lead_days(booking) or 0) > 0 for booking in held_out])
    if ahead.sum() and not ahead.all():
        figures["model, lead time > 0"] = measure(PROBABILITY_METRICS, y[ahead], p[ahead], _compact(groups[ahead]))
    return Evaluation(len(y), len(train), int(y.sum()), split, figures, perf_counter() - began)


def _gain(y: Vector, p: Vector, baseline: Vector, groups: np.ndarray) -> dict[str, Figure]:
    """Return the paired difference to the baseline, resampled together: an interval above 0 is a real gain."""

    def paired(metric: Metric) -> Metric:
        return lambda y, p, w: metric(y, p, w) - metric(y, baseline, w)

    return measure({name: paired(PROBABILITY_METRICS[name]) for name in ("AUC", "Brier")}, y, p, groups)


def _compact(groups: np.ndarray) -> np.ndarray:
    return np.asarray(np.unique(groups, return_inverse=True)[1])
