"""Evaluation of the assertion rules on sentences with one marked mention each (the NegEx test set's format)."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from ai.assertion.context import assertions, read_sentence
from ai.metrics import Figure, Vector, interval
from ai.read_resources import UnreadableDataError, read_text

_COLUMNS = 6


@dataclass(frozen=True, slots=True)
class Case:
    """A sentence, its mention, and the gold answers."""

    mention: str
    sentence: str
    negated: bool
    historical: bool
    family: bool


def read_negex(path: Path) -> list[Case]:
    """Read the tab-separated file: line number, condition, sentence, negation, temporality, experiencer."""
    cases = []
    rows = csv.reader(io.StringIO(read_text(path)), delimiter="\t", quoting=csv.QUOTE_NONE)
    next(rows, None)
    for row in rows:
        if len(row) < _COLUMNS:
            raise UnreadableDataError(f"{path}, line {rows.line_num}: {len(row)} columns, not {_COLUMNS}")
        _, mention, sentence, negation, temporality, experiencer = (cell.strip() for cell in row[:_COLUMNS])
        cases.append(
            Case(
                mention,
                sentence,
                negation == "Negated",
                temporality == "Historical",
                experiencer not in ("Patient", ""),
            )
        )
    return cases


def answers(case: Case) -> tuple[str, ...]:
    """Return what the rules say of the case's mention, found in capitals first."""
    sentence = case.sentence.strip('"')
    start = sentence.find(case.mention.upper())
    if start < 0:
        start = sentence.lower().find(case.mention.lower())
    return assertions(read_sentence(sentence), max(start, 0), max(start, 0) + len(case.mention))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Precision, recall and F1 of each assertion on ``n`` sentences, and the seconds spent."""

    n: int
    figures: dict[str, dict[str, Figure]]
    seconds: float


def evaluate(cases: list[Case]) -> Evaluation:
    """Compare the rules' answers with gold."""
    began = perf_counter()
    said = [answers(case) for case in cases]
    figures = {}
    for name in ("negated", "historical", "family"):
        gold = np.array([float(getattr(case, name)) for case in cases])
        if gold.sum():
            figures[name] = _figures(gold, np.array([float(name in answer) for answer in said]))
    return Evaluation(len(cases), figures, perf_counter() - began)


def _figures(gold: Vector, found: Vector) -> dict[str, Figure]:
    random = np.random.default_rng(20260401)
    value = _scores(gold, found)
    draws = [_scores(gold[i], found[i]) for i in (random.integers(0, len(gold), len(gold)) for _ in range(1000))]
    return {
        name: Figure(value[k], *interval([draw[k] for draw in draws]))
        for k, name in enumerate(("precision", "recall", "F1"))
    }


def _scores(gold: Vector, found: Vector) -> tuple[float, float, float]:
    both = float((gold * found).sum())
    precision = both / float(found.sum()) if found.sum() else float("nan")
    recall = both / float(gold.sum()) if gold.sum() else float("nan")
    return precision, recall, 2 * both / float(gold.sum() + found.sum()) if gold.sum() + found.sum() else float("nan")
