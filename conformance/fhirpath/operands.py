"""Reading a collection as the single value an operator or function asks for.

https://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from conformance.fhirpath.equality import is_number
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.items import Collection, Item, to_system


def single(items: Collection, what: str = "operand") -> Item | None:
    """Return the only item, None for an empty collection; raises FHIRPathError for several."""
    if not items:
        return None
    if len(items) > 1:
        raise FHIRPathError(f"{what} must be a single item, found {len(items)}")
    return items[0]


def value(items: Collection, what: str = "operand") -> Any:
    """Return the only item as a System value; None when there is none or it has no value."""
    item = single(items, what)
    return None if item is None else to_system(item)


def boolean(items: Collection, what: str = "operand") -> bool | None:
    """Return the only item as a Boolean: an item of another type counts as true."""
    found = value(items, what)
    return found if found is None or isinstance(found, bool) else True


def text(items: Collection, what: str = "operand") -> str | None:
    """Return the only item as a String; raises FHIRPathError for another type."""
    found = value(items, what)
    if found is not None and type(found) is not str:
        raise FHIRPathError(f"{what} must be a String")
    return found


def integer(items: Collection, what: str = "operand") -> int | None:
    """Return the only item as an Integer; raises FHIRPathError for another type."""
    found = value(items, what)
    if found is not None and (isinstance(found, bool) or not isinstance(found, int)):
        raise FHIRPathError(f"{what} must be an Integer")
    return found


def number(items: Collection, what: str = "operand") -> int | Decimal | None:
    """Return the only item as a number; raises FHIRPathError for another type."""
    found = value(items, what)
    if found is not None and not is_number(found):
        raise FHIRPathError(f"{what} must be a number")
    result: int | Decimal | None = found
    return result


def optional(result: Item | None) -> Collection:
    """Return None as the empty collection and anything else as a collection of one."""
    return [] if result is None else [result]
