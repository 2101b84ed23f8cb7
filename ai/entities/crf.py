"""A linear-chain conditional random field, applied: weights by feature, best labels, and the chance of each label.

Training is python-crfsuite's work (see ``training``); applying it needs only numpy.
https://www.chokkan.org/software/crfsuite/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

OUTSIDE = "O"
_SCALE = 1000


@dataclass(slots=True)
class Field:
    """Labels (the first is O), a row of weights for each feature, and the weights of one label after another."""

    labels: tuple[str, ...]
    rows: dict[str, int]
    weights: Floats
    transitions: Floats

    def chances(self, scores: Floats, sentences: Sequence[tuple[int, int]]) -> Floats:
        """Return the chance of each label for each word, by the forward and backward sums of all sentences at once."""
        width = max((stop - begin for begin, stop in sentences), default=0)
        count, labels = len(sentences), len(self.labels)
        padded = np.zeros((count, width, labels))
        inside = np.zeros((count, width), dtype=bool)
        for number, (begin, stop) in enumerate(sentences):
            padded[number, : stop - begin] = scores[begin:stop]
            inside[number, : stop - begin] = True
        padded = np.exp(padded - padded.max(axis=2, keepdims=True))
        step = np.exp(self.transitions.astype(np.float64))
        forward, backward = np.ones_like(padded), np.ones_like(padded)
        for position in range(width):
            before = forward[:, position - 1] @ step if position else np.ones((count, labels))
            sums = before * padded[:, position]
            forward[:, position] = sums / sums.sum(axis=1, keepdims=True)
        for position in range(width - 2, -1, -1):
            sums = (backward[:, position + 1] * padded[:, position + 1]) @ step.T
            sums /= sums.sum(axis=1, keepdims=True)
            # Beyond a sentence's end nothing is known: its last word starts afresh.
            backward[:, position] = np.where(inside[:, position + 1, None], sums, 1.0)
        joint = forward * backward
        joint /= joint.sum(axis=2, keepdims=True)
        result: Floats = joint[inside].astype(np.float32)
        return result

    def to_json(self) -> dict[str, Any]:
        """Return the field as plain data: for each feature "label:weight …", weights in thousandths."""
        whole = np.rint(self.weights * _SCALE).astype(int)
        states = {}
        for name, row in self.rows.items():
            said = " ".join(f"{label}:{value}" for label, value in enumerate(whole[row].tolist()) if value)
            if said:
                states[name] = said
        steps = [
            " ".join(str(value) for value in row) for row in np.rint(self.transitions * _SCALE).astype(int).tolist()
        ]
        return {"labels": list(self.labels), "transitions": steps, "states": states}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Field:
        """Read what ``to_json`` gives."""
        labels = tuple(data["labels"])
        states: dict[str, str] = data["states"]
        weights = np.zeros((len(states), len(labels)), dtype=np.float32)
        for row, said in enumerate(states.values()):
            for pair in said.split(" "):
                label, _, value = pair.partition(":")
                weights[row, int(label)] = int(value) / _SCALE
        steps = np.array([[int(value) for value in row.split(" ")] for row in data["transitions"]], dtype=np.float32)
        return cls(labels, {name: row for row, name in enumerate(states)}, weights, steps / np.float32(_SCALE))


def decode(scores: Floats, transitions: Floats, sentences: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """Return the best label of each word, sentence by sentence (Viterbi), all sentences at once."""
    width = max((stop - begin for begin, stop in sentences), default=0)
    count, labels = len(sentences), scores.shape[1]
    padded = np.zeros((count, width, labels), dtype=np.float32)
    for number, (begin, stop) in enumerate(sentences):
        padded[number, : stop - begin] = scores[begin:stop]
    best = padded[:, 0].copy() if width else padded.reshape(count, labels)
    back = np.zeros((count, width, labels), dtype=np.int64)
    lengths = np.array([stop - begin for begin, stop in sentences])
    for position in range(1, width):
        ways = best[:, :, None] + transitions
        back[:, position] = ways.argmax(axis=1)
        going = (lengths > position)[:, None]
        best = np.where(going, ways.max(axis=1) + padded[:, position], best)
    label = best.argmax(axis=1)
    path = np.zeros((count, width), dtype=np.int64)
    numbers = np.arange(count)
    for position in range(width - 1, -1, -1):
        path[:, position] = label
        label = np.where(lengths > position, back[numbers, position, label], label)
    chosen: npt.NDArray[np.int64] = path[np.arange(width) < lengths[:, None]]
    return chosen


def sum_rows(rows: Mapping[str, int], weights: Floats, lists: Iterable[Iterable[str]]) -> Floats:
    """Return for each list the sum of its features' rows; a feature without a row adds nothing."""
    flat: list[int] = []
    starts: list[int] = []
    for features in lists:
        starts.append(len(flat))
        # The last row is all zeros: it stands at the head of each list, so that none is empty.
        flat.append(len(weights) - 1)
        flat += [row for row in map(rows.get, features) if row is not None]
    total: Floats = np.add.reduceat(weights[flat], starts, axis=0)
    return total


def with_nothing(weights: Floats) -> Floats:
    """Return the rows with one of zeros after them, as ``sum_rows`` wants them."""
    return np.vstack([weights, np.zeros((1, weights.shape[1]), dtype=np.float32)])
