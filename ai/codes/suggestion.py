"""From mentions to suggested codes with a calibrated confidence.

The confidence is the chance that a coder gives the note this code, by a logistic model over a few facts about the
evidence; weights and the terms learned from coders are the model artifact. See ``training``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log1p
from pathlib import Path
from typing import Any

import numpy as np

from ai.artifact import Artifact, read_artifact
from ai.assertion.context import PLAIN
from ai.codes.code_set import Code, code_set
from ai.codes.index import Match, shipped_index
from ai.codes.mentions import Lexicon, Mention, find_mentions
from ai.metrics import Vector, sigmoid

NAME = "suggest-codes"
DEFAULT = Path(__file__).with_name("model.json")
ACTIVE = frozenset({PLAIN, "possible"})
LEAST_CONFIDENCE = 0.1
"""The least confidence of a suggestion that is shown.

Chosen on CodiEsp train, each fifth of its notes judged with words learned from the other four: at 0.1 half of the
candidates go (2.4 % of them right) and 95.5 % of the right ones stay.
"""
FACTS = (
    "learned share",
    "learned",
    "near score",
    "near",
    "broader term",
    "idf",
    "words",
    "mentions",
    "specific",
    "coded before",
    "possible",
    "first in line",
    "single word",
)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A code for a note: its confidence (0 to 1), the spans that support it, and the term they matched."""

    code: Code
    confidence: float
    evidence: tuple[tuple[int, int], ...]
    term: str
    source: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A code with the mentions that support it and the facts the confidence is computed from."""

    code: Code
    mentions: tuple[Mention, ...]
    match: Match
    facts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CodeModel:
    """Logistic weights over ``FACTS``, the learned terms, how often each code was given, and the training record."""

    version: str
    intercept: float
    weights: tuple[float, ...]
    learned: dict[str, tuple[tuple[str, float], ...]]
    given: dict[str, int]
    training: dict[str, Any]

    def confidence(self, candidates: Sequence[Candidate]) -> Vector:
        """Return the calibrated confidences of candidates."""
        facts = np.array([candidate.facts for candidate in candidates]).reshape(len(candidates), len(FACTS))
        return sigmoid(self.intercept + facts @ np.array(self.weights))

    def to_artifact(self) -> Artifact:
        """Return the model as plain data."""
        return {
            "name": NAME,
            "version": self.version,
            "intercept": self.intercept,
            "weights": dict(zip(FACTS, self.weights, strict=True)),
            "learned": self.learned,
            "given": self.given,
            "training": self.training,
        }


def from_artifact(artifact: Artifact) -> CodeModel:
    """Rebuild a model from plain data."""
    return CodeModel(
        version=artifact["version"],
        intercept=artifact["intercept"],
        weights=tuple(artifact["weights"][fact] for fact in FACTS),
        learned={key: tuple((code, share) for code, share in codes) for key, codes in artifact["learned"].items()},
        given=artifact["given"],
        training=artifact["training"],
    )


def model_path(models: Path | None) -> Path:
    """Return the site's own model if it has trained one, else the shipped default."""
    own = models / f"{NAME}.json" if models else None
    return own if own and own.exists() else DEFAULT


def load(models: Path | None = None) -> CodeModel:
    """Load the model in force; raises ArtifactError when it is altered. A replaced file is noticed."""
    return _load(*_state(models))[0]


def lexicon(models: Path | None = None) -> Lexicon:
    """Return the lexicon of the shipped terms and the model in force."""
    return _load(*_state(models))[1]


def _state(models: Path | None) -> tuple[Path, int]:
    path = model_path(models)
    return path, path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=4)
def _load(path: Path, _modified: int) -> tuple[CodeModel, Lexicon]:
    model = from_artifact(read_artifact(path, NAME))
    return model, Lexicon(shipped_index(), model.learned)


def candidates_of(mentions: Iterable[Mention], given: dict[str, int]) -> list[Candidate]:
    """Gather mentions by the code they resolve to; a code that the release does not have is passed over."""
    supporting: dict[str, list[tuple[Mention, Match, int]]] = defaultdict(list)
    codes: dict[str, Code] = {}
    for mention in mentions:
        seen: set[str] = set()
        for match in mention.matches:
            code = code_set().resolve(match.code)
            if code is None or code.code in seen:
                continue
            codes[code.code] = code
            supporting[code.code].append((mention, match, len(seen)))
            seen.add(code.code)
    return [_candidate(codes[code], found, given) for code, found in supporting.items()]


def _candidate(code: Code, found: list[tuple[Mention, Match, int]], given: dict[str, int]) -> Candidate:
    _, best, position = max(found, key=lambda item: (item[1].term.source == "coders", item[1].score, -item[2]))
    learned = best.term.source == "coders"
    near = not best.exact
    facts = (
        best.score if learned else 0.0,
        float(learned),
        best.score if near else 0.0,
        float(near),
        float(best.term.source == "broader"),
        max(mention.weight for mention, _, _ in found) / 10,
        float(max(mention.words for mention, _, _ in found)),
        log1p(len(found)),
        float(code.billable),
        log1p(given.get(code.code, 0)),
        float(all(mention.assertion == "possible" for mention, _, _ in found)),
        1.0 / (1 + position),
        float(max(mention.words for mention, _, _ in found) == 1),
    )
    return Candidate(code, tuple(mention for mention, _, _ in found), best, facts)


def suggest(text: str, limit: int = 20, models: Path | None = None) -> list[Suggestion]:
    """Return the best ``limit`` codes for a note, most confident first, none below ``LEAST_CONFIDENCE``.

    Only asserted mentions count.
    """
    model = load(models)
    mentions = find_mentions(text, lexicon(models))
    ranked = rank(candidates_of((m for m in mentions if m.assertion in ACTIVE), model.given), model)
    return confident(ranked)[:limit]


def confident(ranked: Iterable[Suggestion]) -> list[Suggestion]:
    """Return the suggestions that are confident enough to be shown."""
    return [suggestion for suggestion in ranked if suggestion.confidence >= LEAST_CONFIDENCE]


def rank(candidates: Sequence[Candidate], model: CodeModel) -> list[Suggestion]:
    """Return candidates as suggestions, most confident first."""
    found = [
        Suggestion(
            candidate.code,
            float(confidence),
            tuple(sorted({(mention.start, mention.end) for mention in candidate.mentions})),
            candidate.match.term.text,
            candidate.match.term.source,
        )
        for candidate, confidence in zip(candidates, model.confidence(candidates), strict=True)
    ]
    return sorted(found, key=lambda suggestion: (-suggestion.confidence, suggestion.code.code))
