"""Training of the no-show model from bookings with outcomes, with a split by time.

Effects are fitted by penalised logistic regression, trees by gradient boosting (both scikit-learn). How much the trees count and the
calibration are chosen on the latest bookings with a model of the earlier ones; then all of them train the model.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ai.metrics import Vector, calibration_line, sigmoid
from ai.no_show.bookings import Booking, read_bookings
from ai.no_show.drift import distribution
from ai.no_show.features import FEATURES, Feature, Value, features_of
from ai.no_show.history import History
from ai.no_show.model import Effect, Model
from ai.no_show.trees import Forest, assemble, encode

if TYPE_CHECKING:
    from fhir_server.operations.contract import Resource

MINIMUM_OUTCOMES = 500
MINIMUM_OF_EACH = 50
SLICES = (0.6, 0.8, 1.0)
"""Where, as shares of the outcomes in time, the slices begin and end that weight and calibration are chosen on."""
PENALTY = 0.3
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
TREES = 200
SEED = 20260401
_WORTH = 1e-5
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
    base_rate = round(missed / len(usable), 6)
    past = History(bookings)
    examples = _examples(usable, past, base_rate)
    weight, calibration = _tune(examples)
    training = {
        "source": source,
        "outcomes": len(usable),
        "no_shows": missed,
        "from": _day(usable[0]),
        "to": _day(usable[-1]),
        "calibrated_from": _day(usable[int(len(usable) * SLICES[0])]),
        "distribution": distribution(examples.rows),
    }
    # What was held back for the calibration is the latest there is: the model itself learns from it, too.
    model = replace(
        _fit(examples, weight),
        base_rate=base_rate,
        calibration=calibration,
        places={key: replace(tally, last_missed=None) for key, tally in past.places(_end(usable)).items()},
        training=training,
    )
    digest = hashlib.sha256(json.dumps(model.to_artifact(), sort_keys=True).encode()).hexdigest()
    return replace(model, version=f"{training['to']}-{digest[:8]}")


@dataclass(frozen=True, slots=True)
class _Examples:
    """Rows of features with their outcomes: each booking as of its own instant and as of the evening before the visit.

    Learning both makes the model fit for either question. ``number`` tells which booking a row is of, ``first`` which
    rows are of the booking instant.
    """

    rows: Rows
    y: Vector
    number: npt.NDArray[np.int64]
    first: npt.NDArray[np.bool_]

    def where(self, chosen: npt.NDArray[np.bool_]) -> _Examples:
        rows = [row for row, taken in zip(self.rows, chosen, strict=True) if taken]
        return _Examples(rows, self.y[chosen], self.number[chosen], self.first[chosen])


def _examples(usable: Sequence[Booking], past: History, base_rate: float) -> _Examples:
    rows = [features_of(booking, past, base_rate) for booking in usable]
    rows += [features_of(booking, past, base_rate, booking.eve) for booking in usable]
    y = np.array([float(bool(booking.no_show)) for booking in usable])
    number = np.arange(len(usable))
    return _Examples(rows, np.tile(y, 2), np.tile(number, 2), np.repeat([True, False], len(usable)))


def _tune(examples: _Examples) -> tuple[float, tuple[float, float]]:
    """Return the weight of the trees and the calibration that do best on bookings later than those learned from.

    Two slices of time, each judged by a model of what came before it: one slice alone may be an unusual week.
    """
    count = int(examples.number.max()) + 1
    judged: list[tuple[Model, Rows, Vector]] = []
    for begin, end in pairwise(int(count * share) for share in SLICES):
        later = examples.where((examples.number >= begin) & (examples.number < end) & examples.first)
        judged.append((_fit(examples.where(examples.number < begin), WEIGHTS[-1]), later.rows, later.y))
    y = np.concatenate([outcomes for _, _, outcomes in judged])
    best: tuple[float, float, tuple[float, float]] | None = None
    for weight in WEIGHTS:
        z = np.concatenate([replace(fitted, weight=weight).score(rows)[0] for fitted, rows, _ in judged])
        offset, slope = calibration_line(y, sigmoid(z), np.ones(len(z)))
        loss = log_loss(y, sigmoid(offset + slope * z))
        if best is None or loss < best[0] - _WORTH:
            best = loss, weight, (round(offset, 6), round(slope, 6))
    if best is None:
        raise AssertionError("there are weights to choose from")
    return best[1:]


def log_loss(y: Vector, p: Vector) -> float:
    """Return the mean negative log-likelihood."""
    kept = np.clip(p, 1e-9, 1 - 1e-9)
    return float(-(y * np.log(kept) + (1 - y) * np.log(1 - kept)).mean())


def usable_bookings(bookings: Sequence[Booking]) -> list[Booking]:
    """Return those with an outcome and both instants, in the order in which the outcomes became known."""
    usable = [b for b in bookings if b.no_show is not None and b.created and b.known and b.patient]
    return sorted(usable, key=lambda b: (b.known or datetime.min.replace(tzinfo=UTC), b.reference))


def _fit(examples: _Examples, weight: float) -> Model:
    """Fit effects and, unless their weight is 0, trees; not calibrated."""
    intercept, effects = _fit_effects(examples)
    forest, baseline = _fit_trees(examples) if weight else (None, 0.0)
    return Model("", float(examples.y.mean()), (intercept, baseline), weight, (0.0, 1.0), effects, forest, {}, {})


def _fit_trees(examples: _Examples) -> tuple[Forest, float]:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - training only

    # What is the same for all bookings, or known of none, can't be asked for.
    varied = (feature.code for feature in FEATURES if len({row[feature.code] for row in examples.rows} - {None}) > 1)
    codes = tuple(varied)
    levels = {
        feature.code: _levels(feature, examples)
        for feature in FEATURES
        if not feature.numeric and feature.code in codes
    }
    fitted = HistGradientBoostingClassifier(
        max_iter=TREES,
        learning_rate=0.05,
        max_leaf_nodes=8,
        max_depth=5,
        min_samples_leaf=int(np.clip(len(examples.y) // 400, 20, 200)),
        l2_regularization=10,
        max_features=0.3,
        early_stopping=False,
        random_state=SEED,
    ).fit(encode(examples.rows, codes, levels), examples.y)
    baseline = float(np.ravel(fitted._baseline_prediction)[0])
    return assemble(fitted, codes, levels), round(baseline, 6)


def _levels(feature: Feature, examples: _Examples) -> tuple[str, ...]:
    """Return the frequent levels of a categorical feature from the least to the most missed, so that a threshold parts them well."""
    column = [row[feature.code] for row in examples.rows]
    counts = Counter(str(value) for value in column if value is not None)
    missed = Counter(str(v) for v, y in zip(column, examples.y, strict=True) if v is not None and y)
    frequent = [level for level, count in counts.items() if count >= _LEVEL_MINIMUM]
    return tuple(sorted(frequent, key=lambda level: (missed[level] / counts[level], level)))


def _fit_effects(examples: _Examples) -> tuple[float, tuple[Effect, ...]]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - training only

    rows = examples.rows
    shapes = [_shape(feature, [row[feature.code] for row in rows]) for feature in FEATURES]
    blocks = [_basis(shape, [row[shape.code] for row in rows]) for shape in shapes]
    # The coefficients of a block are the effect's values at its knots or levels, and last the one for "unknown".
    fitted = LogisticRegression(C=PENALTY, max_iter=2000, tol=1e-6).fit(np.hstack(blocks), examples.y)
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


def patient_rate_baseline(rows: Rows, base_rate: float) -> Vector:
    """Return the probabilities of the baseline that knows only the patient's shrunk earlier rate."""
    logits = np.array([row["patient-rate"] for row in rows], dtype=float)
    return sigmoid(logits + np.log(base_rate / (1 - base_rate)))


def _end(usable: Sequence[Booking]) -> datetime:
    """Return the instant just after the last outcome."""
    return max(booking.known for booking in usable if booking.known) + timedelta(microseconds=1)


def _day(booking: Booking) -> str:
    return booking.day.isoformat() if booking.day else ""
