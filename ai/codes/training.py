"""Training of the code model on notes with the codes that coders gave them.

Two things are learned: which words coders answer with which code (kept when seen in enough notes), and the confidence.
The confidence is fitted on notes whose own codes taught no words (five folds), so that it is not flattered.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ai.codes.code_set import code_set
from ai.codes.codiesp import Case
from ai.codes.index import Index
from ai.codes.mentions import Lexicon, find_mentions, phrases, pipeline, windows
from ai.codes.suggestion import ACTIVE, FACTS, Candidate, CodeModel, candidates_of
from ai.codes.words import features_of, key_of

FOLDS = 5
MINIMUM_NOTES = 100
_SEEN = 3
_SHARE = 0.4
_LIFT = 4.0
_SEEN_UNRELATED = 8
_SHARE_UNRELATED = 0.6
_LONGEST = 3
_DOUBT = 1.5

Learned = dict[str, tuple[tuple[str, float], ...]]


class TooFewNotesError(ValueError):
    """There are not enough coded notes to learn from."""


def train(cases: Sequence[Case], index: Index, source: str) -> CodeModel:
    """Train on coded notes; raises TooFewNotesError below ``MINIMUM_NOTES``."""
    if len(cases) < MINIMUM_NOTES:
        raise TooFewNotesError(f"{len(cases)} coded notes; training needs {MINIMUM_NOTES}")
    keys = [_keys(case.text) for case in cases]
    facts: list[tuple[float, ...]] = []
    gold: list[float] = []
    for fold in range(FOLDS):
        rest = [i for i in range(len(cases)) if i % FOLDS != fold]
        learned = learn([keys[i] for i in rest], [cases[i].codes for i in rest], index)
        given = _given([cases[i].codes for i in rest])
        for case in cases[fold::FOLDS]:
            for candidate in active_candidates(case.text, Lexicon(index, learned), given):
                facts.append(candidate.facts)
                gold.append(float(candidate.code.code in case.codes))
    intercept, weights = _fit(np.array(facts), np.array(gold))
    codes = [case.codes for case in cases]
    training = {"source": source, "notes": len(cases), "candidates": len(gold), "correct": int(sum(gold))}
    model = CodeModel("", intercept, weights, learn(keys, codes, index), _given(codes), training)
    digest = hashlib.sha256(json.dumps(model.to_artifact(), sort_keys=True).encode()).hexdigest()
    return replace(model, version=f"2026.04-{digest[:8]}")


def active_candidates(text: str, lexicon: Lexicon, given: dict[str, int]) -> list[Candidate]:
    """Return the candidates of a note's asserted mentions."""
    return candidates_of((m for m in find_mentions(text, lexicon) if m.assertion in ACTIVE), given)


def learn(keys: Sequence[set[str]], codes: Sequence[frozenset[str]], index: Index) -> Learned:
    """Return key → (code, share) for words that coders answered with a code far more often than chance.

    Words that have nothing in common with the terms of the code's category need more notes to be believed.
    """
    notes_with = Counter(key for note in keys for key in note)
    frequent = {key for key, count in notes_with.items() if count >= _SEEN}
    given = Counter(code for note in codes for code in note)
    together = Counter(
        (key, code) for note, own in zip(keys, codes, strict=True) for key in note & frequent for code in own
    )
    found: dict[str, list[tuple[str, float]]] = {}
    for (key, code), count in sorted(together.items()):
        share = count / (notes_with[key] + _DOUBT)
        expected = given[code] / len(codes)
        enough = _akin(key, code, index) or (count >= _SEEN_UNRELATED and share >= _SHARE_UNRELATED)
        if enough and count >= _SEEN and share >= max(_SHARE, _LIFT * expected) and code_set().get(code):
            found.setdefault(key, []).append((code, round(share, 4)))
    return {key: tuple(sorted(some, key=lambda pair: (-pair[1], pair[0]))[:2]) for key, some in found.items()}


def _akin(key: str, code: str, index: Index) -> bool:
    """Tell whether most of the words occur in terms of the code's category: then few notes suffice to believe them."""
    known = index.words_of_category(code.partition(".")[0])
    words = key.split()
    return 2 * sum(1 for word in words if set(features_of([word])) & known) > len(words)


def _keys(text: str) -> set[str]:
    """Return the keys of all short windows of a note."""
    return {
        key_of(words)
        for sentence in pipeline()(text).sents
        for phrase in phrases(sentence)
        for _, _, words in windows(phrase)
        if len(set(words)) <= _LONGEST and not any(character.isdigit() for word in words for character in word)
    }


def _given(codes: Sequence[frozenset[str]]) -> dict[str, int]:
    return dict(sorted(Counter(code for note in codes for code in note).items()))


def _fit(facts: np.ndarray, gold: np.ndarray) -> tuple[float, tuple[float, ...]]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    scale = facts.std(axis=0)
    scale[scale == 0] = 1.0
    fitted = LogisticRegression(C=1.0, max_iter=2000, tol=1e-8).fit(facts / scale, gold)
    weights = fitted.coef_[0] / scale
    if len(weights) != len(FACTS):
        raise ValueError("facts and weights differ in number")
    return round(float(fitted.intercept_[0]), 6), tuple(round(float(weight), 6) for weight in weights)
