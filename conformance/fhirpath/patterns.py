"""Regular expressions as FHIRPath writes them, https://hl7.org/fhirpath/N1/#matchesregex--string--boolean.

They come from whoever writes the FHIRPath, and the time of a backtracking search can double with each character. So they
run in the library ``regex``, whose searches end after a given time; and their length is limited, which bounds the
time to compile one.
"""

from __future__ import annotations

import re
from functools import lru_cache

import regex

from conformance.fhirpath.errors import FHIRPathError

LONGEST_EXPRESSION = 2000
SECONDS = 0.25
"""How long one search may take, and all searches of one evaluation together."""
LONGEST_TEXT = 10_000_000
"""How many characters a text may have that an expression makes."""

_FLAGS = {"i": regex.IGNORECASE, "m": regex.MULTILINE}
_REFERENCE = re.compile(r"\$(?:(\d+)|\{(\w+)\}|(\$))")


@lru_cache(maxsize=1024)
def compile_pattern(expression: str, flags: str = "") -> regex.Pattern[str]:
    """Return the compiled expression; the dot matches line ends. Flags are ``i`` and ``m``; raises FHIRPathError."""
    options = regex.DOTALL | regex.VERSION0
    for flag in flags:
        if flag not in _FLAGS:
            raise FHIRPathError(f"{flag!r} is not a flag of regular expressions: use i or m")
        options |= _FLAGS[flag]
    if len(expression) > LONGEST_EXPRESSION:
        raise FHIRPathError(f"a regular expression has at most {LONGEST_EXPRESSION} characters")
    try:
        return regex.compile(expression, options)
    except (regex.error, OverflowError, RecursionError) as error:
        raise FHIRPathError(f"{expression!r} is not a regular expression: {error}") from error


def find_match(pattern: regex.Pattern[str], text: str, seconds: float = SECONDS, *, whole: bool = False) -> bool:
    """Tell whether a pattern occurs in ``text``, or fits it as a ``whole``; raises FHIRPathError when time runs out."""
    try:
        return (pattern.fullmatch if whole else pattern.search)(text, timeout=max(seconds, 0.0)) is not None
    except TimeoutError as error:
        raise _too_slow(pattern) from error


def replace_groups(pattern: regex.Pattern[str], template: str, text: str, seconds: float = SECONDS) -> str:
    """Replace what ``pattern`` matches by ``template``: ``$1``, ``${name}`` mean groups, ``$$`` a dollar.

    Raises FHIRPathError when time runs out or the text gets too long.
    """
    made = 0

    def expand(match: regex.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            number, name, dollar = reference.groups()
            if dollar:
                return "$"
            try:
                return match.group(name or int(number)) or ""
            except (IndexError, OverflowError):
                return reference.group()

        nonlocal made
        found = _REFERENCE.sub(group, template)
        made += len(found)
        check_length(made)
        return found

    try:
        return pattern.sub(expand, text, timeout=max(seconds, 0.0))
    except TimeoutError as error:
        raise _too_slow(pattern) from error


def check_length(characters: int) -> None:
    """Raise FHIRPathError for a text that is too long to be made."""
    if characters > LONGEST_TEXT:
        raise FHIRPathError(f"a text of more than {LONGEST_TEXT:,} characters is too long")


def _too_slow(pattern: regex.Pattern[str]) -> FHIRPathError:
    return FHIRPathError(f"the regular expression {pattern.pattern!r} takes too long on this text")
