"""The taggers, one for each way of annotating, each advised by those before it.

A field learns from its own corpus and sees, as features, how the fields before it would label each word: what 1,000 abstracts
teach about drugs and diseases is not lost on 160 case reports. This is stacking, Wolpert 1992,
https://doi.org/10.1016/S0893-6080(05)80023-1; no field advises on documents it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ai.entities.crf import OUTSIDE, Field, Floats, decode
from ai.entities.features import Clusters, extras
from ai.entities.propagation import propagate
from ai.entities.tokens import Tokens
from ai.entities.weights import Weights

SCHEMES = ("chemical-disease", "disease", "case-report")
_STEPS = 4.99


@dataclass(frozen=True, slots=True)
class Tagged:
    """Words ``first`` to ``stop`` are of ``type``; ``confidence`` is the mean chance of it over the words, 0 to 1."""

    first: int
    stop: int
    type: str
    confidence: float


class Taggers:
    """The clusters and the fields by scheme, in the order in which they advise."""

    def __init__(self, clusters: Clusters, fields: Mapping[str, Field]) -> None:
        self.clusters = clusters
        self.fields = dict(fields)
        self._weights = Weights(fields.values(), clusters)

    def tag(self, tokens: Tokens, *schemes: str) -> dict[str, list[Tagged]]:
        """Return what each of the schemes sees in a text, in order, not overlapping."""
        found: dict[str, list[Tagged]] = {scheme: [] for scheme in schemes}
        if tokens.words:
            for scheme, scores, chances in self._read(
                tokens, extras(tokens, self.clusters), [[] for _ in tokens.words]
            ):
                if scheme in found:
                    field = self.fields[scheme]
                    chosen = decode(scores, field.transitions, list(tokens.ranges())).tolist()
                    found[scheme] = _tagged(field, tokens, chosen, chances)
        return found

    def advised(self, tokens: Tokens) -> list[list[str]]:
        """Return the extras of each word with the advice of every field: what the next field is trained on."""
        extra = extras(tokens, self.clusters)
        advice: list[list[str]] = [[] for _ in tokens.words]
        for _ in self._read(tokens, extra, advice):
            pass
        return [own + said for own, said in zip(extra, advice, strict=True)]

    def _read(
        self, tokens: Tokens, extra: list[list[str]], advice: list[list[str]]
    ) -> Iterator[tuple[str, Floats, Floats]]:
        """Yield scheme, scores and chances of each field in turn, adding its advice for those after it."""
        sentences = list(tokens.ranges())
        shared = self._weights.scores(tokens, extra)
        for number, (scheme, field) in enumerate(self.fields.items()):
            scores = shared[number]
            if number:
                self._weights.add_advice(number, scores, advice)
            chances = field.chances(scores, sentences)
            yield scheme, scores, chances
            add_advice(advice, field, chances, scheme, sentences)


def add_advice(
    advice: list[list[str]], field: Field, chances: Floats, scheme: str, sentences: list[tuple[int, int]]
) -> None:
    """Add the likeliest label of each word and of its neighbours, and how likely it is in fifths."""
    labels = [field.labels[number] for number in chances.argmax(axis=1).tolist()]
    steps = (chances.max(axis=1) * _STEPS).astype(int).tolist()
    for begin, stop in sentences:
        for position in range(begin, stop):
            label = labels[position]
            if label != OUTSIDE or steps[position] < int(_STEPS):
                advice[position].append(f"{scheme}={label}{steps[position]}")
            for offset in (-1, 0, 1):
                near = position + offset
                if begin <= near < stop and labels[near] != OUTSIDE:
                    advice[position].append(f"{offset}{scheme}={labels[near]}")


def _tagged(field: Field, tokens: Tokens, chosen: list[int], chances: Floats) -> list[Tagged]:
    spans: list[tuple[int, int, str]] = []
    for begin, stop in tokens.ranges():
        open_type = ""
        for position in range(begin, stop):
            prefix, _, kind = field.labels[chosen[position]].partition("-")
            if prefix == "I" and kind == open_type:
                spans[-1] = (spans[-1][0], position + 1, kind)
            elif kind:
                spans.append((position, position + 1, kind))
            open_type = kind
    inside = {
        kind: chances[:, [n for n, label in enumerate(field.labels) if label[2:] == kind]].sum(axis=1)
        for kind in {label[2:] for label in field.labels if label != OUTSIDE}
    }
    return [
        Tagged(first, stop, kind, float(inside[kind][first:stop].sum()) / (stop - first))
        for first, stop, kind in propagate(tokens, spans)
    ]
