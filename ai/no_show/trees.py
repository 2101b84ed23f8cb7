"""Boosted trees as plain data, run by numpy: what scikit-learn fitted, without scikit-learn and without a pickle.

A node holds the mean of the leaves below it, weighted by the training bookings that reached them. So each step from a node to its child
is the share of the feature asked there, and the shares of all steps add up to the sum of the leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai.metrics import Vector
from ai.no_show.features import Value

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees over encoded features; every array is trees by nodes, node 0 is the root and a leaf leads to itself.

    ``levels`` gives the levels of a categorical feature in the order of its codes 0, 1, …; ``unknown_left`` says where what
    isn't known goes.
    """

    codes: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    feature: Integers
    threshold: Vector
    left: Integers
    right: Integers
    unknown_left: npt.NDArray[np.bool_]
    value: Vector
    depth: int

    def encode(self, rows: Sequence[dict[str, Value]]) -> Vector:
        """Return rows by features, nan for the unknown."""
        return encode(rows, self.codes, self.levels)

    def score(self, rows: Sequence[dict[str, Value]]) -> tuple[Vector, Vector]:
        """Return the sums of leaves (n) and the shares (n by features), which add up to them but for ``mean``."""
        x = self.encode(rows)
        count, trees = len(rows), np.arange(len(self.value))
        at = np.zeros((count, len(trees)), dtype=np.int64)
        shares = np.zeros(count * len(self.codes))
        number = np.arange(count)[:, None]
        value = np.broadcast_to(self.value[:, 0], at.shape)
        for _ in range(self.depth):
            asked = self.feature[trees, at]
            known = x[number, asked]
            goes_left = np.where(np.isnan(known), self.unknown_left[trees, at], known <= self.threshold[trees, at])
            at = np.where(goes_left, self.left[trees, at], self.right[trees, at])
            reached = self.value[trees, at]
            place = (number * len(self.codes) + asked).ravel()
            shares += np.bincount(place, weights=(reached - value).ravel(), minlength=len(shares))
            value = reached
        return np.asarray(value.sum(axis=1)), shares.reshape(count, len(self.codes))

    @property
    def mean(self) -> float:
        """The mean sum of leaves over the training bookings."""
        return float(self.value[:, 0].sum())

    def to_data(self) -> dict[str, Any]:
        """Return the forest as plain data."""
        return {
            "codes": list(self.codes),
            "levels": {code: list(levels) for code, levels in self.levels.items()},
            "depth": self.depth,
            **{name: getattr(self, name).tolist() for name in _ARRAYS},
        }


_ARRAYS = {
    "feature": np.int64,
    "threshold": np.float64,
    "left": np.int64,
    "right": np.int64,
    "unknown_left": np.bool_,
    "value": np.float64,
}


def from_data(data: dict[str, Any]) -> Forest:
    """Rebuild a forest from plain data; raises ValueError or KeyError when it is none."""
    return Forest(
        codes=tuple(data["codes"]),
        levels={code: tuple(levels) for code, levels in data["levels"].items()},
        depth=int(data["depth"]),
        **{name: np.array(data[name], dtype=kind) for name, kind in _ARRAYS.items()},
    )


def encode(rows: Sequence[dict[str, Value]], codes: Sequence[str], levels: dict[str, tuple[str, ...]]) -> Vector:
    """Return rows by features: numbers as they are, levels by their position, nan for what isn't known."""
    positions = {code: {level: float(n) for n, level in enumerate(known)} for code, known in levels.items()}
    x = np.full((len(rows), len(codes)), np.nan)
    for column, code in enumerate(codes):
        table = positions.get(code)
        for number, row in enumerate(rows):
            value = row[code]
            if value is not None:
                x[number, column] = table.get(str(value), np.nan) if table is not None else float(value)
    return x


def assemble(fitted: Any, codes: Sequence[str], levels: dict[str, tuple[str, ...]]) -> Forest:
    """Return the trees of a fitted HistGradientBoostingClassifier (without its baseline)."""
    trees = [stage[0].nodes for stage in fitted._predictors]
    shape = (len(trees), max(len(nodes) for nodes in trees))
    feature, left, right = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    threshold, value = np.zeros(shape), np.zeros(shape)
    unknown_left = np.zeros(shape, dtype=np.bool_)
    for number, nodes in enumerate(trees):
        for place, node in enumerate(nodes):
            if node["is_leaf"]:
                left[number, place] = right[number, place] = place
            else:
                feature[number, place] = node["feature_idx"]
                threshold[number, place] = round(float(node["num_threshold"]), 6)
                left[number, place], right[number, place] = node["left"], node["right"]
                unknown_left[number, place] = bool(node["missing_go_to_left"])
        value[number, : len(nodes)] = _means(nodes)
    depth = int(max(nodes["depth"].max() for nodes in trees))
    return Forest(tuple(codes), levels, feature, threshold, left, right, unknown_left, value, depth)


def _means(nodes: Any) -> Vector:
    """Return each node's mean leaf; children come after their parents, so one pass from the end does it."""
    means = np.zeros(len(nodes))
    for place in reversed(range(len(nodes))):
        node = nodes[place]
        if node["is_leaf"]:
            means[place] = round(float(node["value"]), 6)
        else:
            low, high = int(node["left"]), int(node["right"])
            weights = float(nodes[low]["count"]), float(nodes[high]["count"])
            means[place] = round((weights[0] * means[low] + weights[1] * means[high]) / sum(weights), 6)
    return means
