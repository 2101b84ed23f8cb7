"""Held-out evaluation of code suggestions: on (label, code) pairs, and on coded notes.

Pairs are split in five folds by their id; each fold is ranked by an index whose ontology terms come from the other
four, so no label meets its own answer. Labels that are an ICD-10-CM term themselves are left out. Notes are ranked by
a model trained on other notes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from ai.codes.code_set import code_set
from ai.codes.codiesp import Case
from ai.codes.index import Index, shipped_index
from ai.codes.mentions import Lexicon, find_mentions
from ai.codes.suggestion import ACTIVE, CodeModel, candidates_of, confident, rank
from ai.codes.terms import Term, ontology_terms, read_shipped_parents, read_terms
from ai.codes.words import words_of
from ai.metrics import (
    Figure,
    auc,
    brier,
    calibration_slope,
    expected_calibration_error,
    mean_with_interval,
    measure,
)

FOLDS = 5
_CATEGORY = 3
_OF_ICD = frozenset({"title", "inclusion"})
_CONFIDENCE = {
    "AUC of confidence": auc,
    "Brier": brier,
    "calibration slope": calibration_slope,
    "ECE": expected_calibration_error,
}

Pair = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures on ``n`` labels or notes, the seconds spent, and the 95th percentile of one call in milliseconds."""

    n: int
    figures: dict[str, Figure]
    seconds: float
    p95_milliseconds: float


def evaluate_pairs(pairs: Sequence[Pair]) -> Evaluation:
    """Measure the ranking of codes for labels: exact code first, among five, and its category among five."""
    began = perf_counter()
    terms = read_terms()
    titles = {term.text.lower() for term in terms if term.source in _OF_ICD}
    hits: list[tuple[bool, bool, bool]] = []
    times: list[float] = []
    for fold in range(FOLDS):
        index = Index(_without_answers(terms, pairs, fold))
        gold: dict[str, set[str]] = {}
        for identity, label, code in pairs:
            if _fold(identity) == fold and label.lower() not in titles:
                gold.setdefault(label, set()).add(code)
        for label, codes in gold.items():
            start = perf_counter()
            ranked = [match.code for match in index.rank(words_of(label), 5)]
            times.append(perf_counter() - start)
            hits.append(_hits(ranked, codes))
    columns = np.array(hits, dtype=float)
    names = ("top-1", "top-5", "category top-5")
    figures = {name: mean_with_interval(columns[:, k]) for k, name in enumerate(names)}
    return Evaluation(len(hits), figures, perf_counter() - began, _p95(times))


def _hits(ranked: list[str], codes: set[str]) -> tuple[bool, bool, bool]:
    categories = {code[:_CATEGORY] for code in codes}
    first = bool(ranked) and ranked[0] in codes
    return first, bool(codes & set(ranked)), bool(categories & {code[:_CATEGORY] for code in ranked})


def _without_answers(terms: Sequence[Term], pairs: Sequence[Pair], fold: int) -> list[Term]:
    """Return the terms with no ontology label of this fold under its own code.

    A shipped ontology term of a label that is evaluated goes; what remains are those of the other folds. Labels under
    the code of an ancestor are worked out anew, as an ancestor of the fold may have lent its code.
    """
    held_out = {label for identity, label, _ in pairs if _fold(identity) == fold}
    shipped = [(term.text, term.text, term.code) for term in terms if term.source == "ontology"]
    rest = [pair for pair in pairs if _fold(pair[0]) != fold and code_set().get(pair[2])]
    known = [pair for pair in (*shipped, *rest) if pair[1] not in held_out]
    parents = read_shipped_parents()
    return [*(term for term in terms if term.source in _OF_ICD), *dict.fromkeys(ontology_terms(known, parents))]


def _fold(identity: str) -> int:
    return int(hashlib.sha256(identity.encode()).hexdigest(), 16) % FOLDS


def evaluate_notes(cases: Sequence[Case], model: CodeModel) -> Evaluation:
    """Measure suggestions for coded notes by a model that was not trained on them.

    MAP is over the codes of each note. "MAP, all mentions" also suggests for negated and historical ones, which the
    operation leaves out but the corpus codes. The figures of the confidence are over all candidates, the rest is of those
    that are confident enough to be shown.
    """
    began = perf_counter()
    lexicon = Lexicon(shipped_index(), model.learned)
    precision, everything, recall, times = [], [], [], []
    confidences: list[float] = []
    correct: list[float] = []
    notes: list[int] = []
    for number, case in enumerate(cases):
        start = perf_counter()
        mentions = find_mentions(case.text, lexicon)
        ranked = rank(candidates_of((m for m in mentions if m.assertion in ACTIVE), model.given), model)
        times.append(perf_counter() - start)
        codes = [suggestion.code.code for suggestion in ranked]
        shown = [suggestion.code.code for suggestion in confident(ranked)]
        precision.append(average_precision(shown, case.codes))
        recall.append(len(case.codes & set(shown)) / len(case.codes))
        everyone = confident(rank(candidates_of(mentions, model.given), model))
        everything.append(average_precision([suggestion.code.code for suggestion in everyone], case.codes))
        confidences += [suggestion.confidence for suggestion in ranked]
        correct += [float(code in case.codes) for code in codes]
        notes += [number] * len(codes)
    figures = {
        "MAP": mean_with_interval(np.array(precision)),
        "MAP, all mentions": mean_with_interval(np.array(everything)),
        "recall": mean_with_interval(np.array(recall)),
        **measure(_CONFIDENCE, np.array(correct), np.array(confidences), np.array(notes)),
    }
    return Evaluation(len(cases), figures, perf_counter() - began, _p95(times))


def average_precision(ranked: Sequence[str], gold: frozenset[str]) -> float:
    """Return the mean, over the gold codes, of the precision at the rank of each (0 for those missing)."""
    hits, total = 0, 0.0
    for position, code in enumerate(ranked, 1):
        if code in gold:
            hits += 1
            total += hits / position
    return total / len(gold) if gold else 0.0


def _p95(times: Sequence[float]) -> float:
    return float(np.quantile(times, 0.95) * 1000) if times else float("nan")


def split_of(folder: Path) -> tuple[Path | None, Path]:
    """Return the (train, test) parts of a CodiEsp folder: train and dev of the whole, or a lone part to test on."""
    if (folder / "train").is_dir() and (folder / "dev").is_dir():
        return folder / "train", folder / "dev"
    return None, folder
