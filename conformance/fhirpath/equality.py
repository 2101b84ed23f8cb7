"""Equality, equivalence and order of items, https://hl7.org/fhirpath/N1/#equality."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, DecimalException
from typing import Any

from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.items import Collection, Item, Node, to_json, to_system
from conformance.fhirpath.model import ancestors
from conformance.fhirpath.quantity import Quantity, align_equivalent, compare
from conformance.fhirpath.temporal import Temporal


def is_number(value: Any) -> bool:
    """Tell whether ``value`` is an Integer, Long or Decimal."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _meet(a: Any, b: Any) -> tuple[Any, Any]:
    """Read a number as a dimensionless quantity where the other side is a quantity."""
    if isinstance(a, Quantity) and is_number(b):
        return a, Quantity(Decimal(b), "1", calendar=False)
    if isinstance(b, Quantity) and is_number(a):
        return Quantity(Decimal(a), "1", calendar=False), b
    return a, b


def equal(left: Item, right: Item) -> bool | None:
    """Return whether two items are equal; None when their precision or units leave it open."""
    # an element's id and extensions are its children, too
    if (
        isinstance(left, Node)
        and isinstance(right, Node)
        and (left.extra or right.extra)
        and not _same_json(left.extra, right.extra)
    ):
        return False
    a, b = _meet(to_system(left), to_system(right))
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        order = compare(a, b)
        return None if order is None else order == 0
    if isinstance(a, Temporal) and isinstance(b, Temporal):
        if (a.kind == "Time") != (b.kind == "Time"):
            return False
        order = a.compare(b)
        return None if order is None else order == 0
    if is_number(a) and is_number(b):
        return bool(a == b)
    if isinstance(a, Node) or isinstance(b, Node):
        return isinstance(left, Node) and isinstance(right, Node) and _same_json(left.value, right.value)
    if a is None and b is None and isinstance(left, Node) and isinstance(right, Node):
        return True
    return type(a) is type(b) and a == b


def _same_json(a: Any, b: Any) -> bool:
    if type(a) is dict and type(b) is dict:
        return a.keys() == b.keys() and all(_same_json(value, b[key]) for key, value in a.items())
    if type(a) is list and type(b) is list:
        return len(a) == len(b) and all(map(_same_json, a, b))
    if is_number(a) and is_number(b):
        return bool(a == b)
    return type(a) is type(b) and a == b


def frozen(value: Any) -> Any:
    """Return a hashable stand-in for a JSON value: two are equal exactly if the values are."""
    if type(value) is dict:
        return frozenset((key, frozen(entry)) for key, entry in value.items())
    if type(value) is list:
        return tuple(map(frozen, value))
    # Python takes True for 1
    return ("boolean", value) if type(value) is bool else value


def equal_collections(left: Collection, right: Collection) -> bool | None:
    """Return whether two collections hold equal items in the same order; None when either is empty or it is open."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    unknown = False
    for a, b in zip(left, right, strict=True):
        same = equal(a, b)
        if same is False:
            return False
        unknown = unknown or same is None
    return None if unknown else True


def equivalent(left: Item, right: Item) -> bool:
    """Return whether two items are equivalent: never open, blind to case, trailing digits and order."""
    a, b = _meet(to_system(left), to_system(right))
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        aligned = align_equivalent(a, b)
        return aligned is not None and _equivalent_numbers(aligned[0].value, aligned[1].value)
    if isinstance(a, Temporal) and isinstance(b, Temporal):
        return (a.kind == "Time") == (b.kind == "Time") and a.compare(b) == 0
    return _equivalent_json(to_json(a), to_json(b))


def _equivalent_json(a: Any, b: Any) -> bool:
    if is_number(a) and is_number(b):
        return _equivalent_numbers(Decimal(a), Decimal(b))
    if type(a) is str and type(b) is str:
        return _folded(a) == _folded(b)
    if type(a) is dict and type(b) is dict:
        return a.keys() == b.keys() and all(_equivalent_json(value, b[key]) for key, value in a.items())
    if type(a) is list and type(b) is list:
        return _match_all(a, b, _equivalent_json)
    return type(a) is type(b) and bool(a == b)


def _folded(text: str) -> str:
    return "".join(" " if char.isspace() else char for char in text).casefold()


def _digits_after_point(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _equivalent_numbers(a: Decimal, b: Decimal) -> bool:
    step = Decimal(1).scaleb(-min(_digits_after_point(a), _digits_after_point(b)))
    try:
        return a.quantize(step, ROUND_HALF_UP) == b.quantize(step, ROUND_HALF_UP)
    except DecimalException:  # more digits than the arithmetic carries
        return a == b


def _match_all(left: list[Any], right: list[Any], same: Any) -> bool:
    """Tell whether every item of one list pairs with its own item of the other, in any order."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for a in left:
        at = next((i for i, b in enumerate(rest) if same(a, b)), None)
        if at is None:
            return False
        del rest[at]
    return True


def equivalent_collections(left: Collection, right: Collection) -> bool:
    """Return whether two collections hold equivalent items, in any order."""
    return _match_all(left, right, equivalent)


def contains(collection: Iterable[Item], item: Item) -> bool:
    """Tell whether ``collection`` has an item surely equal to ``item``."""
    return any(equal(other, item) for other in collection)


def distinct(items: Collection) -> Collection:
    """Return ``items`` without those equal to an earlier one."""
    if len(items) < 2:  # noqa: PLR2004 (nothing to compare)
        return items
    kept: Collection = []
    loose: Collection = []  # values whose equality is more than being the same
    seen: set[Any] = set()
    for item in items:
        value = to_system(item)
        if value is None or isinstance(value, Temporal | Quantity) or (isinstance(item, Node) and item.extra):
            if not contains(kept, item):
                kept.append(item)
                loose.append(item)
            continue
        key = frozen(to_json(value))
        if key not in seen and not contains(loose, item):
            seen.add(key)
            kept.append(item)
    return kept


def order(left: Item, right: Item) -> int | None:
    """Return -1, 0 or 1 for two items of comparable types, None when open; raises FHIRPathError for other types."""
    a, b = _meet(to_system(left), to_system(right))
    if a is None or b is None:
        return None
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        return compare(a, b)
    if isinstance(a, Temporal) and isinstance(b, Temporal):
        return a.compare(b)
    if (is_number(a) and is_number(b)) or (type(a) is str and type(b) is str):
        return bool(a > b) - bool(a < b)
    if _is_quantity(a) and _is_quantity(b):
        return _order_of_amounts(a.value, b.value)
    raise FHIRPathError(f"cannot compare {_kind(a)} with {_kind(b)}")


def _is_quantity(value: Any) -> bool:
    return isinstance(value, Node) and value.type_name is not None and "Quantity" in ancestors(value.type_name)


def _order_of_amounts(a: dict[str, Any], b: dict[str, Any]) -> int | None:
    """Return the order of two FHIR Quantities whose unit isn't UCUM's: open unless both state the same one."""
    left: Any = a.get("value")
    right: Any = b.get("value")
    if any(a.get(key) != b.get(key) for key in ("system", "code", "unit")) or "comparator" in a or "comparator" in b:
        return None
    if not is_number(left) or not is_number(right):
        return None
    return bool(left > right) - bool(left < right)


def _kind(value: Any) -> str:
    return value.type_name or "an object" if isinstance(value, Node) else type(value).__name__
