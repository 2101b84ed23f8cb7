"""Held-out evaluation of the no-show model against its baselines, split by time and, in the bootstrap, by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from ai.metrics import PROBABILITY_METRICS, Figure, Metric, Vector, measure, sigmoid
from ai.no_show.bookings import Booking, read_bookings
from ai.no_show.drift import drift
from ai.no_show.features import Value, lead_days
from ai.no_show.history import History
from ai.no_show.model import Model
from ai.no_show.recalibration import Recalibration, extend, outcomes_of
from ai.no_show.subgroups import Subgroup, subgroups
from ai.no_show.training import patient_rate_baseline, train_on, usable_bookings
from ai.no_show.vitoria import read_vitoria
from ai.read_resources import read_resources

if TYPE_CHECKING:
    from fhir_server.operations.contract import Resource

TEST_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures by predictor and metric on ``n`` held-out bookings, subgroups, drift by feature, and the seconds spent."""

    n: int
    n_train: int
    missed: int
    split: str
    figures: dict[str, dict[str, Figure]]
    subgroups: tuple[Subgroup, ...]
    drift: dict[str, float]
    seconds: float


def read_bookings_from(path: Path) -> list[Booking]:
    """Read bookings from a Vitoria CSV or from FHIR files (Appointments and Patients)."""
    if path.name.endswith((".csv", ".csv.gz")):
        return read_vitoria(path)
    found: dict[str, list[Resource]] = {"Appointment": [], "Patient": [], "Communication": []}
    for resource in read_resources(path):
        if resource["resourceType"] in found:
            found[resource["resourceType"]].append(resource)
    return read_bookings(found["Appointment"], found["Patient"], found["Communication"])


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
    """Train on ``train`` and measure on ``test``: as of each booking's own instant, recalibrated day by day by earlier outcomes.

    The figures of the evening before the visit are there, too: what the daily job sees.
    """
    began = perf_counter()
    result = measure_on(train_on(train, "evaluation"), [*train, *test], usable_bookings(test))
    return replace(result, n_train=len(train), split=split, seconds=perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Probabilities:
    """What a model says of bookings: as of each booking's instant with and without recalibration, and as of the evening before."""

    rows: list[dict[str, Value]]
    raw: Vector
    recalibrated: Vector
    evening: Vector


def probabilities(model: Model, held_out: Sequence[Booking], past: History) -> Probabilities:
    """Score bookings with an outcome; the corrections of a day come from those of them that were over before it."""
    outcomes = outcomes_of(model, held_out, past)
    rolling = extend(Recalibration(""), outcomes, outcomes[-1].known.date()) if outcomes else Recalibration("")
    rows = [model.features(booking, past) for booking in held_out]
    raw, _ = model.score(rows)
    eves = [booking.eve or booking.created for booking in held_out]
    late, _ = model.score([model.features(b, past, eve) for b, eve in zip(held_out, eves, strict=True)])
    return Probabilities(
        rows,
        sigmoid(raw),
        sigmoid(rolling.apply(raw, [booking.created for booking in held_out if booking.created])),
        sigmoid(rolling.apply(late, [eve for eve in eves if eve])),
    )


def measure_on(model: Model, known: Sequence[Booking], held_out: Sequence[Booking]) -> Evaluation:
    """Measure a model on bookings with an outcome; ``known`` are all there are, from which each takes what came before it."""
    began = perf_counter()
    y = np.array([float(bool(booking.no_show)) for booking in held_out])
    _, groups = np.unique([booking.patient or "" for booking in held_out], return_inverse=True)
    said = probabilities(model, held_out, History(known))
    p = said.recalibrated
    predictors = {
        "model": p,
        "model without recalibration": said.raw,
        "model, the evening before": said.evening,
        "patient rate only (shrunk)": patient_rate_baseline(said.rows, model.base_rate),
        "base rate only": np.full(len(y), model.base_rate),
    }
    figures = {name: measure(PROBABILITY_METRICS, y, predicted, groups) for name, predicted in predictors.items()}
    figures["model minus patient rate"] = _gain(y, p, predictors["patient rate only (shrunk)"], groups)
    ahead = np.array([(lead_days(booking) or 0) > 0 for booking in held_out])
    if ahead.sum() and not ahead.all():
        figures["model, lead time > 0"] = measure(PROBABILITY_METRICS, y[ahead], p[ahead], _compact(groups[ahead]))
    return Evaluation(
        n=len(y),
        n_train=0,
        missed=int(y.sum()),
        split="",
        figures=figures,
        subgroups=subgroups(held_out, y, p, groups),
        drift=drift(model.training["distribution"], said.rows),
        seconds=perf_counter() - began,
    )


def _gain(y: Vector, p: Vector, baseline: Vector, groups: np.ndarray) -> dict[str, Figure]:
    """Return the paired difference to the baseline, resampled together: an interval above 0 is a real gain."""

    def paired(metric: Metric) -> Metric:
        return lambda y, p, w: metric(y, p, w) - metric(y, baseline, w)

    return measure({name: paired(PROBABILITY_METRICS[name]) for name in ("AUC", "Brier")}, y, p, groups)


def _compact(groups: np.ndarray) -> np.ndarray:
    return np.asarray(np.unique(groups, return_inverse=True)[1])
