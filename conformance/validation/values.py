"""Fixed and pattern values, and limits of values, https://hl7.org/fhir/R4/elementdefinition.html."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from conformance.primitives import date_range

_NUMBERS = (int, Decimal)


def is_same(value: Any, wanted: Any) -> bool:
    """Tell whether a JSON value is exactly ``wanted``: the same properties, the same items in the same order."""
    if isinstance(wanted, dict):
        return (
            isinstance(value, dict)
            and value.keys() == wanted.keys()
            and all(is_same(value[name], part) for name, part in wanted.items())
        )
    if isinstance(wanted, list):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(is_same(one, other) for one, other in zip(value, wanted, strict=True))
        )
    return _is_equal(value, wanted)


def fits(value: Any, pattern: Any) -> bool:
    """Tell whether a JSON value has at least what ``pattern`` has; each of its items is somewhere in an array."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and fits(value[name], part) for name, part in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(fits(item, part) for item in value) for part in pattern)
    return _is_equal(value, pattern)


def _is_equal(value: Any, wanted: Any) -> bool:
    # To Python, 1 and true are equal.
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value is wanted
    if isinstance(wanted, _NUMBERS) and isinstance(value, _NUMBERS):
        return value == wanted
    return type(value) is type(wanted) and bool(value == wanted)


def compare(value: Any, limit: Any) -> int | None:
    """Return -1, 0 or 1 as a value is below, at or above a limit; None where they cannot be compared.

    Numbers, dates and times of the same kind, and Quantities of the same unit. A date that only overlaps with the limit
    (``2020`` and ``2020-05``) cannot be compared.
    """
    if isinstance(limit, dict) or isinstance(value, dict):
        return _compare_quantities(value, limit)
    if isinstance(limit, bool) or isinstance(value, bool):
        return None
    if isinstance(limit, _NUMBERS) and isinstance(value, _NUMBERS):
        return (value > limit) - (value < limit)
    if not isinstance(limit, str) or not isinstance(value, str):
        return None
    try:
        low, high = date_range(value)
        limit_low, limit_high = date_range(limit)
    except ValueError:
        return None
    if (low, high) == (limit_low, limit_high):
        return 0
    return -1 if high <= limit_low else 1 if low >= limit_high else None


def _compare_quantities(value: Any, limit: Any) -> int | None:
    if not isinstance(value, dict) or not isinstance(limit, dict):
        return None
    unit = [(q.get("system"), q.get("code") or q.get("unit")) for q in (value, limit)]
    if unit[0] != unit[1] or value.get("comparator") or "value" not in value or "value" not in limit:
        return None
    return compare(value["value"], limit["value"])
