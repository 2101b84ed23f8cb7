"""Constraints (invariants) compiled for the elements they are on, https://hl7.org/fhir/R4/conformance-rules.html#constraints.

``compile_constraint("name.exists() or telecom.exists()", "Patient.contact")`` gives a check that a validator calls
for each element: ``check(value, scope)``. One :class:`ConstraintScope` serves all elements of a resource.

An empty result breaks no constraint: elements may be absent. But two values that are there and can't be compared, as dates
of different precision, are not in the order that a constraint asks for: a period from 2023-06-21 to 2023-06-21T06:20:00Z breaks per-1,
which only R5 words so that it may pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from conformance.definitions import resource_types
from conformance.fhirpath.frame import Hooks, Resolve
from conformance.fhirpath.model import ABSTRACT_RESOURCES
from conformance.fhirpath.parser import parse
from conformance.fhirpath.projection import NotStatic
from conformance.fhirpath.shortcuts import find_shortcut
from conformance.fhirpath.static_logic import compile_logic, general_boolean
from conformance.fhirpath.static_paths import Context, NeedsGeneral

_NO_HOOKS = Hooks()
# Two of R4's expressions fail on valid resources, so they are read as later releases have them: que-7 asks for FHIRPath's own
# Boolean, which no FHIR element is, and tim-9 asks whether several values are in a list, which is an error.
_CORRECTED = {
    "operator = 'exists' implies (answer is Boolean)": "operator = 'exists' implies (answer is boolean)",
    "offset.empty() or (when.exists() and ((when in ('C' | 'CM' | 'CD' | 'CV')).not()))": (
        "offset.empty() or (when.exists() and when.all(($this in ('C' | 'CM' | 'CD' | 'CV')).not()))"
    ),
}


@dataclass(slots=True)
class ConstraintScope:
    """What a constraint sees besides its element: make one per resource and use it for every element of it.

    ``resource`` is ``%resource``, the innermost resource around the element; ``root`` is ``%rootResource``, the
    resource that contains it, or the same. ``environment`` defines further ``%name`` variables.
    """

    resource: dict[str, Any]
    root: dict[str, Any]
    resolve: Resolve | None = None
    hooks: Hooks = _NO_HOOKS
    environment: Mapping[str, Any] = field(default_factory=dict)


class Check(Protocol):
    """A compiled constraint: ``check(value, scope)``, or ``check(value, scope, extra)`` for a primitive.

    ``value`` is the JSON value of one element (one entry of a list), None for a primitive that has only extensions;
    ``extra`` is the object under ``_name`` that goes with it. Both come from a resource whose structure was checked (names,
    types and cardinalities of elements). False means that the constraint is broken: its expression is
    false. An empty result breaks nothing: R4 writes ``fullUrl.contains('/_history/').not()`` for elements that may be
    absent. Raises FHIRPathError when the expression can't be evaluated on this element.
    """

    def __call__(self, value: Any, scope: ConstraintScope, extra: Any = None, /) -> bool:
        """Tell whether the element meets the constraint."""


@lru_cache(maxsize=16384)
def compile_constraint(expression: str, context_type: str) -> Check:
    """Return the check of a constraint's expression for elements of the FHIR type ``context_type``.

    ``context_type`` is the name of a type or the path of a backbone element (``Patient.contact``); a resource goes by
    its own ``resourceType``. Raises FHIRPathSyntaxError, or FHIRPathError for what does not exist.
    """
    expression = _CORRECTED.get(expression, expression)
    tree = parse(expression)
    generally = compile_generally(expression, context_type)
    shortcut = find_shortcut(tree, context_type)
    try:
        false = shortcut or compile_logic(tree, Context(context_type, _resource_type(context_type))).false
    except NotStatic:
        return generally

    def check(value: Any, scope: ConstraintScope, extra: Any = None, /) -> bool:
        if value is None:
            return generally(value, scope, extra)
        try:
            return not false(value, scope)
        except (NeedsGeneral, AttributeError, TypeError):  # the latter two for a structure that isn't what it should be
            return generally(value, scope, extra)

    return check


def _resource_type(context_type: str) -> str | None:
    """Return the type of ``%resource`` for an element of a type: known of resources and their backbone elements."""
    name = context_type.partition(".")[0]
    return name if name in resource_types() and name not in ABSTRACT_RESOURCES else None


def compile_generally(expression: str, context_type: str) -> Check:
    """Return what :func:`compile_constraint` would, with everything left to the general engine."""
    find: Callable[..., bool | None] = general_boolean(parse(expression), context_type)

    def check(value: Any, scope: ConstraintScope, extra: Any = None, /) -> bool:
        return find(value, scope, extra) is not False

    return check
