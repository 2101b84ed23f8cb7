"""Drift: how far the bookings of now are from those that a model was trained on, feature by feature.

The measure is the population stability index, the sum of ``(p - q) * ln(p / q)`` over bins or levels; below 0.1 is called
stable, above 0.25 a shift.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ai.no_show.features import FEATURES, Value

Distribution = dict[str, dict[str, Any]]

STABLE, SHIFTED = 0.1, 0.25
_DECILES = np.linspace(0.1, 0.9, 9)
_LEVELS = 20
_FLOOR = 1e-3
_UNKNOWN = "unknown"


def distribution(rows: Sequence[dict[str, Value]]) -> Distribution:
    """Return feature code → the edges of its bins (numeric) and the share of bookings in each bin or level."""
    found: Distribution = {}
    for feature in FEATURES:
        column = [row[feature.code] for row in rows]
        edges: list[float] = []
        if feature.numeric:
            known = [float(value) for value in column if value is not None]
            edges = sorted({round(float(q), 4) for q in np.quantile(known, _DECILES)}) if known else []
        found[feature.code] = {"edges": edges, "shares": _shares(column, edges, numeric=feature.numeric)}
    return found


def drift(trained: Distribution, rows: Sequence[dict[str, Value]]) -> dict[str, float]:
    """Return feature code → stability index of these bookings against those of the training, the largest first."""
    found = {}
    for feature in FEATURES:
        if feature.code in trained and rows:
            before = trained[feature.code]["shares"]
            now = _shares([row[feature.code] for row in rows], trained[feature.code]["edges"], numeric=feature.numeric)
            # A level that was too rare to be listed then is compared with the smallest share.
            found[feature.code] = sum(
                _term(before.get(bin_, 0), now.get(bin_, 0)) for bin_ in before.keys() | now.keys()
            )
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def _shares(column: Sequence[Value], edges: Sequence[float], *, numeric: bool) -> dict[str, float]:
    if numeric:
        known = np.array([np.nan if value is None else float(value) for value in column])
        bins = np.searchsorted(np.array(edges), known, side="left")
        names = [_UNKNOWN if np.isnan(value) else str(bin_) for value, bin_ in zip(known, bins, strict=True)]
    else:
        names = [_UNKNOWN if value is None else str(value) for value in column]
    counts = Counter(names).most_common(_LEVELS)
    return {name: round(count / len(names), 6) for name, count in sorted(counts)}


def _term(before: float, now: float) -> float:
    p, q = max(before, _FLOOR), max(now, _FLOOR)
    return float((p - q) * np.log(p / q))
