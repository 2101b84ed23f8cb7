"""Regular expressions as FHIRPath writes them, https://hl7.org/fhirpath/N1/#matchesregex--string--boolean."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

from conformance.fhirpath.errors import FHIRPathError

_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE}
_REFERENCE = re.compile(r"\$(?:(\d+)|\{(\w+)\}|(\$))")
# what differs from Python: categories and named groups; brackets tell whether a category stands in a class already
_DIFFERENCE = re.compile(r"\\p\{(\w+)\}|\\.|\(\?<(?=[A-Za-z_])|[\[\]]", re.DOTALL)
_BASIC_PLANE = 0x10000


@cache
def _category(name: str) -> str:
    """Return the characters of a Unicode category (``Lu``, ``L``) as ranges for a character class."""
    members = [code for code in range(_BASIC_PLANE) if unicodedata.category(chr(code)).startswith(name)]
    if not members:
        raise FHIRPathError(f"{name!r} is not a Unicode category")
    ranges: list[list[int]] = []
    for code in members:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\u{low:04x}-\\u{high:04x}" for low, high in ranges)


def _translate(expression: str) -> str:
    in_class = False

    def replace(match: re.Match[str]) -> str:
        nonlocal in_class
        found = match.group()
        if match[1]:
            return _category(match[1]) if in_class else f"[{_category(match[1])}]"
        if found in {"[", "]"}:
            in_class = found == "["
        return "(?P<" if found == "(?<" else found

    return _DIFFERENCE.sub(replace, expression)


@lru_cache(maxsize=1024)
def compile_pattern(expression: str, flags: str = "") -> re.Pattern[str]:
    """Return the compiled expression; the dot matches line ends. Flags are ``i`` and ``m``; raises FHIRPathError."""
    options = re.DOTALL
    for flag in flags:
        if flag not in _FLAGS:
            raise FHIRPathError(f"{flag!r} is not a flag of regular expressions: use i or m")
        options |= _FLAGS[flag]
    try:
        return re.compile(_translate(expression), options)
    except (re.error, OverflowError, RecursionError) as error:
        raise FHIRPathError(f"{expression!r} is not a regular expression: {error}") from error


def replace_groups(pattern: re.Pattern[str], template: str, text: str) -> str:
    """Replace what ``pattern`` matches by ``template``: ``$1``, ``${name}`` mean groups, ``$$`` a dollar."""

    def expand(match: re.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            number, name, dollar = reference.groups()
            if dollar:
                return "$"
            try:
                return match.group(name or int(number)) or ""
            except (IndexError, OverflowError):
                return reference.group()

        return _REFERENCE.sub(group, template)

    return pattern.sub(expand, text)
