"""The formats of FHIR's primitive types, and dates as time ranges, https://hl7.org/fhir/R4/datatypes.html#primitive.

The regular expressions are those of the StructureDefinitions, except where these are looser than the text beside them:
dates must exist in the calendar and base64 must be padded. They match whole values and take whitespace as ASCII does.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Any

from conformance.definitions import types

MAX_STRING = 1024 * 1024
"""Characters that a string may have: "strings SHALL NOT exceed 1MB in size"."""

INTEGER_RANGES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"integer": (-(2**31), 2**31 - 1), "unsignedInt": (0, 2**31 - 1), "positiveInt": (1, 2**31 - 1)}
)
"""Inclusive bounds of the integer types; FHIR's integers are signed 32-bit."""

UNLIMITED = frozenset({"base64Binary", "xhtml"})
"""String-like types that are not strings in FHIR's sense, so the 1 MB limit does not hold for them."""

MAX_EXPONENT = 308
"""Decimals beyond 10^308, or finer than 10^-308, are refused: no measurement needs them, and digits cost memory."""

_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_MULTIPLE_OF_4 = r"(?:0[48]|[2468][048]|[13579][26])"
_DAY = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    rf"|(?:[0-9]{{2}}{_MULTIPLE_OF_4}|{_MULTIPLE_OF_4}00)-02-29)"
)
_MONTH = rf"{_YEAR}(?:-(?:0[1-9]|1[0-2]))?"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"

# Control characters are refused apart from this, so these are the definitions' "\S*", matched in half the time.
_NO_SPACE = r"[!-\U0010ffff]*+"
_OWN: Mapping[str, str] = {
    "uri": _NO_SPACE,
    "url": _NO_SPACE,
    "canonical": _NO_SPACE,
    "date": rf"(?:{_DAY}|{_MONTH})",
    "dateTime": rf"(?:{_DAY}(?:T{_TIME}{_ZONE})?|{_MONTH})",
    "instant": rf"{_DAY}T{_TIME}{_ZONE}",
    # Possessive, so that neither time nor memory depends on how often the value could be split differently.
    "base64Binary": r"\s*+(?:[0-9A-Za-z+/]{4}\s*+)*+(?:[0-9A-Za-z+/]{2}==|[0-9A-Za-z+/]{3}=)?+\s*+",
}
_FREE_TEXT = frozenset({"string", "markdown", "xhtml"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")

_RANGE = re.compile(
    r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})"
    r"(?:T(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?)?"
    rf"(?P<zone>{_ZONE})?)?)?)?",
    re.ASCII,
)
_EPOCH = date(1970, 1, 1).toordinal()
_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_DAY_LENGTH = 24 * 60 * _MINUTE
_MICROSECOND_DIGITS = 6
_LAST = {"hour": 23, "minute": 59, "second": 60}


@cache
def pattern(type_name: str) -> str | None:
    """Return the regular expression, anchored at both ends, that a value of a string-like type must match.

    None where any non-empty text without control characters will do (string, markdown, xhtml) and for other types.
    """
    regex = _OWN.get(type_name) or types()[type_name].regex
    if regex is None or type_name in _FREE_TEXT or type_name in INTEGER_RANGES or type_name in ("boolean", "decimal"):
        return None
    return rf"(?a)\A(?:{regex})\Z"


@cache
def _compiled(type_name: str) -> re.Pattern[str] | None:
    regex = pattern(type_name)
    return None if regex is None else re.compile(regex)


def find_fault(type_name: str, value: Any) -> tuple[str, str] | None:
    """Check a JSON value (str, bool, int or Decimal) against a primitive type.

    Returns None when it conforms, else (issue code, message). Does not check bindings.
    """
    if type_name == "boolean":
        return None if isinstance(value, bool) else ("value", f"Expected true or false, found {describe(value)}")
    if type_name in INTEGER_RANGES:
        low, high = INTEGER_RANGES[type_name]
        if isinstance(value, bool) or not isinstance(value, int):
            return "value", f"Expected a whole number ({type_name}), found {describe(value)}"
        return None if low <= value <= high else ("value", f"A number of type {type_name} lies in {low}..{high}")
    if type_name == "decimal":
        return _find_decimal_fault(value)
    return _find_text_fault(type_name, value)


def _find_decimal_fault(value: Any) -> tuple[str, str] | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return "value", f"Expected a number, found {describe(value)}"
    number = Decimal(value)
    if not number.is_finite() or abs(number.adjusted()) > MAX_EXPONENT or _overflows(number):
        return "value", f"The number exceeds the supported range of 1e-{MAX_EXPONENT} to 1e{MAX_EXPONENT}"
    return None


def _overflows(number: Decimal) -> bool:
    return float(number) in (float("inf"), float("-inf"))


def _find_text_fault(type_name: str, value: Any) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return "value", f"Expected a string ({type_name}), found {describe(value)}"
    if not value:
        return "value", "A string may not be empty"
    if len(value) > MAX_STRING and type_name not in UNLIMITED:
        return "too-long", f"A {type_name} has at most {MAX_STRING} characters; this one has {len(value)}"
    if control := _CONTROL.search(value):
        return "value", f"Control character U+{ord(control[0]):04X} is not allowed"
    regex = _compiled(type_name)
    if regex is not None and not regex.search(value):
        return "value", f"Not a valid {type_name}: {describe(value)}"
    return None


def describe(value: Any) -> str:
    """Say in a few words what a JSON value is, for messages; long strings are cut."""
    limit = 60
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value[:limit]}…'" if len(value) > limit else f"'{value}'"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    # The number itself may be too long to print.
    if isinstance(value, Decimal):
        return "a number with fraction or exponent" if value.is_finite() else "an enormous number"
    return "a whole number"


def date_range(value: str) -> tuple[int, int]:
    """Return the instants that a date, dateTime or instant covers: [low, high) in microseconds since 1970-01-01 UTC.

    Any precision from year to fraction of a second, also minutes without seconds; no zone means UTC. A second ``60``
    is the first of the next minute; digits beyond microseconds are cut. Raises ValueError when it is not such a value
    or not in the calendar.
    """
    match = _RANGE.fullmatch(value)
    if match is None:
        raise ValueError(f"not a date: {describe(value)}")
    try:
        first = date(int(match["year"]), int(match["month"] or 1), int(match["day"] or 1))
    except ValueError as e:
        raise ValueError(f"no such date: {describe(value)}") from e
    low = (first.toordinal() - _EPOCH) * _DAY_LENGTH
    if match["hour"] is None:
        return low, low + _days(match) * _DAY_LENGTH
    if any(int(match[unit] or 0) > last for unit, last in _LAST.items()):
        raise ValueError(f"no such time: {describe(value)}")
    low += int(match["hour"]) * 60 * _MINUTE + int(match["minute"]) * _MINUTE - _offset(match["zone"])
    if match["second"] is None:
        return low, low + _MINUTE
    low += int(match["second"]) * _SECOND
    fraction = match["fraction"]
    if fraction is None:
        return low, low + _SECOND
    digits = fraction[:_MICROSECOND_DIGITS]
    unit = int(10 ** (_MICROSECOND_DIGITS - len(digits)))
    low += int(digits) * unit
    return low, low + unit


def _days(match: re.Match[str]) -> int:
    """Return how many days a date without time covers."""
    year = int(match["year"])
    if match["month"] is None:
        return 366 if calendar.isleap(year) else 365
    return calendar.monthrange(year, int(match["month"]))[1] if match["day"] is None else 1


def _offset(zone: str | None) -> int:
    """Return how far the zone is ahead of UTC, in microseconds."""
    if zone is None or zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return (minutes if zone[0] == "+" else -minutes) * _MINUTE
