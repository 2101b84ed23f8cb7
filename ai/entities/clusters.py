"""Words grouped by the company they keep, from text without annotations: what a tagger knows of words it wasn't taught.

Each word is described by the words one and two places before and after it (positive pointwise mutual information, reduced by a
truncated singular value decomposition, Levy and Goldberg 2014, https://papers.nips.cc/paper/5477) and grouped by k-means,
coarse and fine. Fixed seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from ai.entities.features import normal
from ai.entities.tokens import tokenize

GRAIN = (48, 256, 1024)
_LEAST = 4
_CONTEXTS = 6000
_DIMENSIONS = 80
_SEED = 20260401
_PLACES = (-2, -1, 1, 2)


def cluster_words(texts: Iterable[str]) -> dict[str, str]:
    """Return the clusters of every word seen at least four times: one number for each grain, coarse first."""
    from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415 - for training only
    from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 - the same

    lines = [[normal(word) for word in tokenize(text).words] for text in texts]
    counts = Counter(word for line in lines for word in line)
    known = [word for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= _LEAST]
    rows = _information(lines, {word: number for number, word in enumerate(known)})
    left, strength, _ = randomized_svd(rows, min(_DIMENSIONS, len(known)), random_state=_SEED, n_iter=4)
    vectors = left * np.sqrt(strength)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    groups = [
        MiniBatchKMeans(min(size, len(known)), random_state=_SEED, n_init=2, batch_size=4096, max_iter=40).fit_predict(
            vectors
        )
        for size in GRAIN
    ]
    return {word: " ".join(str(group[number]) for group in groups) for number, word in enumerate(known)}


def _information(lines: list[list[str]], number: dict[str, int]) -> Any:  # scipy has no types
    from scipy.sparse import coo_matrix  # noqa: PLC0415 - for training only

    width = min(_CONTEXTS, len(number))
    owners: list[int] = []
    contexts: list[int] = []
    for line in lines:
        ids = [number.get(word, -1) for word in line]
        for slot, place in enumerate(_PLACES):
            for position in range(max(0, -place), len(ids) - max(0, place)):
                word, other = ids[position], ids[position + place]
                if word >= 0 and 0 <= other < width:
                    owners.append(word)
                    contexts.append(slot * width + other)
    table = coo_matrix((np.ones(len(owners)), (owners, contexts)), shape=(len(number), width * len(_PLACES))).tocsr()
    total = table.sum()
    by_word = np.asarray(table.sum(axis=1)).ravel()
    by_context = np.asarray(table.sum(axis=0)).ravel() ** 0.75
    by_context *= total / by_context.sum()
    table = table.tocoo()
    values = np.log(table.data * total / (by_word[table.row] * by_context[table.col]))
    kept = values > 0
    return coo_matrix((values[kept], (table.row[kept], table.col[kept])), shape=table.shape).tocsr()
