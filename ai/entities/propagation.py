"""One document, one meaning: what is recognised in one place is looked up in the rest of the text.

A short form takes the type of the long form that defines it, and the other way round; a name that is recognised most times it
stands in the text is recognised every time. Which rules help was measured on the development sets, see the model card.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from ai.entities.abbreviations import definitions
from ai.entities.tokens import Tokens

Span = tuple[int, int, str]
"""First word, the word after the last, and the type."""

_SHORTEST = 3


def propagate(tokens: Tokens, spans: Sequence[Span]) -> list[Span]:
    """Return the spans with those that definitions and repetition add, in order, none overlapping."""
    taken = bytearray(len(tokens.words))
    found = list(spans)
    for first, stop, _ in spans:
        taken[first:stop] = b"\x01" * (stop - first)
    types = _types(tokens, found)
    for short, (first, stop, _) in definitions(tokens).items():
        long = tuple(tokens.words[first:stop])
        kind = next((span[2] for span in found if span[1] == stop and span[0] <= first), None)
        if kind:
            types.setdefault((short,), kind)
        elif (short,) in types and not any(taken[first:stop]):
            types.setdefault(long, types[short,])
    _repeat(tokens, types, taken, found)
    return sorted(found)


def _types(tokens: Tokens, spans: Sequence[Span]) -> dict[tuple[str, ...], str]:
    """Return the names worth looking up: those that are recognised at least as often as they are passed over."""
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for first, stop, kind in spans:
        counts[tuple(tokens.words[first:stop])][kind] += 1
    return {
        name: kinds.most_common(1)[0][0]
        for name, kinds in counts.items()
        if len(" ".join(name)) >= _SHORTEST or name[0].isupper()
    }


def _repeat(tokens: Tokens, types: dict[tuple[str, ...], str], taken: bytearray, found: list[Span]) -> None:
    words = tokens.words
    by_first: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for name in sorted(types, key=len, reverse=True):
        by_first[name[0]].append(name)
    missed: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for position, word in enumerate(words):
        for name in by_first.get(word, ()):
            stop = position + len(name)
            if tuple(words[position:stop]) == name and not any(taken[position:stop]):
                missed[name].append(position)
                break
    seen = Counter(tuple(words[first:stop]) for first, stop, _ in found)
    for name, places in missed.items():
        if len(places) < seen[name] or _is_proper(name):
            for first in places:
                if not any(taken[first : first + len(name)]):
                    found.append((first, first + len(name), types[name]))
                    taken[first : first + len(name)] = b"\x01" * len(name)


def _is_proper(name: tuple[str, ...]) -> bool:
    """Tell a name with a capital inside a word, such as "GLD" or "MPTP": it means one thing wherever it stands."""
    return any(character.isupper() for word in name for character in word[1:])
