"""Strings without case, accents, punctuation and superfluous white space, https://hl7.org/fhir/R4/search.html#string.

Latitude taken as the server does: words sound alike by Soundex, all names of a
resource taken together; a text of punctuation alone is compared as it stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

_PARTS = {
    "HumanName": ("text", "family", "given", "prefix", "suffix"),
    "Address": ("text", "line", "city", "district", "state", "postalCode", "country"),
    "CodeableConcept": ("text",),
}

_GROUPS = {c: str(n + 1) for n, group in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r")) for c in group}
_WORD = re.compile(r"[\s\-/.,]+")


def plain(text: str) -> str:
    """Return a string as it is compared."""
    folded = _folded(text)
    return " ".join("".join(c for c in folded if unicodedata.category(c)[0] != "P").split()) or folded


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(c for c in unicodedata.normalize("NFKD", decomposed) if not unicodedata.combining(c))
    return " ".join(bare.split())


def strings(fhir_type: str, value: Any) -> list[str]:
    """Return all strings of one value of a resource: those of every part of a name or an address."""
    if isinstance(value, str):
        return [value]
    out: list[str] = []
    for part in _PARTS.get(fhir_type, ()):
        item = value.get(part, [])
        out += [item] if isinstance(item, str) else item
    return out


def holds(fhir_type: str, value: Any, modifier: str | None, text: str) -> bool:
    """Tell whether one value of a resource fulfils one search value, already unescaped."""
    found = strings(fhir_type, value)
    match modifier:
        case "exact":
            return text in found
        case "contains":
            return any(plain(text) in plain(item) for item in found)
        case _:
            return any(plain(item).startswith(plain(text)) for item in found)


def sounds_alike(texts: Iterable[str], text: str) -> bool:
    """Tell whether names have words that sound like all words of a text, as the server does: by American Soundex."""
    has = {_soundex(word) for item in texts for word in _WORD.split(_folded(item)) if word}
    return has >= {_soundex(word) for word in _WORD.split(_folded(text)) if word}


def _soundex(word: str) -> str:
    """Return a word's key, https://www.archives.gov/research/census/soundex."""
    latin = "".join(c for c in word if "a" <= c <= "z")
    if not latin:
        return word
    # h and w leave the letters around them neighbours; then neighbours of one group count once, the first letter too.
    digits = [_GROUPS.get(c, "") for c in latin[0] + re.sub("[hw]", "", latin[1:])]
    kept = [digit for before, digit in pairwise(digits) if digit and digit != before]
    return (latin[0] + "".join(kept) + "000")[:4]
