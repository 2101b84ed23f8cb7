"""Conversions of leaf values to FHIR primitives, https://hl7.org/fhir/R4/datatypes.html#primitive.

Each takes the raw piece, the run and the depth at which it stands, and returns None for what can't be converted.
"""

from __future__ import annotations

import base64
import binascii
import re
from decimal import Decimal
from typing import Any

from mappers.hl7v2 import timestamps
from mappers.hl7v2.escapes import unescape
from mappers.hl7v2.run import Run

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SPACES = re.compile(r"\s+")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)$", re.ASCII)
_MAX_DIGITS = 40
_MAX_INTEGER = 2**31 - 1


def text(piece: str, run: Run, depth: int = 0) -> str | None:
    """Return a FHIR string: unescaped, trimmed, without control characters; None when blank."""
    del depth
    value = unescape(piece, run.delimiters, run.codec)
    if not value.isprintable():
        value = _CONTROL.sub("", value).replace("\r\n", "\n").replace("\r", "\n")
    return value.strip() or None


def leaf(piece: str, run: Run, depth: int) -> str:
    """Return the first component (or subcomponent) of a piece, trimmed."""
    mark = run.marks[depth]
    return (piece.split(mark, 1)[0] if mark and mark in piece else piece).strip()


def first(piece: str, run: Run, depth: int) -> str | None:
    """Return the first component of a piece as a string."""
    return text(leaf(piece, run, depth), run)


def code_text(piece: str, run: Run) -> str | None:
    """Return a FHIR code: a string with single blanks."""
    value = text(piece, run)
    return None if value is None else value if value.isalnum() else _SPACES.sub(" ", value)


def date_time(piece: str, run: Run, depth: int) -> str | None:
    """Return a dateTime of the precision given."""
    value = leaf(piece, run, depth)
    converted = timestamps.date_time(value, run.zone)
    if converted is None and value:
        run.warn("not a date or time")
    return converted


def date(piece: str, run: Run, depth: int) -> str | None:
    """Return a date of the precision given."""
    value = leaf(piece, run, depth)
    converted = timestamps.day_of(value)
    if converted is None and value:
        run.warn("not a date")
    return converted


def instant(piece: str, run: Run, depth: int) -> str | None:
    """Return an instant; None (with a warning) for a date without a time."""
    value = leaf(piece, run, depth)
    converted = timestamps.instant(value, run.zone)
    if converted is None and value:
        run.warn("not a date with a time of day")
    return converted


def time(piece: str, run: Run, depth: int) -> str | None:
    """Return a time of day."""
    return timestamps.time(leaf(piece, run, depth))


def number(value: str) -> int | Decimal | None:
    """Return an HL7 NM as int or Decimal, digits kept; None when it is not one."""
    value = value.strip()
    if len(value) > _MAX_DIGITS or not _NUMBER.match(value):
        return None
    return Decimal(value) if "." in value.rstrip(".") else int(value.rstrip("."))


def integer(piece: str, run: Run, depth: int) -> int | None:
    """Return a 32-bit integer."""
    value = number(leaf(piece, run, depth))
    if not isinstance(value, int) or abs(value) > _MAX_INTEGER:
        run.warn("not a whole number")
        return None
    return value


def positive(piece: str, run: Run, depth: int) -> int | None:
    """Return a positiveInt."""
    value = integer(piece, run, depth)
    return value if value is not None and value > 0 else None


def boolean(piece: str, run: Run, depth: int) -> bool | None:
    """Table 0136 (yes/no)."""
    value = {"Y": True, "N": False}.get(leaf(piece, run, depth).upper())
    if value is None:
        run.warn("neither Y nor N")
    return value


def annotation(piece: str, run: Run, depth: int) -> dict[str, Any] | None:
    """Return an Annotation's text."""
    value = text(piece, run, depth)
    return None if value is None else {"text": value}


def base64_data(data: str, encoding: str) -> str | None:
    """Return the content of an ED (table 0299: Base64, Hex or A) as base64Binary, or None."""
    try:
        if encoding.upper() == "BASE64":
            compact = _SPACES.sub("", data)
            base64.b64decode(compact, validate=True)
            return compact or None
        if encoding.upper() == "HEX":
            return base64.b64encode(bytes.fromhex(_SPACES.sub("", data))).decode() or None
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(data.encode()).decode() or None
