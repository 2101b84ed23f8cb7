"""``_filter`` expressions, https://hl7.org/fhir/R4/search_filter.html, as a tree.

``and`` binds closer than ``or``; random filters put parentheses where both occur.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r'\s*(?:(?P<mark>[()])|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<word>[^\s()"]+))')
OPERATORS = ("eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr")


@dataclass(frozen=True)
class Compared:
    """``path operator value``."""

    path: str
    operator: str
    value: str


@dataclass(frozen=True)
class Joined:
    """``and``, ``or`` or ``not`` over parts."""

    operator: str
    parts: tuple[Compared | Joined, ...]


Filter = Compared | Joined


def parse_filter(text: str) -> Filter:
    """Return the tree of a filter."""
    words: list[tuple[str, str]] = []
    position = 0
    while text[position:].strip():
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError(text)
        kind = str(found.lastgroup)
        value = found[kind]
        words.append((kind, re.sub(r"\\(.)", r"\1", value) if kind == "text" else value))
        position = found.end()
    tree = _any_of(words)
    if words:
        raise ValueError(text)
    return tree


def _any_of(words: list[tuple[str, str]]) -> Filter:
    parts = [_all_of(words)]
    while words and words[0] == ("word", "or"):
        words.pop(0)
        parts.append(_all_of(words))
    return parts[0] if len(parts) == 1 else Joined("or", tuple(parts))


def _all_of(words: list[tuple[str, str]]) -> Filter:
    parts = [_one(words)]
    while words and words[0] == ("word", "and"):
        words.pop(0)
        parts.append(_one(words))
    return parts[0] if len(parts) == 1 else Joined("and", tuple(parts))


def _one(words: list[tuple[str, str]]) -> Filter:
    kind, word = words.pop(0)
    if (kind, word) == ("word", "not"):
        return Joined("not", (_one(words),))
    if kind == "mark":
        inner = _any_of(words)
        words.pop(0)
        return inner
    return Compared(word, words.pop(0)[1], words.pop(0)[1])
