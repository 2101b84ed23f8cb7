"""Which parts of a criterion are the same for every item, so that one evaluation serves all.

FHIR's invariant dom-3 asks for ``%resource.descendants()`` within ``contained.where(…)``; evaluated anew for each
contained resource it would cost the square of the resource's size. https://hl7.org/fhir/R4/domainresource.html#invs
"""

from __future__ import annotations

from conformance.fhirpath.frame import Expr, Frame, is_fixed_variable
from conformance.fhirpath.functions import FUNCTIONS
from conformance.fhirpath.items import Collection
from conformance.fhirpath.syntax import Expression, Invocation, Literal, Member, Variable, operands

# these see more than their input and arguments, or are called for their effect
_UNSTABLE = frozenset({"iif", "trace", "aggregate", "resolve", "defineVariable"})


def is_same_for_all_items(node: Expression) -> bool:
    """Tell whether ``node`` is worth keeping and depends on neither ``$this`` nor ``$index`` nor ``$total``."""
    return not isinstance(node, Literal | Variable) and _is_fixed(node, inside=False)


def _is_fixed(node: Expression, *, inside: bool) -> bool:
    """Tell whether ``node`` ignores the outer focus; ``inside`` the argument of a lazy function, it has its own."""
    match node:
        case Variable(name):
            return is_fixed_variable(name) or (inside and name in {"$this", "$index"})
        case Member(None, _):
            return inside
        case Invocation(target, name, arguments):
            declared = FUNCTIONS.get(name)
            if declared is None or name in _UNSTABLE or (target is None and not inside):
                return False
            if target is not None and not _is_fixed(target, inside=inside):
                return False
            return declared.types or all(_is_fixed(a, inside=inside or declared.lazy) for a in arguments)
    return all(_is_fixed(child, inside=inside) for child in operands(node))


def defines_variable(node: Expression) -> bool:
    """Tell whether ``node`` calls ``defineVariable()``, whose variable must not leave the operand it stands in."""
    is_definition = isinstance(node, Invocation) and node.name == "defineVariable"
    return is_definition or any(defines_variable(child) for child in operands(node))


def confine(run: Expr) -> Expr:
    """Return ``run`` so that variables it defines are unknown after it."""

    def confined(frame: Frame) -> Collection:
        defined = frame.defined
        try:
            return run(frame)
        finally:
            frame.defined = defined

    return confined


def keep(run: Expr) -> Expr:
    """Return ``run`` so that it is evaluated once per evaluation of the whole expression."""

    def recall(frame: Frame) -> Collection:
        found = frame.kept.get(run)
        if found is None:
            found = frame.kept[run] = run(frame)
        return found

    return recall
