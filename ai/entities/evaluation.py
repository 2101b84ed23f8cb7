"""Held-out figures of the taggers: precision, recall and F1 of exactly the same characters and type.

The interval is a bootstrap over documents; mentions of one document depend on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from ai.entities.corpora import Document, Mention
from ai.entities.tagging import SCHEMES, Taggers
from ai.entities.tokens import tokenize
from ai.entities.training import train_field
from ai.metrics import Figure, interval

Counts = npt.NDArray[np.int64]

_SEED = 20260401
_RESAMPLES = 1000
ALL = "all types (micro)"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures by type (and of all types) on ``n`` documents with ``mentions``; seconds spent tagging ``words``."""

    n: int
    mentions: int
    words: int
    figures: dict[str, dict[str, Figure]]
    seconds: float


def evaluate(documents: Sequence[Document], scheme: str, taggers: Taggers) -> Evaluation:
    """Compare what the taggers say under a scheme with gold."""
    return _evaluate(documents, lambda _: taggers, scheme)


def evaluate_folds(documents: Sequence[Document], scheme: str, taggers: Taggers, folds: int) -> Evaluation:
    """Train the scheme's field anew on the other folds of documents, dealt out in order, and test on each.

    The fields that advise stay as they are; raises ValueError for fewer documents than folds.
    """
    if len(documents) < folds:
        raise ValueError(f"{len(documents)} documents make no {folds} folds")
    advisers = Taggers(taggers.clusters, {s: taggers.fields[s] for s in SCHEMES[: SCHEMES.index(scheme)]})
    trained = []
    for fold in range(folds):
        others = [document for number, document in enumerate(documents) if number % folds != fold]
        trained.append(Taggers(advisers.clusters, {**advisers.fields, scheme: train_field(others, advisers)}))
    return _evaluate(documents, lambda number: trained[number % folds], scheme)


def _evaluate(documents: Sequence[Document], taggers_for: Callable[[int], Taggers], scheme: str) -> Evaluation:
    said: list[set[Mention]] = []
    words = 0
    began = perf_counter()
    for number, document in enumerate(documents):
        tokens = tokenize(document.text)
        words += len(tokens.words)
        tagged = taggers_for(number).tag(tokens, scheme)[scheme]
        said.append({Mention(tokens.starts[t.first], tokens.ends[t.stop - 1], t.type) for t in tagged})
    seconds = perf_counter() - began
    gold = [set(document.mentions) for document in documents]
    types = sorted({mention.type for mentions in gold for mention in mentions})
    figures = {}
    for name in [*types, ALL] if len(types) > 1 else types:
        counts = np.array([_count(g, s, None if name == ALL else name) for g, s in zip(gold, said, strict=True)])
        figures[name] = _figures(counts)
    return Evaluation(len(documents), sum(map(len, gold)), words, figures, seconds)


def _count(gold: set[Mention], said: set[Mention], kind: str | None) -> tuple[int, int, int]:
    wanted, found = ({m for m in mentions if kind in (None, m.type)} for mentions in (gold, said))
    return len(wanted), len(found), len(wanted & found)


def _figures(counts: Counts) -> dict[str, Figure]:
    random = np.random.default_rng(_SEED)
    number = len(counts)
    draws = [_scores(counts[random.integers(0, number, number)].sum(axis=0)) for _ in range(_RESAMPLES)]
    return {
        name: Figure(value, *interval([draw[k] for draw in draws]))
        for k, (name, value) in enumerate(zip(("precision", "recall", "F1"), _scores(counts.sum(axis=0)), strict=True))
    }


def _scores(total: Counts) -> tuple[float, float, float]:
    gold, found, right = (float(value) for value in total)
    return (
        right / found if found else float("nan"),
        right / gold if gold else float("nan"),
        2 * right / (gold + found) if gold + found else float("nan"),
    )
