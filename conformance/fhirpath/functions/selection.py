"""Filtering, projection, subsetting, combining and navigation, https://hl7.org/fhirpath/N1/#filtering-and-projection."""

from __future__ import annotations

from conformance.fhirpath.equality import contains, distinct
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Expr, Frame
from conformance.fhirpath.functions.registry import function
from conformance.fhirpath.items import Collection, Item, all_children, is_of_type
from conformance.fhirpath.operands import boolean, integer, single

Types = tuple[tuple[str, str], ...]
# repeat() stops here rather than exhaust memory on an expression that always finds something new
MAXIMUM_REPEATED = 100_000


@function("where", 1, lazy=True)
def where(frame: Frame, items: Collection, criterion: Expr) -> Collection:
    """Return the items that meet ``criterion``."""
    return [item for i, item in enumerate(items) if boolean(frame.apply(criterion, item, i), "a criterion")]


@function("select", 1, lazy=True)
def select(frame: Frame, items: Collection, projection: Expr) -> Collection:
    """Return the results of ``projection`` for each item, in one collection."""
    return [found for i, item in enumerate(items) for found in frame.apply(projection, item, i)]


@function("repeat", 1, lazy=True)
def repeat(frame: Frame, items: Collection, projection: Expr) -> Collection:
    """Apply ``projection`` again to all it newly finds, until there is nothing new."""
    found: Collection = []
    level: list[Item] = items
    while level:
        candidates = [new for i, item in enumerate(level) for new in frame.apply(projection, item, i)]
        known = len(found)
        found = distinct(found + candidates)
        level = found[known:]
        if len(found) > MAXIMUM_REPEATED:
            raise FHIRPathError(f"repeat() found more than {MAXIMUM_REPEATED} items")
    return found


@function("ofType", 1, types=True)
def of_type(_frame: Frame, items: Collection, wanted: Types) -> Collection:
    """Return the items of a type."""
    return [item for item in items if is_of_type(item, wanted)]


@function("as", 1, types=True)
def as_(frame: Frame, items: Collection, wanted: Types) -> Collection:
    """Return the item if it is of a type."""
    if frame.as_filters:
        return of_type(frame, items, wanted)
    item = single(items, "the input of as()")
    return [item] if item is not None and is_of_type(item, wanted) else []


@function("is", 1, types=True)
def is_(_frame: Frame, items: Collection, wanted: Types) -> Collection:
    """Tell whether the item is of a type."""
    item = single(items, "the input of is()")
    return [] if item is None else [is_of_type(item, wanted)]


@function("single")
def single_(_frame: Frame, items: Collection) -> Collection:
    """Return the only item; several are an error."""
    single(items, "the input of single()")
    return items


@function("first")
def first(_frame: Frame, items: Collection) -> Collection:
    """Return the first item."""
    return items[:1]


@function("last")
def last(_frame: Frame, items: Collection) -> Collection:
    """Return the last item."""
    return items[-1:]


@function("tail")
def tail(_frame: Frame, items: Collection) -> Collection:
    """Return all items but the first."""
    return items[1:]


@function("skip", 1)
def skip(_frame: Frame, items: Collection, number: Collection) -> Collection:
    """Return all items but the first ``number``."""
    return items[max(0, integer(number, "the argument of skip()") or 0) :]


@function("take", 1)
def take(_frame: Frame, items: Collection, number: Collection) -> Collection:
    """Return the first ``number`` items."""
    return items[: max(0, integer(number, "the argument of take()") or 0)]


@function("intersect", 1)
def intersect(_frame: Frame, items: Collection, other: Collection) -> Collection:
    """Return the items that are in both collections, without duplicates."""
    return distinct([item for item in items if contains(other, item)])


@function("exclude", 1)
def exclude(_frame: Frame, items: Collection, other: Collection) -> Collection:
    """Return the items that are not in ``other``, with duplicates and in order."""
    return [item for item in items if not contains(other, item)]


@function("union", 1)
def union(_frame: Frame, items: Collection, other: Collection) -> Collection:
    """Return the items of both collections without duplicates."""
    return distinct(items + other)


@function("combine", 1)
def combine(_frame: Frame, items: Collection, other: Collection) -> Collection:
    """Return the items of both collections."""
    return items + other


@function("children")
def children(_frame: Frame, items: Collection) -> Collection:
    """Return the child elements of all items."""
    return [child for item in items for child in all_children(item)]


@function("descendants")
def descendants(frame: Frame, items: Collection) -> Collection:
    """Return the elements below all items, level by level; those of ``%resource`` are looked up once an evaluation."""
    if len(items) == 1 and items[0] is frame.resource:
        found = frame.kept.get(_descendants)
        if found is None:
            found = frame.kept[_descendants] = _descendants(items)
        return found
    return _descendants(items)


def _descendants(items: Collection) -> Collection:
    found: Collection = []
    level = items
    while level:
        level = [child for item in level for child in all_children(item)]
        found.extend(level)
    return found
