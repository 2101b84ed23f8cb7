"""The no-show model: tables of effects and boosted trees, half and half or whichever the data asks for.

``log-odds = a + b * ((1 - w) * additive + w * boosted)``. Additive is an intercept and the sum of a small table per feature: a numeric
feature's effect is piecewise linear between knots, a categorical one's a look-up. Boosted is an intercept and the sum of the
leaves of small trees. (a, b) is the calibration and w the weight; both were fitted on a later time slice than the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ai.artifact import Artifact, ArtifactError, read_artifact
from ai.metrics import Vector
from ai.no_show.bookings import Booking
from ai.no_show.features import FEATURES, Value, features_of
from ai.no_show.history import History, Tally
from ai.no_show.trees import Forest, from_data

NAME = "no-show"
FORMAT = 2
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

    ``base_rate`` is the share of no-shows in all its outcomes; histories are shrunk to it. ``intercepts`` are the additive and
    the boosted one; without trees ``forest`` is None and ``weight`` 0. ``places`` are the tallies of providers and locations at
    the end of the training: fetching their recent outcomes for each call would take longer than all the rest.
    """

    version: str
    base_rate: float
    intercepts: tuple[float, float]
    weight: float
    calibration: tuple[float, float]
    effects: tuple[Effect, ...]
    forest: Forest | None
    places: dict[str, Tally]
    training: dict[str, Any]

    def features(self, booking: Booking, past: History, as_of: datetime | None = None) -> dict[str, Value]:
        """Return a booking's features as this model asks for them, see ``features_of``."""
        return features_of(booking, past, self.base_rate, as_of, self.places)

    def score(self, rows: Sequence[dict[str, Value]]) -> tuple[Vector, Vector]:
        """Return log-odds (n) and centred contributions (n by features, in the order of ``effects``).

        A contribution is in calibrated log-odds against the average training booking; they add up, with a constant,
        to the log-odds.
        """
        offset, slope = self.calibration
        columns = np.column_stack([effect([row[effect.code] for row in rows]) for effect in self.effects])
        total = self.intercepts[0] + columns.sum(axis=1)
        shares = columns - np.array([effect.mean for effect in self.effects])
        if self.forest is not None:
            leaves, steps = self.forest.score(rows)
            total = (1 - self.weight) * total + self.weight * (self.intercepts[1] + leaves)
            shares = (1 - self.weight) * shares
            codes = [effect.code for effect in self.effects]
            shares[:, [codes.index(code) for code in self.forest.codes]] += self.weight * steps
        return offset + slope * total, slope * shares

    def to_artifact(self) -> Artifact:
        """Return the model as plain data."""
        return {
            "name": NAME,
            "format": FORMAT,
            "version": self.version,
            "base_rate": self.base_rate,
            "intercepts": list(self.intercepts),
            "weight": self.weight,
            "calibration": list(self.calibration),
            "effects": [asdict(effect) for effect in self.effects],
            "forest": self.forest.to_data() if self.forest is not None else None,
            "places": {key: [tally.missed, tally.outcomes] for key, tally in self.places.items()},
            "training": self.training,
        }


def from_artifact(artifact: Artifact) -> Model:
    """Rebuild a model from plain data; raises ArtifactError for one of another format."""
    if artifact.get("format") != FORMAT:
        raise ArtifactError(
            f"the model {artifact['version']} has another format than this release reads: train it again"
        )
    effects = tuple(
        Effect(e["code"], tuple(e["knots"]), tuple(e["levels"]), tuple(e["values"]), e["unknown"], e["mean"])
        for e in artifact["effects"]
    )
    additive, boosted = artifact["intercepts"]
    offset, slope = artifact["calibration"]
    return Model(
        version=artifact["version"],
        base_rate=artifact["base_rate"],
        intercepts=(additive, boosted),
        weight=artifact["weight"],
        calibration=(offset, slope),
        effects=effects,
        forest=from_data(artifact["forest"]) if artifact["forest"] else None,
        places={key: Tally(outcomes, missed, None) for key, (missed, outcomes) in artifact["places"].items()},
        training=artifact["training"],
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with the hash of its artifact."""

    model: Model
    sha256: str


def model_path(models: Path | None) -> Path:
    """Return the site's own model if it has trained one, else the shipped default."""
    own = models / f"{NAME}.json" if models else None
    return own if own and own.exists() else DEFAULT


def load(models: Path | None = None) -> Loaded:
    """Load the model in force; raises ArtifactError when it is altered. A replaced file is noticed."""
    path = model_path(models)
    return _load(path, modified(path))


def modified(path: Path) -> tuple[int, int]:
    """Return what tells a replaced file from the one before: its time and inode."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=4)
def _load(path: Path, _modified: tuple[int, int]) -> Loaded:
    artifact = read_artifact(path, NAME)
    return Loaded(from_artifact(artifact), artifact["sha256"])


DISPLAYS = {feature.code: feature.display for feature in FEATURES}
