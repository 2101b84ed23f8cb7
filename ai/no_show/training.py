"""Training of the no-show model from bookings with outcomes, with a split by time.

Effects are fitted on the earlier bookings by penalised logistic regression (scikit-learn), the sigmoid calibration on
the latest ones, so that it corrects for what changed meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from ai.metrics import Vector, calibration_line, sigmoid
from ai.no_show.bookings import Booking, read_bookings
from ai.no_show.features import FEATURES, Feature, Value, features_of
from ai.no_show.history import History
from ai.no_show.model import Effect, Model

if TYPE_CHECKING:
    from fhir_server.operations.contract import Resource

MINIMUM_OUTCOMES = 500
MINIMUM_OF_EACH = 50
CALIBRATION_SHARE = 0.2
PENALTY = 0.3
_LEVEL_MINIMUM = 20
_QUANTILES = (0.02, 0.15, 0.3, 0.5, 0.7, 0.85, 0.98)

Rows = list[dict[str, Value]]


class TooFewOutcomesError(ValueError):
    """There are not enough outcomes to train a model worth using."""


def train(appointments: Sequence[Resource], patients: Sequence[Resource], source: str) -> Model:
    """Train on FHIR Appointments and Patients; ``source`` says in words what they are."""
    return train_on(read_bookings(appointments, patients), source)


def train_on(bookings: Sequence[Booking], source: str) -> Model:
    """Train on bookings.

    Raises TooFewOutcomesError below ``MINIMUM_OUTCOMES`` outcomes or ``MINIMUM_OF_EACH`` of either kind.
    """
    usable = usable_bookings(bookings)
    missed = sum(1 for booking in usable if booking.no_show)
    if len(usable) < MINIMUM_OUTCOMES or min(missed, len(usable) - missed) < MINIMUM_OF_EACH:
        raise TooFewOutcomesError(
            f"{len(usable)} usable outcomes, {missed} of them no-shows; "
            f"training needs {MINIMUM_OUTCOMES} and {MINIMUM_OF_EACH} of each kind"
        )
    cut = int(len(usable) * (1 - CALIBRATION_SHARE))
    y = np.array([float(bool(booking.no_show)) for booking in usable])
    prior_rate = round(float(y[:cut].mean()), 6)
    past = History(bookings)
    rows = [features_of(booking, past, prior_rate) for booking in usable]
    intercept, effects = _fit(rows[:cut], y[:cut])
    base_rate = round(float(y.mean()), 6)
    uncalibrated = Model("", base_rate, prior_rate, intercept, (0.0, 1.0), effects, {})
    later, _ = uncalibrated.score(rows[cut:])
    offset, slope = calibration_line(y[cut:], later, np.ones(len(later)))
    calibration = (round(offset, 6), round(slope, 6))
    training = {
        "source": source,
        "outcomes": len(usable),
        "no_shows": missed,
        "from": _day(usable[0]),
        "to": _day(usable[-1]),
        "calibrated_from": _day(usable[cut]),
    }
    model = replace(uncalibrated, calibration=calibration, training=training)
    digest = hashlib.sha256(json.dumps(model.to_artifact(), sort_keys=True).encode()).hexdigest()
    return replace(model, version=f"{training['to']}-{digest[:8]}")


def usable_bookings(bookings: Sequence[Booking]) -> list[Booking]:
    """Return those with an outcome and both instants, in the order in which the outcomes became known."""
    usable = [b for b in bookings if b.no_show is not None and b.created and b.known and b.patient]
    return sorted(usable, key=lambda b: (b.known or datetime.min.replace(tzinfo=UTC), b.reference))


def _fit(rows: Rows, y: Vector) -> tuple[float, tuple[Effect, ...]]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - training only

    shapes = [_shape(feature, [row[feature.code] for row in rows]) for feature in FEATURES]
    blocks = [_basis(shape, [row[shape.code] for row in rows]) for shape in shapes]
    # The coefficients of a block are the effect's values at its knots or levels, and last the one for "unknown".
    fitted = LogisticRegression(C=PENALTY, max_iter=2000, tol=1e-8).fit(np.hstack(blocks), y)
    coefficients = np.split(fitted.coef_[0], np.cumsum([block.shape[1] for block in blocks])[:-1])
    effects = []
    for shape, block, values in zip(shapes, blocks, coefficients, strict=True):
        rounded = [round(float(value), 6) for value in values]
        mean = round(float((block @ np.array(rounded)).mean()), 6)
        effects.append(Effect(shape.code, shape.knots, shape.levels, tuple(rounded[:-1]), rounded[-1], mean))
    return round(float(fitted.intercept_[0]), 6), tuple(effects)


def _shape(feature: Feature, column: list[Value]) -> Effect:
    """Choose knots and levels: only where the training data says something."""
    if not feature.numeric:
        counts = Counter(str(value) for value in column if value is not None)
        levels = tuple(sorted(level for level, count in counts.items() if count >= _LEVEL_MINIMUM))
        return Effect(feature.code, (), levels, (0.0,) * len(levels), 0.0, 0.0)
    known = np.array([float(value) for value in column if value is not None])
    if not len(known):
        return Effect(feature.code, (), (), (), 0.0, 0.0)
    candidates = feature.knots or tuple(float(q) for q in np.quantile(known, _QUANTILES))
    low, high = np.quantile(known, [0.005, 0.995])
    inside = sorted({round(knot, 4) for knot in candidates if low <= knot <= high} | {round(float(low), 4)})
    return Effect(feature.code, tuple(inside), (), (0.0,) * len(inside), 0.0, 0.0)


def _basis(shape: Effect, column: list[Value]) -> Vector:
    """Return the columns whose weighted sum is the effect: a hat function per knot or an indicator per level."""
    width = len(shape.values)
    block = np.zeros((len(column), width + 1))
    if shape.levels:
        position = {level: index for index, level in enumerate(shape.levels)}
        block[np.arange(len(column)), [position.get(str(value), width) for value in column]] = 1
        return block
    known = np.array([np.nan if value is None else float(value) for value in column])
    missing = np.isnan(known)
    block[missing, width] = 1
    if width:
        for index in range(width):
            hat = np.eye(width)[index]
            block[~missing, index] = np.interp(known[~missing], shape.knots, hat)
    return block


def patient_rate_baseline(bookings: Sequence[Booking], past: History, base_rate: float) -> Vector:
    """Return the probabilities of the baseline that knows only the patient's shrunk earlier rate."""
    logits = [features_of(booking, past, base_rate)["patient-rate"] for booking in bookings]
    return sigmoid(np.array(logits, dtype=float) + np.log(base_rate / (1 - base_rate)))


def _day(booking: Booking) -> str:
    return booking.day.isoformat() if booking.day else ""
