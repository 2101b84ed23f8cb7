"""Expressions of search parameters compiled for one type, https://hl7.org/fhir/R4/searchparameter.html."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from conformance.definitions import types
from conformance.fhirpath.compiler import compile_expression
from conformance.fhirpath.equality import frozen
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.evaluation import evaluate_compiled
from conformance.fhirpath.items import Item, Node, resource_node, to_json, type_of
from conformance.fhirpath.parser import parse
from conformance.fhirpath.projection import NotStatic, Pairs, Project, choice, project, routes
from conformance.fhirpath.quantity import Quantity
from conformance.fhirpath.references import referenced_type
from conformance.fhirpath.syntax import Binary, Expression
from conformance.fhirpath.temporal import Temporal

_PRIMITIVES = {
    "Boolean": "boolean",
    "String": "string",
    "Integer": "integer",
    "Long": "integer",
    "Decimal": "decimal",
    "Date": "date",
    "DateTime": "dateTime",
    "Time": "time",
    "Quantity": "Quantity",
}
# up to so many values, comparing each with each is quicker than hashing; beyond, its square would tell
_COMPARED = 24


@lru_cache(maxsize=16384)
def compile_path(expression: str, type_name: str) -> Callable[[dict[str, Any]], list[tuple[str, Any]]]:
    """Return a function from a JSON value of FHIR type ``type_name`` to its (FHIR type, JSON value) pairs.

    Branches of a union that start at another type cost nothing. ``as`` filters, as the expressions of R4 expect.
    ``resolve() is X`` is decided from the reference itself. Elements without a value are left out. Raises
    FHIRPathSyntaxError, or FHIRPathError for an unknown element, type or function.
    """
    if type_name not in types():
        raise FHIRPathError(f"there is no type {type_name!r}")
    branches = _branches(parse(expression))
    parts = [part for branch in branches for part in _compile_branch(branch, type_name)]
    if not parts:
        return lambda _root: []
    if len(parts) == 1 and len(branches) == 1:
        return parts[0]
    return _united(parts) if len(branches) > 1 else _concatenated(parts)


def _branches(tree: Expression) -> list[Expression]:
    """Return the operands of the unions at the top of ``tree``."""
    found: list[Expression] = []
    while isinstance(tree, Binary) and tree.operator == "|":
        found.append(tree.right)
        tree = tree.left
    return [tree, *reversed(found)]


def _compile_branch(branch: Expression, type_name: str) -> list[Project]:
    try:
        found = routes(branch, type_name)
    except NotStatic:
        return [compile_generally(branch, type_name)]
    one = choice(found) if len(found) > 1 else None
    return [one] if one is not None else [project(route) for route in found]


def _concatenated(parts: list[Project]) -> Project:
    return lambda root: [pair for part in parts for pair in part(root)]


def _united(parts: list[Project]) -> Project:
    first, *rest = parts

    def unite(root: dict[str, Any]) -> Pairs:
        found = first(root)
        for part in rest:
            more = part(root)
            if more:
                found = found + more if found else more
        return found if len(found) < 2 else _distinct(found)  # noqa: PLR2004 (nothing to compare)

    return unite


def _distinct(pairs: Pairs) -> Pairs:
    kept: Pairs = []
    if len(pairs) <= _COMPARED:
        for pair in pairs:
            value = pair[1]
            for _, other in kept:
                # Python takes True for 1
                if other == value and (type(other) is bool) is (type(value) is bool):
                    break
            else:
                kept.append(pair)
        return kept
    seen: set[Any] = set()
    for pair in pairs:
        key = frozen(pair[1])
        if key not in seen:
            seen.add(key)
            kept.append(pair)
    return kept


def compile_generally(tree: Expression, type_name: str) -> Project:
    """Return what :func:`compile_path` would, with every step left to the general engine."""
    run = compile_expression(tree)

    def evaluate_generally(root: dict[str, Any]) -> Pairs:
        node = resource_node(root) if "resourceType" in root else Node(root, type_name)

        def stand_in(reference: str) -> dict[str, Any] | None:
            target = referenced_type(reference, root)
            return {"resourceType": target} if target else None

        found = evaluate_compiled(run, node, resolve=stand_in, as_filters=True)
        return [pair for item in found if (pair := _pair(item))[1] is not None]

    return evaluate_generally


def _pair(item: Item) -> tuple[str, Any]:
    """Return the FHIR type and JSON form of an item; System values become the FHIR primitive of their kind."""
    namespace, name = type_of(item)
    if namespace == "System":
        name = _PRIMITIVES.get(name, "Element")
    if isinstance(item, Temporal):
        return name, str(item)
    if isinstance(item, Quantity):
        return name, {"value": item.value, "unit": item.unit}
    return name, to_json(item)
