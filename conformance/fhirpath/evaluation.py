"""Evaluating any expression on a resource, https://hl7.org/fhirpath/N1/."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from conformance.fhirpath.compiler import compile_text
from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Expr, Frame, Hooks, Resolve, as_collection
from conformance.fhirpath.items import Collection, Node, resource_node, to_json

_NO_HOOKS = Hooks()


def evaluate_compiled(
    run: Expr,
    root: Node,
    *,
    context: Any = None,
    environment: Mapping[str, Any] = MappingProxyType({}),
    resolve: Resolve | None = None,
    hooks: Hooks = _NO_HOOKS,
    as_filters: bool = False,
    resource: Node | None = None,
) -> Collection:
    """Run a compiled expression on ``root`` (or on ``context``, where given) and return the items with their types.

    ``resource`` is ``%resource`` where it isn't ``root``: a contained one.
    """
    start: Collection = [root] if context is None else as_collection(context)
    frame = Frame(root, start, environment, resolve, hooks, as_filters=as_filters, resource=resource)
    try:
        return run(frame)
    except RecursionError as error:
        raise FHIRPathError("the expression or the resource is nested too deeply") from error


def evaluate(
    expression: str,
    resource: dict[str, Any],
    *,
    context: Any = None,
    environment: Mapping[str, Any] = MappingProxyType({}),
    resolve: Resolve | None = None,
    hooks: Hooks = _NO_HOOKS,
    context_type: str | None = None,
    as_filters: bool = False,
) -> list[Any]:
    """Evaluate ``expression`` on ``resource`` and return the resulting values.

    Elements come back as their JSON value, and an element without a value (only extensions) is left out; System values
    as bool, int, Decimal, str, Temporal or Quantity. ``context`` is the part of the resource the expression starts at
    (``%context``; default the resource), of FHIR type ``context_type`` where that is known (``Patient.contact``).
    ``environment`` defines further ``%name`` variables. ``resolve`` finds a resource by reference. ``as_filters`` lets
    ``as`` pick from several items, which N1 forbids and R4's own invariant dom-3 does. Raises FHIRPathSyntaxError and
    FHIRPathError.
    """
    if context is not None and context_type is not None:
        context = [Node(entry, context_type) for entry in (context if isinstance(context, list) else [context])]
    found = evaluate_compiled(
        compile_text(expression),
        resource_node(resource),
        context=context,
        environment=environment,
        resolve=resolve,
        hooks=hooks,
        as_filters=as_filters,
    )
    return [value for value in map(to_json, found) if value is not None]
