"""Words as the code index compares them: folded, stemmed, and with one word for each of several synonyms.

Normalisation is word by word, so a document's tokens and a term's words meet without losing track of offsets.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

_WORD = re.compile(r"[a-z0-9]+")
_POSSESSIVE = re.compile(r"['\u2019]s\b")
_SHORTEST_STEMMED = 4
_PREFIX = 6
DATA = Path(__file__).parent / "data"


@cache
def vocabulary() -> dict[str, Any]:
    """Return the word lists: ``stop``, ``unspecific`` and ``synonyms``."""
    lists: dict[str, Any] = json.loads((DATA / "words.json").read_text(encoding="utf-8"))
    return {
        "stop": frozenset(lists["stop"]),
        "generic": frozenset(stem(word) for word in lists["generic"]),
        "synonyms": {stem(word): tuple(stem(w) for w in to.split()) for word, to in lists["synonyms"].items()},
    }


def words_of(text: str) -> list[str]:
    """Return the comparable words of a text, function words and "unspecified" left out."""
    folded = _POSSESSIVE.sub("", unicodedata.normalize("NFKD", text.lower()))
    lists = vocabulary()
    found: list[str] = []
    for word in _WORD.findall("".join(c for c in folded if not unicodedata.combining(c))):
        if word not in lists["stop"]:
            stemmed = stem(word)
            found.extend(lists["synonyms"].get(stemmed, (stemmed,)))
    return found


@cache
def stem(word: str) -> str:
    """Return a word without its plural ending and with American spelling of -ae- and -oe-."""
    if len(word) < _SHORTEST_STEMMED:
        return word
    word = word.replace("aemi", "emi").replace("oede", "ede").replace("haem", "hem").replace("paed", "ped")
    word = word.replace("tumour", "tumor").replace("oesoph", "esoph").replace("diarrhoea", "diarrhea")
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is", "as", "ous")):
        return word[:-1]
    return word


def features_of(words: list[str]) -> list[str]:
    """Return index features: the words, and the beginnings of long ones, where related forms agree."""
    return words + [f"{word[:_PREFIX]}~" for word in words if len(word) > _PREFIX]


def key_of(words: list[str]) -> str:
    """Return the order-free identity of a term."""
    return " ".join(sorted(set(words)))
