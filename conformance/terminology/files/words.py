"""The words of codes and displays as a text filter compares them, https://hl7.org/fhir/R4/valueset-operation-expand.html."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Return a text without what case and accents tell apart."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()


def words_of(text: str) -> list[str]:
    """Return the folded words of a text, in order: runs of letters and digits."""
    return _WORD.findall(fold(text))
