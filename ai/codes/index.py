"""A TF-IDF index over the terms: from words to terms to codes.

Weights are those of scikit-learn's TfidfVectorizer (smooth idf, rows of unit length; a term's words are distinct, so
term frequency does not matter); only numpy runs here. A word that no term has is looked up by its letter groups among
those that do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from heapq import nsmallest

import numpy as np
import numpy.typing as npt

from ai.codes.terms import Term, bracketed_names, read_terms
from ai.codes.words import features_of, key_of, words_of

Floats = npt.NDArray[np.float32]

_PREFIX_WEIGHT = 0.35
_ALIKE = 0.5
_LOOKED_AT = 400
_MOST_ALIKE = 20
_RESIDUAL = 0.95
_SOURCE_WEIGHT = {"title": 1.0, "inclusion": 1.0, "ontology": 1.0, "broader": 0.5}


@dataclass(frozen=True, slots=True)
class Match:
    """A code that a text may mean: the cosine of the best term, that term, and whether it has the very same words."""

    code: str
    score: float
    term: Term
    exact: bool


class Index:
    """Terms by word. ``exact`` gives the terms of one order-free key, ``rank`` the codes nearest to a text."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = list(terms)
        keys: dict[str, list[int]] = defaultdict(list)
        rows: list[list[str]] = []
        self._categories: dict[str, set[str]] = defaultdict(set)
        for number, term in enumerate(self.terms):
            words = words_of(term.text)
            keys[key_of(words)].append(number)
            rows.append(features_of(sorted(set(words))))
            if term.source != "broader":
                self._categories[term.code.split(".")[0]].update(rows[-1])
        self.keys = dict(keys)
        self.names = bracketed_names(self.terms)
        self._likely = [_source_weight(term) for term in self.terms]
        self._weigh(rows)
        self._groups: dict[str, set[str]] = defaultdict(set)
        for word in self.vocabulary:
            for group in _letter_groups(word):
                self._groups[group].add(word)

    def _weigh(self, rows: list[list[str]]) -> None:
        """Lay the unit-length rows out by feature, so that a query touches only the terms that share one."""
        names = sorted({name for row in rows for name in row})
        self.vocabulary = {name: number for number, name in enumerate(names)}
        lengths = np.array([len(row) for row in rows])
        columns = np.array([self.vocabulary[name] for row in rows for name in row], dtype=np.int32)
        owners = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
        frequency = np.bincount(columns, minlength=len(names))
        scale = np.array([_PREFIX_WEIGHT if name.endswith("~") else 1.0 for name in names])
        self.idf = ((np.log((1 + len(rows)) / (1 + frequency)) + 1) * scale).astype(np.float32)
        weights = self.idf[columns]
        norms = np.sqrt(np.bincount(owners, weights=weights.astype(np.float64) ** 2, minlength=len(rows)))
        weights = (weights / norms[owners]).astype(np.float32)
        order = np.argsort(columns, kind="stable")
        self._owners, self._weights = owners[order], weights[order]
        self._starts = np.concatenate([[0], np.cumsum(frequency)])

    def exact(self, words: Sequence[str]) -> list[Match]:
        """Return the codes of which a term has exactly these words, in any order; what says least comes first."""
        best: dict[str, Match] = {}
        for number in self.keys.get(key_of(list(words)), ()):
            term = self.terms[number]
            score = _source_weight(term)
            if term.code not in best or score > best[term.code].score:
                best[term.code] = Match(term.code, score, term, exact=True)
        return sorted(best.values(), key=lambda match: (-match.score, len(match.code), match.code))

    def words_of_category(self, category: str) -> set[str]:
        """Return the words (and word beginnings) of all terms in a three-character category."""
        return self._categories.get(category, set())

    def weight(self, words: Sequence[str]) -> float:
        """Return how much the words tell: the sum of their idf, 0 for words that no term has."""
        return float(sum(self.idf[self.vocabulary[word]] for word in words if word in self.vocabulary))

    def rank(self, words: Sequence[str], limit: int = 20) -> list[Match]:
        """Return the best ``limit`` codes for the words, best first; nothing when they share no word with any term."""
        query = self._query(words)
        if not query:
            return []
        scores = np.zeros(len(self.terms), dtype=np.float32)
        for column, weight in query.items():
            part = slice(self._starts[column], self._starts[column + 1])
            scores[self._owners[part]] += weight * self._weights[part]
        found = min(_LOOKED_AT, len(scores))
        nearest = np.argpartition(-scores, found - 1)[:found]
        same = set(self.keys.get(key_of(list(words)), ()))
        best: dict[str, tuple[float, int]] = {}
        for number in nearest.tolist():
            term = self.terms[number]
            score = float(scores[number]) * self._likely[number]
            if score > 0 and score > best.get(term.code, (0.0, 0))[0]:
                best[term.code] = (score, number)
        # Of codes equally near, the one that says least beyond the words: the shortest.
        ordered = sorted(best.items(), key=lambda item: (-round(item[1][0], 4), len(item[0]), item[0]))
        return [Match(code, min(s, 1.0), self.terms[n], n in same) for code, (s, n) in ordered[:limit]]

    def _query(self, words: Sequence[str]) -> dict[int, float]:
        features: dict[str, float] = {}
        for word in dict.fromkeys(words):
            if word in self.vocabulary:
                features.update(dict.fromkeys(features_of([word]), 1.0))
            else:
                for near, likeness in self._alike(word):
                    features[near] = max(features.get(near, 0.0), likeness)
        weighed = {
            self.vocabulary[f]: likeness * float(self.idf[self.vocabulary[f]])
            for f, likeness in features.items()
            if f in self.vocabulary
        }
        unknown = sum(1 for word in dict.fromkeys(words) if word not in self.vocabulary)
        # A word nobody knows still counts against a match, as much as a rare one.
        length = np.sqrt(sum(w * w for w in weighed.values()) + unknown * float(self.idf.max()) ** 2 / 4)
        return {column: weight / length for column, weight in weighed.items()}

    def _alike(self, word: str) -> list[tuple[str, float]]:
        """Return up to three known words whose letter groups resemble those of an unknown one."""
        groups = _letter_groups(word)
        shared = Counter(known for group in groups for known in self._groups.get(group, ()))
        # Ties are cut by the word: the order of a set differs from one process to the next.
        most = nsmallest(_MOST_ALIKE, shared.items(), key=lambda pair: (-pair[1], pair[0]))
        scored = [(known, 2 * count / (len(groups) + len(_letter_groups(known)))) for known, count in most]
        return sorted((pair for pair in scored if pair[1] >= _ALIKE), key=lambda pair: (-pair[1], pair[0]))[:3]


def _source_weight(term: Term) -> float:
    """Return how far a term's code is to be believed: a residual class ("other ...") is rarely what a word means."""
    residual = term.source == "title" and "other" in term.text.lower().split()
    return _SOURCE_WEIGHT[term.source] * (_RESIDUAL if residual else 1.0)


def _letter_groups(word: str) -> set[str]:
    padded = f"^{word}$"
    return {padded[i : i + 3] for i in range(len(padded) - 2)} if len(word) > 4 and word[-1] != "~" else set()  # noqa: PLR2004


@cache
def shipped_index() -> Index:
    """Build the index of the shipped terms once."""
    return Index(read_terms())
