"""Parameters of type quantity, https://hl7.org/fhir/R4/search.html#quantity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.ucum import SYSTEM
from fhir_server.search.condition import Condition, any_of
from fhir_server.search.environment import Environment
from fhir_server.search.measure import Measures, measured_in
from fhir_server.search.number import Compares, add_range, present, searched_range
from fhir_server.search.parse import split, unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Slot
from fhir_server.search.token import escape
from fhir_server.store.entries import IndexEntries
from fhir_server.store.hashing import value_hash

__all__ = ["MODIFIERS", "condition", "extract", "present"]

MODIFIERS: frozenset[str] = frozenset()
_CURRENCIES = "urn:iso:std:iso:4217"
_QUANTITIES = frozenset(("Quantity", "SimpleQuantity", "MoneyQuantity", "Age", "Count", "Distance", "Duration"))
Unit = tuple[int | None, int | None, int | None]


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add a Quantity (``<5`` reaches down without end), a Money or a Range; sampled data have no single value.

    Of a unit that UCUM knows, the dictionary of units tells what it is in base units.
    """
    if fhir_type in _QUANTITIES:
        number, comparator = value.get("value"), value.get("comparator", "")
        limits = (None if comparator[:1] == "<" else number, None if comparator[:1] == ">" else number)
        add_range(slot.parameter, limits, _unit(value), entries)
        _add_dimension(value, entries)
    elif fhir_type == "Money":
        limits = (value.get("value"), value.get("value"))
        add_range(slot.parameter, limits, _unit({"system": _CURRENCIES, "code": value.get("currency")}), entries)
    elif fhir_type == "Range":
        low, high = value.get("low") or {}, value.get("high") or {}
        add_range(slot.parameter, (low.get("value"), high.get("value")), _unit(low or high), entries)
        _add_dimension(low or high, entries)


def _add_dimension(quantity: dict[str, Any], entries: IndexEntries) -> None:
    if quantity.get("system") == SYSTEM and (code := quantity.get("code")):
        known = measured_in(code)
        if known is not None:
            entries.units.append(known)


def _unit(quantity: dict[str, Any]) -> Unit:
    system, code, unit = quantity.get("system"), quantity.get("code"), quantity.get("unit")
    return (
        value_hash(f"{system}|{escape(code)}") if system and code else None,
        value_hash(escape(code)) if code else None,
        value_hash(escape(unit)) if unit else None,
    )


def condition(_: Parameter, place: Slot, __: str | None, values: Sequence[str], ___: Environment) -> Condition:
    """Return what a search for ``5.4``, ``5.4|system|code`` or ``5.4||unit`` asks for. Raises ValueError if bad."""
    return any_of([_condition(place, value) for value in values])


def _condition(place: Slot, value: str) -> Condition:
    number, *unit = (unescape(part) for part in split(value, "|"))
    compared = searched_range(number)
    if not unit:
        return Compares(place.parameter, *compared)
    if len(unit) != len(("system", "code")) or not unit[1]:
        raise ValueError("a quantity is written number, number|system|code or number||code")
    system, code = unit[0], escape(unit[1])
    if system == SYSTEM and (known := measured_in(unit[1])) is not None:
        return Measures.compare(place.parameter, *compared, known)
    hashed = value_hash(f"{system}|{code}" if system else code)
    return Compares(place.parameter, *compared, unit=hashed, any_system=not system)
