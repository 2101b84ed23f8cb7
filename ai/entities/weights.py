"""The weights of several fields side by side, so that a document's features are looked up once for all of them.

What a word or a pair of words weighs depends on the words and the place alone: it is summed once and kept for the next time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from ai.entities.crf import Field, Floats, sum_rows, with_nothing
from ai.entities.features import EDGE, OFFSETS, PAIRS, Clusters, pair_features, word_features
from ai.entities.tokens import Tokens

_MOST_KEPT = 60_000
_FARTHEST = max(OFFSETS)


class Weights:
    """Columns for the labels of each field, in the order in which the fields are given."""

    def __init__(self, fields: Iterable[Field], clusters: Clusters) -> None:
        fields = list(fields)
        self._clusters = clusters
        self._rows: dict[str, int] = {}
        for one in fields:
            for name in one.rows:
                self._rows.setdefault(name, len(self._rows))
        ends = np.cumsum([len(one.labels) for one in fields]).tolist()
        self._columns = [slice(end - len(one.labels), end) for one, end in zip(fields, ends, strict=True)]
        weights = np.zeros((len(self._rows), ends[-1] if ends else 0), dtype=np.float32)
        for one, columns in zip(fields, self._columns, strict=True):
            weights[[self._rows[name] for name in one.rows], columns] = one.weights
        self._weights = with_nothing(weights)
        self._words: dict[str, Floats] = {}
        self._pairs: dict[tuple[str, str], Floats] = {}

    def scores(self, tokens: Tokens, extra: Sequence[Sequence[str]]) -> list[Floats]:
        """Return what each word of a document weighs for each label (words by labels), field by field."""
        if len(self._words) > _MOST_KEPT or len(self._pairs) > _MOST_KEPT:
            self._words.clear()
            self._pairs.clear()
        scores = self._sums(extra)
        self._add_neighbours(scores, tokens)
        return [scores[:, columns] for columns in self._columns]

    def _add_neighbours(self, scores: Floats, tokens: Tokens) -> None:
        """Lay the sentences out in a row with edges between them; then every neighbour is a fixed step away."""
        number: dict[str, int] = {EDGE: 0}
        row: list[str] = []
        places: list[int] = []
        for begin, stop in tokens.ranges():
            row += [EDGE] * _FARTHEST
            places += range(len(row), len(row) + stop - begin)
            row += tokens.words[begin:stop]
        row += [EDGE] * _FARTHEST
        ids = np.array([number.setdefault(word, len(number)) for word in row])
        known = self._of_words(number)
        at = np.array(places)
        for slot, offset in enumerate(OFFSETS):
            scores += known[ids[at + offset], slot]
        pairs: dict[tuple[str, str], int] = {}
        order = np.array([pairs.setdefault(pair, len(pairs)) for pair in pairwise(row)])
        beside = self._of_pairs(pairs)
        for slot, (first, _) in enumerate(PAIRS):
            scores += beside[order[at + first], slot]

    def add_advice(self, number: int, scores: Floats, advice: Sequence[Sequence[str]]) -> None:
        """Add to one field's scores what the advice of other fields weighs in it."""
        said: dict[tuple[str, ...], int] = {}
        which = np.array([said.setdefault(tuple(features), len(said)) for features in advice])
        scores += self._sums(said)[which, self._columns[number]]

    def _sums(self, lists: Iterable[Iterable[str]]) -> Floats:
        return sum_rows(self._rows, self._weights, lists)

    def _of_words(self, words: Iterable[str]) -> Floats:
        """Return words by places by labels."""
        words = list(words)
        new = [word for word in words if word not in self._words]
        sums = (
            self._sums(word_features(word, offset, self._clusters) for word in new for offset in OFFSETS) if new else ()
        )
        self._words.update(zip(new, np.reshape(sums, (len(new), len(OFFSETS), self._weights.shape[1])), strict=True))
        return np.stack([self._words[word] for word in words])

    def _of_pairs(self, pairs: Iterable[tuple[str, str]]) -> Floats:
        """Return pairs by places by labels."""
        pairs = list(pairs)
        new = [pair for pair in pairs if pair not in self._pairs]
        sums = (
            self._sums(pair_features(*pair, first, self._clusters) for pair in new for first, _ in PAIRS) if new else ()
        )
        self._pairs.update(zip(new, np.reshape(sums, (len(new), len(PAIRS), self._weights.shape[1])), strict=True))
        return np.stack([self._pairs[pair] for pair in pairs])
