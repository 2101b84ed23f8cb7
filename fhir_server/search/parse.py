"""From name-value pairs to the query as written, https://hl7.org/fhir/R4/search.html#escaping."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fhir_server.search.errors import invalid_value
from fhir_server.search.query import Criterion, Forward, Reverse

UNSAFE = re.compile("[\x00\ud800-\udfff]")
_HAS = re.compile(r"_has:([^:.]*):([^:]*):(.+)", re.DOTALL)


def parse(parameters: Iterable[tuple[str, str]]) -> tuple[Criterion, ...]:
    """Return the criteria of decoded query pairs; those without a value say nothing and are left out.

    Raises InvalidSearch for text that no FHIR string can hold (NUL, unpaired surrogates).
    """
    return tuple(_criterion(name, value) for name, value in parameters if value != "")


def _criterion(name: str, value: str) -> Criterion:
    if UNSAFE.search(name) or UNSAFE.search(value):
        shown = [text.encode("ascii", "backslashreplace").decode().replace("\x00", r"\x00") for text in (name, value)]
        raise invalid_value(shown[0], shown[1], "it holds a character that no FHIR string may have")
    values = tuple(v for v in split(value, ",") if v) or (value,)
    return Criterion(tuple(_steps(name)), values, name, value)


def _steps(name: str) -> Iterator[Forward | Reverse]:
    dot = "."
    while dot:
        while found := _HAS.fullmatch(name):
            yield Reverse(found[1], found[2])
            name = found[3]
        head, dot, name = name.partition(".")
        code, colon, modifier = head.partition(":")
        yield Forward(code, modifier if colon else None)


def split(text: str, separator: str) -> list[str]:
    r"""Split at the separators that no backslash precedes; the parts stay escaped."""
    if "\\" not in text:
        return text.split(separator)
    parts, start, position = [], 0, 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == separator:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    parts.append(text[start:])
    return parts


def unescape(text: str) -> str:
    r"""Return a value with ``\,`` ``\|`` ``\$`` and ``\\`` resolved; any other backslash stands for itself."""
    return re.sub(r"\\([,|$\\])", r"\1", text) if "\\" in text else text
