"""Parameters whose xpathUsage is phonetic, https://hl7.org/fhir/R4/patient.html#search: names that sound alike.

Words are compared by American Soundex (https://www.archives.gov/research/census/soundex): the first letter and three
digits for the groups of consonants after it. A word without Latin letters sounds like itself only. Resources have all
the words that are searched for, in any order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from fhir_server.search.condition import Condition, HasTokens, any_of, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.parse import unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Slot
from fhir_server.search.string import fold, parts_of
from fhir_server.store.entries import IndexEntries

MODIFIERS: frozenset[str] = frozenset()
_DIGITS = {
    letter: digit
    for digit, letters in zip("123456", ("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), strict=True)
    for letter in letters
}
# These neither count nor separate two letters of the same group, as vowels do.
_SILENT = "hw"
_LENGTH = 4
_OTHERS = re.compile("[^a-z]")
_BETWEEN = re.compile(r"[\s\-/.,]+")


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add a token for the sound of each word of a name."""
    for text in parts_of(fhir_type, value):
        entries.tokens.extend([slot.token(sound) for sound in _sounds(text)])


def condition(_: Parameter, place: Slot, __: str | None, values: Sequence[str], ___: Environment) -> Condition:
    """Return what a search for names by sound asks for. Raises ValueError for a value without words."""
    return any_of([_all_words(place, unescape(value)) for value in values])


def _all_words(place: Slot, text: str) -> HasTokens:
    tokens = tuple(place.token(sound) for sound in _sounds(text))
    if not tokens:
        raise ValueError("there is no word to compare by its sound")
    return has_any(tokens) if len(tokens) == 1 else HasTokens(tokens, every=True)


def _sounds(text: str) -> list[str]:
    return [soundex(word) for word in _BETWEEN.split(fold(text)) if word]


@lru_cache(maxsize=65536)
def soundex(word: str) -> str:
    """Return the Soundex key of a normalised word (``robert`` → ``r163``), or the word if it has no Latin letters."""
    letters = _OTHERS.sub("", word)
    if not letters:
        return word
    key, last = letters[0], _DIGITS.get(letters[0])
    for letter in letters[1:]:
        digit = _DIGITS.get(letter)
        if digit is not None and digit != last:
            key += digit
        if letter not in _SILENT:
            last = digit
    return key[:_LENGTH].ljust(_LENGTH, "0")
