r"""How a search value is written: ``\`` escapes, prefixes, https://hl7.org/fhir/R4/search.html#escaping."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
_SPECIAL = "\\,|$"


def split(text: str, separator: str) -> list[str]:
    """Split at the separators that are not escaped; the parts stay escaped."""
    parts, part, escaped = [], "", False
    for character in text:
        if character == separator and not escaped:
            parts.append(part)
            part = ""
            continue
        part += character
        escaped = character == "\\" and not escaped
    return [*parts, part]


def unescape(text: str) -> str:
    """Return what a part means. A backslash before any other character stands for itself."""
    out, position = "", 0
    while position < len(text):
        if text[position] == "\\" and text[position + 1 : position + 2] and text[position + 1] in _SPECIAL:
            position += 1
        out += text[position]
        position += 1
    return out


def escape(text: str) -> str:
    """Return a value as it is written in a search."""
    return "".join("\\" + character if character in _SPECIAL else character for character in text)


def prefixed(text: str) -> tuple[str, str]:
    """Return (prefix, rest); no prefix means ``eq``."""
    return (text[:2], text[2:]) if text[:2] in PREFIXES else ("eq", text)


def implicit_range(text: str) -> tuple[Decimal, Decimal, Decimal]:
    """Return (value, least, beyond) of a number: 100 is [99.5, 100.5), 100.00 is [99.995, 100.005), 1e2 is [95, 105).

    https://hl7.org/fhir/R4/search.html#number
    """
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    # 1e2 has one significant digit, but the specification's range reaches five, not fifty, either way.
    half = Decimal(1).scaleb(int(exponent or 0) - decimals) / (20 if exponent and not decimals else 2)
    return value, value - half, value + half
