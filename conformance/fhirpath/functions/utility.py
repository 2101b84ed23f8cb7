"""Utility functions of FHIRPath and those FHIR adds.

https://hl7.org/fhirpath/N1/#utility-functions, https://hl7.org/fhir/R4/fhirpath.html#functions.
"""

from __future__ import annotations

from typing import Any

from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Expr, Frame
from conformance.fhirpath.functions.registry import function
from conformance.fhirpath.items import (
    Collection,
    Item,
    Node,
    children,
    has_value,
    resource_node,
    to_json,
    to_system,
    type_of,
)
from conformance.fhirpath.narrative import is_safe_narrative
from conformance.fhirpath.operands import boolean, single, text
from conformance.fhirpath.references import find_contained
from conformance.fhirpath.temporal import Temporal

# checkModifiers() takes any number of them
MAXIMUM_MODIFIERS = 100


@function("iif", 2, 3, lazy=True)
def iif(frame: Frame, items: Collection, criterion: Expr, then: Expr, otherwise: Expr | None = None) -> Collection:
    """Return ``then`` if ``criterion`` is true, else ``otherwise``; only the chosen one is evaluated."""
    item = single(items, "the input of iif()")

    def run(expression: Expr) -> Collection:
        return expression(frame) if item is None else frame.apply(expression, item, 0)

    if boolean(run(criterion), "the criterion of iif()"):
        return run(then)
    return run(otherwise) if otherwise is not None else []


@function("trace", 1, 2, lazy=True)
def trace(frame: Frame, items: Collection, name: Expr, projection: Expr | None = None) -> Collection:
    """Show the input, or a projection of it, to the trace hook, and return the input."""
    hook = frame.hooks.trace
    label = text(name(frame), "the name of trace()") or ""
    if hook is not None:
        shown = items
        if projection is not None:
            shown = [found for i, item in enumerate(items) for found in frame.apply(projection, item, i)]
        hook(label, [to_json(item) for item in shown])
    return items


@function("defineVariable", 1, 2, lazy=True)
def define_variable(frame: Frame, items: Collection, name: Expr, value: Expr | None = None) -> Collection:
    """Make ``%name`` known to what follows: the input, or ``value``, evaluated once with the input as ``$this``.

    Trial use, https://hl7.org/fhirpath/#definevariablename-string-expr-expression.
    """
    label = text(name(frame), "the name given to defineVariable()")
    if not label:
        raise FHIRPathError("defineVariable() needs a name")
    found = items
    if value is not None:
        focus, frame.focus = frame.focus, items
        try:
            found = value(frame)
        finally:
            frame.focus = focus
    frame.define(label, found)
    return items


@function("aggregate", 1, 2, lazy=True)
def aggregate(frame: Frame, items: Collection, aggregator: Expr, initial: Expr | None = None) -> Collection:
    """Fold the items into ``$total``."""
    outer = frame.total
    total = initial(frame) if initial is not None else []
    try:
        for i, item in enumerate(items):
            frame.total = total
            total = frame.apply(aggregator, item, i)
    finally:
        frame.total = outer
    return total


@function("now")
def now(frame: Frame, _items: Collection) -> Collection:
    """Return the moment of evaluation."""
    return [frame.now()]


@function("today")
def today(frame: Frame, _items: Collection) -> Collection:
    """Return the date of evaluation."""
    return [frame.now().date()]


@function("timeOfDay")
def time_of_day(frame: Frame, _items: Collection) -> Collection:
    """Return the time of evaluation."""
    return [Temporal("Time", frame.now().parts[3:])]


@function("type")
def type_(_frame: Frame, items: Collection) -> Collection:
    """Return namespace and name of the type of each item."""
    return [Node(dict(zip(("namespace", "name"), type_of(item), strict=True)), None) for item in items]


@function("extension", 1)
def extension(_frame: Frame, items: Collection, url: Collection) -> Collection:
    """Return the extensions with ``url`` of all items."""
    wanted = text(url, "the argument of extension()")
    found: Collection = []
    for item in items:
        if isinstance(item, Node):
            children(item, "extension", found)
    return [e for e in found if isinstance(e, Node) and type(e.value) is dict and e.value.get("url") == wanted]


@function("checkModifiers", 0, MAXIMUM_MODIFIERS)
def check_modifiers(_frame: Frame, items: Collection, *known: Collection) -> Collection:
    """Return the input unless an element has a modifier extension other than the ``known`` ones, which is an error."""
    urls = {text(url, "an argument of checkModifiers()") for url in known}
    found: Collection = []
    for item in items:
        if isinstance(item, Node):
            children(item, "modifierExtension", found)
    for extension_ in map(to_json, found):
        url = extension_.get("url") if type(extension_) is dict else None
        if url not in urls:
            raise FHIRPathError(f"an element has the modifier extension {url!r}, which is not one of those known")
    return items


@function("hasValue")
def has_value_(_frame: Frame, items: Collection) -> Collection:
    """Tell whether the input is a single primitive with a value."""
    return [len(items) == 1 and has_value(items[0])]


@function("getValue")
def get_value(_frame: Frame, items: Collection) -> Collection:
    """Return the System value of a single primitive that has one."""
    return [to_system(items[0])] if len(items) == 1 and has_value(items[0]) else []


@function("resolve")
def resolve(frame: Frame, items: Collection) -> Collection:
    """Return the resources that References, canonicals or uris in the input point to, as far as they are found."""
    found: Collection = []
    for item in items:
        value = to_json(item)
        target = value.get("reference") if type(value) is dict else value
        if type(target) is not str:
            continue
        root = frame.root.value
        if target.startswith("#"):
            resource = find_contained(target, root) if type(root) is dict else None
        else:
            resource = frame.resolve(target) if frame.resolve else None
        if resource is not None:
            found.append(resource_node(resource))
    return found


@function("htmlChecks")
def html_checks(_frame: Frame, items: Collection) -> Collection:
    """Tell whether the narrative keeps to the rules for XHTML in resources."""
    item = single(items, "the input of htmlChecks()")
    return [] if item is None else [is_safe_narrative(to_json(item))]


def _coded(items: Collection, what: str) -> Any:
    item: Item | None = single(items, what)
    return None if item is None else to_json(item)


@function("memberOf", 1)
def member_of(frame: Frame, items: Collection, value_set: Collection) -> Collection:
    """Tell whether a coded value is in a value set."""
    coded, url = _coded(items, "the input of memberOf()"), text(value_set, "the argument of memberOf()")
    if coded is None or url is None:
        return []
    if frame.hooks.member_of is None:
        raise FHIRPathError("memberOf() needs a terminology, and none was given")
    return [frame.hooks.member_of(coded, url)]


def _subsumes(frame: Frame, general: Collection, specific: Collection) -> Collection:
    above, below = _coded(general, "a code of subsumes()"), _coded(specific, "a code of subsumes()")
    if above is None or below is None:
        return []
    if frame.hooks.subsumes is None:
        raise FHIRPathError("subsumes() and subsumedBy() need a terminology, and none was given")
    return [frame.hooks.subsumes(above, below)]


@function("subsumes", 1)
def subsumes(frame: Frame, items: Collection, other: Collection) -> Collection:
    """Tell whether the input code is an ancestor of ``other``, or the same."""
    return _subsumes(frame, items, other)


@function("subsumedBy", 1)
def subsumed_by(frame: Frame, items: Collection, other: Collection) -> Collection:
    """Tell whether ``other`` is an ancestor of the input code, or the same."""
    return _subsumes(frame, other, items)


@function("conformsTo", 1)
def conforms_to(frame: Frame, items: Collection, profile: Collection) -> Collection:
    """Tell whether a resource conforms to a profile."""
    resource, url = _coded(items, "the input of conformsTo()"), text(profile, "the argument of conformsTo()")
    if resource is None or url is None:
        return []
    if frame.hooks.conforms_to is None:
        raise FHIRPathError("conformsTo() needs profiles, and none were given")
    return [frame.hooks.conforms_to(resource, url)]
