"""A linear-chain conditional random field, applied: weights by feature, best labels, and the chance of each label.

Training is python-crfsuite's work (see ``training``); applying it needs only numpy. The weights a word gives depend on the word
and its place alone, so they are summed once for each word and kept. https://www.chokkan.org/software/crfsuite/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ai.entities.features import OFFSETS, PAIRS, Clusters, edge, pair_features, word_features
from ai.entities.tokens import Tokens

Floats = npt.NDArray[np.float32]

OUTSIDE = "O"
_MOST_KEPT = 60_000
_SCALE = 1000


@dataclass(slots=True)
class Field:
    """Labels (the first is O), a row of weights for each feature, and the weights of one label after another."""

    labels: tuple[str, ...]
    rows: dict[str, int]
    weights: Floats
    transitions: Floats
    words: dict[tuple[str, int], Floats] = field(default_factory=dict)
    pairs: dict[tuple[str, str, int], Floats | None] = field(default_factory=dict)

    def sum_of(self, features: Iterable[str]) -> Floats:
        """Return the summed weights of features; unknown ones weigh nothing."""
        rows = [row for row in map(self.rows.get, features) if row is not None]
        total: Floats = self.weights[rows].sum(axis=0)
        return total

    def scores(self, tokens: Tokens, extra: Sequence[Sequence[str]], clusters: Clusters) -> Floats:
        """Return what each word of a document weighs for each label, words × labels."""
        scores = np.zeros((len(tokens.words), len(self.labels)), dtype=np.float32)
        if len(self.words) > _MOST_KEPT or len(self.pairs) > _MOST_KEPT:
            self.words.clear()
            self.pairs.clear()
        for begin, stop in tokens.ranges():
            self._add_words(scores, tokens.words, begin, stop, clusters)
        for position, features in enumerate(extra):
            if features:
                scores[position] += self.sum_of(features)
        return scores

    def _add_words(self, scores: Floats, words: list[str], begin: int, stop: int, clusters: Clusters) -> None:
        for offset in OFFSETS:
            kept = [self._word(edge(words, begin, stop, p + offset), offset, clusters) for p in range(begin, stop)]
            scores[begin:stop] += np.stack(kept)
        for first, second in PAIRS:
            for position in range(begin, stop):
                left, right = edge(words, begin, stop, position + first), edge(words, begin, stop, position + second)
                weight = self._pair(left, right, first, clusters)
                if weight is not None:
                    scores[position] += weight

    def _word(self, word: str, offset: int, clusters: Clusters) -> Floats:
        kept = self.words.get((word, offset))
        if kept is None:
            kept = self.words[word, offset] = self.sum_of(word_features(word, offset, clusters))
        return kept

    def _pair(self, left: str, right: str, place: int, clusters: Clusters) -> Floats | None:
        key = (left, right, place)
        if key not in self.pairs:
            weight = self.sum_of(pair_features(left, right, place, clusters))
            self.pairs[key] = weight if weight.any() else None
        return self.pairs[key]

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
        steps = [" ".join(str(value) for value in row) for row in np.rint(self.transitions * _SCALE).astype(int).tolist()]
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
        return cls(labels, {name: row for row, name in enumerate(states)}, weights, steps / _SCALE)


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
    chosen = np.zeros(len(scores), dtype=np.int64)
    last = best.argmax(axis=1)
    for number, (begin, stop) in enumerate(sentences):
        label = last[number]
        for position in range(stop - begin - 1, -1, -1):
            chosen[begin + position] = label
            label = back[number, position, label]
    return chosen
