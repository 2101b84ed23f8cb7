"""Functions on whether items exist, https://hl7.org/fhirpath/N1/#existence."""

from __future__ import annotations

from conformance.fhirpath.equality import contains, distinct
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Expr, Frame
from conformance.fhirpath.functions.registry import function
from conformance.fhirpath.items import Collection, Item, to_system
from conformance.fhirpath.operands import boolean


@function("empty")
def empty(_frame: Frame, items: Collection) -> Collection:
    """Tell whether there is no item."""
    return [not items]


@function("exists", 0, 1, lazy=True)
def exists(frame: Frame, items: Collection, criterion: Expr | None = None) -> Collection:
    """Tell whether there is an item, one that meets ``criterion`` if given."""
    if criterion is None:
        return [bool(items)]
    return [any(boolean(frame.apply(criterion, item, i)) for i, item in enumerate(items))]


@function("all", 1, lazy=True)
def all_(frame: Frame, items: Collection, criterion: Expr) -> Collection:
    """Tell whether every item meets ``criterion``."""
    return [all(boolean(frame.apply(criterion, item, i)) for i, item in enumerate(items))]


@function("not")
def not_(_frame: Frame, items: Collection) -> Collection:
    """Return the negation of the input."""
    found = boolean(items, "the input of not()")
    return [] if found is None else [not found]


def _booleans(items: list[Item], name: str) -> list[bool]:
    values = [to_system(item) for item in items]
    found = [value for value in values if isinstance(value, bool)]
    if len(found) < len(values):
        raise FHIRPathError(f"the input of {name}() must be Booleans")
    return found


@function("allTrue")
def all_true(_frame: Frame, items: Collection) -> Collection:
    """Tell whether all items are true."""
    return [all(_booleans(items, "allTrue"))]


@function("anyTrue")
def any_true(_frame: Frame, items: Collection) -> Collection:
    """Tell whether an item is true."""
    return [any(_booleans(items, "anyTrue"))]


@function("allFalse")
def all_false(_frame: Frame, items: Collection) -> Collection:
    """Tell whether all items are false."""
    return [not any(_booleans(items, "allFalse"))]


@function("anyFalse")
def any_false(_frame: Frame, items: Collection) -> Collection:
    """Tell whether an item is false."""
    return [not all(_booleans(items, "anyFalse"))]


@function("subsetOf", 1)
def subset_of(_frame: Frame, items: Collection, other: Collection) -> Collection:
    """Tell whether ``other`` contains every item."""
    return [all(contains(other, item) for item in items)]


@function("supersetOf", 1)
def superset_of(_frame: Frame, items: Collection, other: Collection) -> Collection:
    """Tell whether the input contains every item of ``other``."""
    return [all(contains(items, item) for item in other)]


@function("count")
def count(_frame: Frame, items: Collection) -> Collection:
    """Return the number of items."""
    return [len(items)]


@function("distinct")
def distinct_(_frame: Frame, items: Collection) -> Collection:
    """Return the items without duplicates."""
    return distinct(items)


@function("isDistinct")
def is_distinct(_frame: Frame, items: Collection) -> Collection:
    """Tell whether no two items are equal."""
    return [len(distinct(items)) == len(items)]
