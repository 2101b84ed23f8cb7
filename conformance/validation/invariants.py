"""Invariants: constraints by FHIRPath with their severity, https://hl7.org/fhir/R4/conformance-rules.html#constraints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from conformance.fhirpath import FHIRPathError
from conformance.fhirpath.constraints import Check, compile_constraint
from conformance.issues import Severity
from conformance.validation.run import Item, Json, Run

STRUCTURAL = frozenset({"ele-1", "ext-1", "dom-2"})
"""What :mod:`conformance.decode` has checked before: these hold in each resource of sound structure."""

RULED = frozenset({"txt-1", "txt-2", "dom-3"})
"""What :mod:`conformance.validation.rules` says in more detail."""


class Invariant(NamedTuple):
    """A compiled constraint; ``severity`` is error or warning."""

    key: str
    severity: Severity
    human: str
    test: Check


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
        compiled[key] = Invariant(key, severity, constraint.get("human", ""), test)
    return list(compiled.values())


def _failing(error: FHIRPathError) -> Check:
    def fail(*_: object) -> bool:
        raise error

    return fail


def check_invariants(invariants: Iterable[Invariant], item: Item, run: Run) -> None:
    """Report each invariant that an element does not meet, or that cannot be evaluated on it."""
    value, extra, _, where = item
    scope = run.scope
    for key, severity, human, test in invariants:
        try:
            if test(value, scope, extra):
                continue
        except FHIRPathError as error:
            run.report("warning", "exception", f"The constraint could not be evaluated here: {error} ({key})", where)
            continue
        run.report(severity, "invariant", f"{human} ({key})", where)
