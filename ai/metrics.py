"""Held-out figures for probabilities: AUC, Brier, calibration, each with a bootstrap interval.

Every metric takes ``y`` (0 or 1), ``p`` (probabilities) and ``w`` (weights) of one length. The bootstrap resamples
whole groups (patients, documents), because outcomes of one patient are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Metric = Callable[[Vector, Vector, Vector], float]

_BINS = 10
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def logit(p: Vector) -> Vector:
    """Return the log-odds of probabilities, kept finite."""
    clipped = np.clip(p, _TINY, 1 - _TINY)
    return np.asarray(np.log(clipped / (1 - clipped)))


def sigmoid(z: Vector) -> Vector:
    """Return the probabilities of log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -50, 50))))


def auc(y: Vector, p: Vector, w: Vector) -> float:
    """Return the area under the ROC curve, ties counted half; nan when one class is absent."""
    values, group = np.unique(p, return_inverse=True)
    positive = np.bincount(group, weights=w * y, minlength=len(values))
    negative = np.bincount(group, weights=w * (1 - y), minlength=len(values))
    pairs = positive.sum() * negative.sum()
    if pairs == 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs)


def brier(y: Vector, p: Vector, w: Vector) -> float:
    """Return the mean squared error of the probabilities."""
    return float((w * (p - y) ** 2).sum() / w.sum())


def expected_calibration_error(y: Vector, p: Vector, w: Vector) -> float:
    """Return the mean gap between stated and observed frequency over ten equally filled bins."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, _BINS + 1)))
    inside = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, max(len(edges) - 2, 0))
    return float(np.abs(np.bincount(inside, weights=w * (p - y))).sum() / w.sum())


def calibration_line(y: Vector, p: Vector, w: Vector) -> tuple[float, float]:
    """Fit ``logit P(y) = a + b * logit(p)`` by Newton's method and return (a, b)."""
    x = np.column_stack([np.ones_like(p), logit(p)])
    beta = np.array([0.0, 1.0])
    for _ in range(50):
        fitted = sigmoid(x @ beta)
        information = (x * (w * fitted * (1 - fitted))[:, None]).T @ x + 1e-9 * np.eye(2)
        step = np.linalg.solve(information, x.T @ (w * (y - fitted)))
        beta += step
        if np.abs(step).max() < 1e-8:  # noqa: PLR2004 - converged
            break
    return float(beta[0]), float(beta[1])


def calibration_slope(y: Vector, p: Vector, w: Vector) -> float:
    """Return the slope of the calibration line: 1 is right, below 1 is over-confident. nan for a constant ``p``."""
    return float("nan") if np.ptp(p) < _TINY else calibration_line(y, p, w)[1]


PROBABILITY_METRICS: dict[str, Metric] = {
    "AUC": auc,
    "Brier": brier,
    "calibration slope": calibration_slope,
    "ECE": expected_calibration_error,
}


def measure(
    metrics: Mapping[str, Metric],
    y: Vector,
    p: Vector,
    groups: npt.NDArray[np.int64],
    *,
    resamples: int = 400,
    seed: int = 20260401,
) -> dict[str, Figure]:
    """Return each metric with its percentile interval over ``resamples`` draws of whole groups."""
    ones = np.ones_like(y)
    number = int(groups.max()) + 1
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in metrics}
    for _ in range(resamples):
        w = np.bincount(random.integers(0, number, number), minlength=number)[groups].astype(float)
        for name, metric in metrics.items():
            drawn[name].append(metric(y, p, w))
    return {name: Figure(metric(y, p, ones), *interval(drawn[name])) for name, metric in metrics.items()}


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantiles of the finite values."""
    finite = np.array([value for value in values if np.isfinite(value)])
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [0.025, 0.975])
    return float(low), float(high)


def mean_with_interval(values: Vector, *, resamples: int = 1000, seed: int = 20260401) -> Figure:
    """Return the mean of independent values (one a document, say) with its bootstrap interval."""
    random = np.random.default_rng(seed)
    means = [float(values[random.integers(0, len(values), len(values))].mean()) for _ in range(resamples)]
    return Figure(float(values.mean()), *interval(means))
