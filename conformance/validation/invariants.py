"""Invariants: constraints by FHIRPath with their severity, https://hl7.org/fhir/R4/conformance-rules.html#constraints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from conformance.fhirpath import Expression, FHIRPathError, parse
from conformance.fhirpath.compiler import compile_expression
from conformance.fhirpath.constraints import Check, compile_constraint
from conformance.fhirpath.evaluation import evaluate_compiled
from conformance.fhirpath.items import Collection, Node, resource_node
from conformance.fhirpath.syntax import Binary, operands
from conformance.issues import Severity
from conformance.validation.run import Item, Json, Run

STRUCTURAL = frozenset({"ele-1", "ext-1", "dom-2"})
"""What :mod:`conformance.decode` has checked before: these hold in each resource of sound structure."""

RULED = frozenset({"txt-1", "txt-2", "dom-3"})
"""What :mod:`conformance.validation.rules` says in more detail."""

_COMPARISONS = frozenset({"<", "<=", ">", ">="})


class Invariant(NamedTuple):
    """A compiled constraint; ``severity`` is error or warning."""

    key: str
    severity: Severity
    human: str
    test: Check
    expression: str


def compile_invariants(constraints: Iterable[Json], type_name: str, known: frozenset[str]) -> list[Invariant]:
    """Return the checks of an element's constraints, but for those whose keys are ``known`` to be checked elsewhere.

    One that cannot be compiled is reported wherever it would have been checked.
    """
    compiled: dict[str, Invariant] = {}
    for constraint in constraints:
        key, expression = constraint.get("key", ""), constraint.get("expression")
        if key in known or not expression:
            continue
        severity: Severity = "warning" if constraint.get("severity") == "warning" else "error"
        try:
            test = compile_constraint(expression, type_name)
        except FHIRPathError as error:
            test = _failing(error)
        compiled[key] = Invariant(key, severity, constraint.get("human", ""), test, expression)
    return list(compiled.values())


def _failing(error: FHIRPathError) -> Check:
    def fail(*_: object) -> bool:
        raise error

    return fail


def check_invariants(invariants: Iterable[Invariant], item: Item, run: Run) -> None:
    """Report each invariant that an element does not meet, or that cannot be evaluated on it."""
    value, extra, _, where = item
    scope = run.scope
    for invariant in invariants:
        try:
            if invariant.test(value, scope, extra) or _is_silent(invariant, item, run):
                continue
        except FHIRPathError as error:
            message = f"The constraint could not be evaluated here: {error} ({invariant.key})"
            run.report("warning", "exception", message, where)
            continue
        run.report(invariant.severity, "invariant", f"{invariant.human} ({invariant.key})", where)


def _is_silent(invariant: Invariant, item: Item, run: Run) -> bool:
    """Tell whether an expression that is not true is not false either, but empty since something isn't there.

    R4's own constraints rely on it that this is no violation: ref-1 is empty for every reference without ``reference``.
    But where what is compared is there, and cannot be told apart (``2020-01`` and ``2020-01-15``), nothing is met.
    """
    parsed = parse(invariant.expression)
    return not _evaluate(parsed, item, run) and not any(
        _evaluate(one.left, item, run) and _evaluate(one.right, item, run) and not _evaluate(one, item, run)
        for one in _comparisons(parsed)
    )


def _comparisons(parsed: Expression) -> Iterator[Binary]:
    """Yield the comparisons that are evaluated on the element itself."""
    if isinstance(parsed, Binary):
        if parsed.operator in _COMPARISONS:
            yield parsed
        for part in operands(parsed):
            yield from _comparisons(part)


def _evaluate(parsed: Expression, item: Item, run: Run) -> Collection:
    value, extra, type_name, _ = item
    scope = run.scope
    return evaluate_compiled(
        compile_expression(parsed),
        resource_node(scope.root),
        context=Node(value, type_name, extra),
        environment=scope.environment,
        resolve=scope.resolve,
        hooks=scope.hooks,
        as_filters=True,
        resource=resource_node(scope.resource),
    )
