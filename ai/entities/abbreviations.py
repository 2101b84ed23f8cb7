"""Short forms that a text defines itself: ``tardive dyskinesia (TD)``, after Schwartz and Hearst 2003.

https://psb.stanford.edu/psb-online/proceedings/psb03/schwartz.pdf
"""

from __future__ import annotations

from ai.entities.tokens import Tokens

_LONGEST_SHORT = 10
_MOST_BEFORE = 12


def definitions(tokens: Tokens) -> dict[str, tuple[int, int, int]]:
    """Return each short form with its long form's range of words and the position where the short form is defined."""
    words = tokens.words
    found: dict[str, tuple[int, int, int]] = {}
    opened = tokens.sentences
    sentence = 0
    for position, word in enumerate(words):
        while sentence + 1 < len(opened) and opened[sentence + 1] <= position:
            sentence += 1
        if word not in "([" or position + 2 >= len(words) or words[position + 2] not in ")];,":
            continue
        short = words[position + 1]
        if not _is_short(short) or short in found:
            continue
        first = max(opened[sentence], position - min(_MOST_BEFORE, 2 * len(short) + 3))
        start = _long_form(words, first, position, short)
        if start is not None:
            found[short] = (start, position, position + 1)
    return found


def _is_short(word: str) -> bool:
    return 2 <= len(word) <= _LONGEST_SHORT and word[0].isalnum() and any(c.isupper() for c in word)  # noqa: PLR2004


def _long_form(words: list[str], first: int, stop: int, short: str) -> int | None:
    """Match the letters of the short form backwards; its first must begin a word."""
    letters = [c for c in short.lower() if c.isalnum()]
    word, offset = stop - 1, len(words[stop - 1]) - 1
    for number in range(len(letters) - 1, -1, -1):
        while word >= first:
            at = words[word].lower().rfind(letters[number], 0, offset + 1)
            if at > 0 and number == 0:
                at = 0 if words[word][0].lower() == letters[0] and offset >= 0 else -1
            if at >= 0:
                break
            word -= 1
            offset = len(words[word]) - 1 if word >= first else 0
        if word < first:
            return None
        if number:
            offset = at - 1
            if offset < 0:
                word -= 1
                offset = len(words[word]) - 1 if word >= first else 0
    long = words[word:stop]
    return word if len(" ".join(long)) > len(short) + 1 and short not in long else None
