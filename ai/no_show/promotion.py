"""Whether a new model is better than the one in force, on outcomes that the new one hasn't learned from.

The judged twin of the new model is trained on the earlier three quarters; the model in force may have learned from the later
quarter, too, so the comparison is, if anything, in its favour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ai.metrics import auc, brier
from ai.no_show.bookings import Booking
from ai.no_show.evaluation import probabilities, split_by_time
from ai.no_show.history import History
from ai.no_show.model import Model
from ai.no_show.training import train_on, usable_bookings

AUC_MARGIN = 0.005
"""How much of the AUC a better Brier score may cost."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """AUC and Brier score of the new model and of the one in force on ``n`` later outcomes."""

    n: int
    new: tuple[float, float]
    present: tuple[float, float]

    @property
    def better(self) -> bool:
        """Whether the new model's Brier score is lower, without losing at ranking."""
        return self.new[1] < self.present[1] and self.new[0] >= self.present[0] - AUC_MARGIN

    def __str__(self) -> str:
        def say(figures: tuple[float, float]) -> str:
            return f"AUC {figures[0]:.4f}, Brier {figures[1]:.4f}"

        return f"on {self.n} later outcomes: new {say(self.new)}; in force {say(self.present)}"


def compare(bookings: Sequence[Booking], present: Model) -> Comparison:
    """Compare what training on these bookings gives with the model in force; raises TooFewOutcomesError."""
    earlier, later = split_by_time(bookings)
    held_out = usable_bookings(later)
    y = np.array([float(bool(booking.no_show)) for booking in held_out])
    past = History(bookings)
    ones = np.ones(len(y))
    judged = []
    for model in (train_on(earlier, "comparison"), present):
        p = probabilities(model, held_out, past).recalibrated
        judged.append((auc(y, p, ones), brier(y, p, ones)))
    return Comparison(len(y), judged[0], judged[1])
