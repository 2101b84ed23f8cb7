"""Training of the taggers with python-crfsuite (L-BFGS), and turning what it learned into plain weights.

https://www.chokkan.org/software/crfsuite/manual.html
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ai.entities.clusters import cluster_words
from ai.entities.corpora import Document, Mention
from ai.entities.crf import OUTSIDE, Field
from ai.entities.features import OFFSETS, PAIRS, Clusters, edge, pair_features, word_features
from ai.entities.tagging import SCHEMES, Taggers
from ai.entities.tokens import Tokens, tokenize
from ai.read_resources import UnreadableDataError

_SETTINGS = {"c1": 0.02, "c2": 0.05, "max_iterations": 110, "feature.possible_transitions": True}


def labels_of(tokens: Tokens, mentions: Iterable[Mention]) -> list[str]:
    """Return B-, I- or O for each word; of overlapping mentions the longer one counts."""
    labels = [OUTSIDE] * len(tokens.words)
    for mention in sorted(mentions, key=lambda m: (m.start - m.end, m.start)):
        inside = [p for p in range(len(labels)) if tokens.starts[p] < mention.end and tokens.ends[p] > mention.start]
        if inside and all(labels[position] == OUTSIDE for position in inside):
            for position in inside:
                labels[position] = f"{'B' if position == inside[0] else 'I'}-{mention.type}"
    return labels


def spelled(tokens: Tokens, extra: Sequence[Sequence[str]], clusters: Clusters) -> list[list[str]]:
    """Return every feature of every word."""
    words = tokens.words
    found: list[list[str]] = []
    for begin, stop in tokens.ranges():
        for position in range(begin, stop):
            own: list[str] = list(extra[position])
            for offset in OFFSETS:
                own += word_features(edge(words, begin, stop, position + offset), offset, clusters)
            for first, second in PAIRS:
                left, right = edge(words, begin, stop, position + first), edge(words, begin, stop, position + second)
                own += pair_features(left, right, first, clusters)
            found.append(own)
    return found


def train_taggers(corpora: Mapping[str, Sequence[Document]], texts: Iterable[str]) -> Taggers:
    """Group the words of all texts, then train a field for each scheme, each advised by those before it.

    Raises UnreadableDataError when a scheme has no documents. The same data gives the same taggers.
    """
    missing = [scheme for scheme in SCHEMES if not corpora.get(scheme)]
    if missing:
        raise UnreadableDataError(f"no documents for {', '.join(missing)}")
    own = [document.text for scheme in SCHEMES for document in corpora[scheme]]
    taggers = Taggers(cluster_words([*own, *texts]), {})
    for scheme in SCHEMES:
        taggers = Taggers(taggers.clusters, {**taggers.fields, scheme: train_field(corpora[scheme], taggers)})
    return taggers


def train_field(documents: Iterable[Document], advisers: Taggers) -> Field:
    """Train one field on documents, with the advice of other fields."""
    import pycrfsuite  # type: ignore[import-untyped]  # noqa: PLC0415 - for training only

    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.set_params(_SETTINGS)
    for document in documents:
        tokens = tokenize(document.text)
        items = spelled(tokens, advisers.advised(tokens), advisers.clusters)
        labels = labels_of(tokens, document.mentions)
        for begin, stop in tokens.ranges():
            trainer.append(pycrfsuite.ItemSequence(items[begin:stop]), labels[begin:stop])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "field")
        trainer.train(path)
        tagger = pycrfsuite.Tagger()
        with tagger.open(path):
            return _field(tagger.info())


def _field(learned: Any) -> Field:
    """Turn what python-crfsuite reports of a model into rows of weights."""
    labels = (OUTSIDE, *sorted(set(learned.labels) - {OUTSIDE}))
    number = {label: index for index, label in enumerate(labels)}
    rows = {name: row for row, name in enumerate(sorted({name for name, _ in learned.state_features}))}
    weights = np.zeros((len(rows), len(labels)), dtype=np.float32)
    for (name, label), weight in learned.state_features.items():
        weights[rows[name], number[label]] = weight
    steps = np.zeros((len(labels), len(labels)), dtype=np.float32)
    for (before, after), weight in learned.transitions.items():
        steps[number[before], number[after]] = weight
    return Field(labels, rows, weights, steps)
