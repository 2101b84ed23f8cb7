"""Numbers and quantities, https://hl7.org/fhir/R4/search.html#number and #quantity.

Latitude taken as the server documents it: a number in a resource is a point, precision belongs to the search value;
``<5`` and ``<=5`` both reach from minus infinity up to and including 5.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.search.oracle.pools import CURRENCIES, DURATIONS, UCUM, UNITS
from tests.search.oracle.written import implicit_range, prefixed, split, unescape

INFINITY = Decimal("Infinity")
_CANONICAL = UNITS | DURATIONS
_QUANTITIES = ("Quantity", "SimpleQuantity", "Age", "Duration", "Count", "Distance", "MoneyQuantity")
Unit = dict[str, Any]


def limits(fhir_type: str, value: Any) -> tuple[Decimal, Decimal, Unit] | None:
    """Return (low, high, unit) of one value of a resource, both limits included; None without a number."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value), Decimal(value), {}
    if fhir_type == "Range":
        low, high = value.get("low", {}), value.get("high", {})
        if "value" not in low and "value" not in high:
            return None
        return Decimal(low.get("value", -INFINITY)), Decimal(high.get("value", INFINITY)), low or high
    if not isinstance(value, dict) or "value" not in value:
        return None
    number = Decimal(value["value"])
    if fhir_type == "Money":
        return number, number, {"system": CURRENCIES, "code": value.get("currency")}
    if fhir_type not in _QUANTITIES:
        return None
    comparator = value.get("comparator", "")
    return (
        -INFINITY if comparator.startswith("<") else number,
        INFINITY if comparator.startswith(">") else number,
        value,
    )


def number_holds(fhir_type: str, value: Any, text: str) -> bool:
    """Tell whether one value of a resource fulfils one search value for a number."""
    found = limits(fhir_type, value)
    prefix, number = prefixed(unescape(text))
    return found is not None and compare(prefix, found[:2], implicit_range(number))


def quantity_holds(fhir_type: str, value: Any, text: str) -> bool:
    """Tell whether one value of a resource fulfils ``5.4``, ``5.4|system|code`` or ``5.4||unit``."""
    found = limits(fhir_type, value)
    if found is None:
        return False
    low, high, has = found
    number, *unit = (unescape(part) for part in split(text, "|"))
    prefix, number = prefixed(number)
    searched = implicit_range(number)
    if not unit:
        return compare(prefix, (low, high), searched)
    system, code = unit
    if not system:
        return code in (has.get("code"), has.get("unit")) and compare(prefix, (low, high), searched)
    if (has.get("system"), has.get("code")) == (system, code):
        return compare(prefix, (low, high), searched)
    if system == has.get("system") == UCUM and code in _CANONICAL and has.get("code") in _CANONICAL:
        # "it may be necessary to convert both to canonical units"
        (to, factor), (from_, own) = _CANONICAL[code], _CANONICAL[has["code"]]
        if to == from_:
            value_, least, beyond = (limit * Decimal(factor) for limit in searched)
            return compare(prefix, (low * Decimal(own), high * Decimal(own)), (value_, least, beyond))
    return False


def compare(prefix: str, target: tuple[Decimal, Decimal], searched: tuple[Decimal, Decimal, Decimal]) -> bool:
    """Compare a closed range with a number: its implicit range counts for ``eq`` and ``ne`` only."""
    (low, high), (value, least, beyond) = target, searched
    contained = least <= low and high < beyond
    match prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
        case "gt":
            return high > value
        case "lt":
            return low < value
        case "ge":
            return high >= value
        case "le":
            return low <= value
        case "sa":
            return low > value
        case "eb":
            return high < value
        case _:  # ap: "10% of the stated value"
            tenth = abs(value) / 10
            return low <= value + tenth and high >= value - tenth
