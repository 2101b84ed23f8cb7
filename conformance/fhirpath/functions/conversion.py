"""Conversions between the System types, https://hl7.org/fhirpath/N1/#conversion."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from conformance.fhirpath.equality import is_number
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Frame
from conformance.fhirpath.functions.registry import function
from conformance.fhirpath.items import Collection, Item, Node
from conformance.fhirpath.operands import optional, text, value
from conformance.fhirpath.quantity import CALENDAR_UNITS, Long, Quantity, convert
from conformance.fhirpath.temporal import Temporal, TemporalKind

_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:'([^']+)'|([A-Za-z]+))?", re.ASCII)
_INTEGER_LIMIT, _LONG_LIMIT = 2**31, 2**63


def to_boolean(found: Any) -> bool | None:
    """Return the Boolean ``found`` stands for, None if it stands for none."""
    if isinstance(found, bool):
        return found
    if is_number(found):
        return bool(found) if found in {0, 1} else None
    if type(found) is str:
        folded = found.casefold()
        return True if folded in _TRUE else False if folded in _FALSE else None
    return None


def _to_whole(found: Any, limit: int) -> int | None:
    if type(found) is str and _INTEGER.fullmatch(found):
        found = int(found)
    if isinstance(found, int) and -limit <= found < limit:
        return int(found)
    return None


def to_integer(found: Any) -> int | None:
    """Return the Integer ``found`` stands for, None if it stands for none."""
    return _to_whole(found, _INTEGER_LIMIT)


def to_long(found: Any) -> Long | None:
    """Return the Long ``found`` stands for, None if it stands for none."""
    whole = _to_whole(found, _LONG_LIMIT)
    return None if whole is None else Long(whole)


def to_decimal(found: Any) -> Decimal | None:
    """Return the Decimal ``found`` stands for, None if it stands for none."""
    if isinstance(found, int | Decimal):
        return Decimal(found)
    return Decimal(found) if type(found) is str and _DECIMAL.fullmatch(found) else None


def to_text(found: Any) -> str | None:
    """Return the String form of ``found``, None if it has none."""
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, Decimal):
        return f"{found:f}"
    if found is None or isinstance(found, Node):
        return None
    return str(found)


def _to_temporal(found: Any, kind: TemporalKind) -> Temporal | None:
    if type(found) is str:
        try:
            found = Temporal.from_text(found, "Time" if kind == "Time" else None)
        except ValueError:
            return None
    if not isinstance(found, Temporal) or (found.kind == "Time") != (kind == "Time"):
        return None
    if kind == "Date":
        return found.date()
    return Temporal(kind, found.parts, found.offset)


def to_quantity(found: Any) -> Quantity | None:
    """Return the Quantity ``found`` stands for, None if it stands for none; raises FHIRPathError for a bound."""
    if isinstance(found, Quantity):
        return found
    if isinstance(found, int | Decimal) and not isinstance(found, Long):
        return Quantity(Decimal(found), "1", calendar=False)
    if isinstance(found, Node) and type(found.value) is dict and "comparator" in found.value:
        raise FHIRPathError("a Quantity with a comparator has no single value")
    match = _QUANTITY.fullmatch(found) if type(found) is str else None
    if match is None or (match[3] and match[3] not in CALENDAR_UNITS):
        return None
    return Quantity(Decimal(match[1]), match[2] or match[3] or "1", calendar=bool(match[3]))


_CONVERSIONS: dict[str, Callable[[Any], Item | None]] = {
    "Boolean": to_boolean,
    "Integer": to_integer,
    "Long": to_long,
    "Decimal": to_decimal,
    "String": to_text,
    "Date": lambda found: _to_temporal(found, "Date"),
    "DateTime": lambda found: _to_temporal(found, "DateTime"),
    "Time": lambda found: _to_temporal(found, "Time"),
}


def _declare(name: str, change: Callable[[Any], Item | None]) -> None:
    def run(_frame: Frame, items: Collection) -> Collection:
        return optional(change(value(items, f"the input of to{name}()")))

    def test(_frame: Frame, items: Collection) -> Collection:
        return [change(value(items, f"the input of convertsTo{name}()")) is not None] if items else []

    function(f"to{name}")(run)
    function(f"convertsTo{name}")(test)


for _name, _change in _CONVERSIONS.items():
    _declare(_name, _change)


def _quantity(items: Collection, unit: Collection | None) -> Quantity | None:
    found = to_quantity(value(items, "the input of toQuantity()"))
    wanted = text(unit, "the unit of toQuantity()") if unit is not None else None
    return found if found is None or wanted is None else convert(found, wanted)


@function("toQuantity", 0, 1)
def to_quantity_(_frame: Frame, items: Collection, unit: Collection | None = None) -> Collection:
    """Return the input as a Quantity, in ``unit`` if given."""
    return optional(_quantity(items, unit))


@function("convertsToQuantity", 0, 1)
def converts_to_quantity(_frame: Frame, items: Collection, unit: Collection | None = None) -> Collection:
    """Tell whether the input can be a Quantity, in ``unit`` if given."""
    return [_quantity(items, unit) is not None] if items else []
