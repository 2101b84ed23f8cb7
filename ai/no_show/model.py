"""The no-show model: an additive logistic model whose every effect is a small table, so it is read as easily as run.

``log-odds = a + b * (intercept + sum of effects)`` where a numeric feature's effect is piecewise linear between knots,
a categorical one's a look-up, and (a, b) is the sigmoid calibration fitted on a later time slice than the effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ai.artifact import Artifact, read_artifact
from ai.metrics import Vector, sigmoid
from ai.no_show.features import FEATURES, Value

NAME = "no-show"
DEFAULT = Path(__file__).with_name("default_model.json")


@dataclass(frozen=True, slots=True)
class Effect:
    """One feature's effect on the log-odds: values at knots or levels, for the unknown, and the training mean."""

    code: str
    knots: tuple[float, ...]
    levels: tuple[str, ...]
    values: tuple[float, ...]
    unknown: float
    mean: float

    def __call__(self, column: Sequence[Value]) -> Vector:
        """Return the effect of each value of a column."""
        if self.levels:
            table = dict(zip(self.levels, self.values, strict=True))
            return np.array([table.get(str(value), self.unknown) for value in column])
        known = np.array([np.nan if value is None else float(value) for value in column])
        effect = np.interp(known, self.knots, self.values) if self.knots else np.zeros(len(known))
        return np.asarray(np.where(np.isnan(known), self.unknown, effect))


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model; see the module for the formula. ``training`` tells when, on what and on how much.

    ``base_rate`` is the share of no-shows in all its outcomes, ``prior_rate`` the one to which histories are shrunk.
    """

    version: str
    base_rate: float
    prior_rate: float
    intercept: float
    calibration: tuple[float, float]
    effects: tuple[Effect, ...]
    training: dict[str, Any]

    def score(self, rows: Sequence[dict[str, Value]]) -> tuple[Vector, Vector]:
        """Return probabilities (n) and centred contributions (n by features, in the order of ``effects``).

        A contribution is in calibrated log-odds against the average training booking; they add up, with a constant,
        to the log-odds of the probability.
        """
        offset, slope = self.calibration
        columns = [effect([row[effect.code] for row in rows]) for effect in self.effects]
        total = self.intercept + np.sum(columns, axis=0)
        centred = [slope * (column - effect.mean) for column, effect in zip(columns, self.effects, strict=True)]
        return sigmoid(offset + slope * total), np.column_stack(centred)

    def to_artifact(self) -> Artifact:
        """Return the model as plain data."""
        return {
            "name": NAME,
            "version": self.version,
            "base_rate": self.base_rate,
            "prior_rate": self.prior_rate,
            "intercept": self.intercept,
            "calibration": self.calibration,
            "effects": [asdict(effect) for effect in self.effects],
            "training": self.training,
        }


def from_artifact(artifact: Artifact) -> Model:
    """Rebuild a model from plain data."""
    effects = tuple(
        Effect(e["code"], tuple(e["knots"]), tuple(e["levels"]), tuple(e["values"]), e["unknown"], e["mean"])
        for e in artifact["effects"]
    )
    offset, slope = artifact["calibration"]
    return Model(
        version=artifact["version"],
        base_rate=artifact["base_rate"],
        prior_rate=artifact["prior_rate"],
        intercept=artifact["intercept"],
        calibration=(offset, slope),
        effects=effects,
        training=artifact["training"],
    )


def model_path(models: Path | None) -> Path:
    """Return the site's own model if it has trained one, else the shipped default."""
    own = models / f"{NAME}.json" if models else None
    return own if own and own.exists() else DEFAULT


def load(models: Path | None = None) -> Model:
    """Load the model in force; raises ArtifactError when it is altered. A replaced file is noticed."""
    path = model_path(models)
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=4)
def _load(path: Path, _modified: int) -> Model:
    return from_artifact(read_artifact(path, NAME))


DISPLAYS = {feature.code: feature.display for feature in FEATURES}
