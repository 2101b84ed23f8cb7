"""How the model does for groups of patients: whether what it says of a group is what happened to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai.metrics import PROBABILITY_METRICS, Figure, Metric, Vector, measure
from ai.no_show.bookings import Booking
from ai.no_show.features import lead_days

LEAST = 200
"""Bookings below which a group is not reported: its figures would be noise."""

_AGES = ((0, 17), (18, 39), (40, 64), (65, 200))
_WEEK, _MONTH = 7, 30


@dataclass(frozen=True, slots=True)
class Subgroup:
    """A group's size, its share of no-shows, and AUC and the gap between the stated and the observed share."""

    name: str
    n: int
    missed: float
    figures: dict[str, Figure]


def subgroups(
    bookings: Sequence[Booking], y: Vector, p: Vector, patients: npt.NDArray[np.int64]
) -> tuple[Subgroup, ...]:
    """Return every group of at least ``LEAST`` bookings with both outcomes; a booking is in several."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, booking in enumerate(bookings):
        for name in _groups(booking):
            members[name].append(number)
    metrics: dict[str, Metric] = {"AUC": PROBABILITY_METRICS["AUC"], "stated minus observed": _gap}
    found = []
    for name, numbers in sorted(members.items()):
        if len(numbers) >= LEAST and 0 < y[numbers].sum() < len(numbers):
            _, groups = np.unique(patients[numbers], return_inverse=True)
            figures = measure(metrics, y[numbers], p[numbers], groups, resamples=200)
            found.append(Subgroup(name, len(numbers), float(y[numbers].mean()), figures))
    return tuple(found)


def _gap(y: Vector, p: Vector, w: Vector) -> float:
    return float((w * (p - y)).sum() / w.sum())


def _groups(booking: Booking) -> Iterable[str]:
    yield f"gender {booking.gender or 'unknown'}"
    years = booking.years
    ages = next((f"{low}-{high}" for low, high in _AGES if years is not None and low <= years <= high), "unknown")
    yield f"age {ages.replace('65-200', '65 and over')}"
    lead = lead_days(booking)
    if lead is None:
        yield "lead time unknown"
    else:
        weeks = (
            "same day" if lead == 0 else "to a week" if lead <= _WEEK else "to a month" if lead <= _MONTH else "longer"
        )
        yield f"lead time {weeks}"
