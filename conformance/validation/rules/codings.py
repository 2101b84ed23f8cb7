"""Codings: systems are absolute, and have their codes: https://hl7.org/fhir/R4/datatypes.html#Coding."""

from __future__ import annotations

from conformance.definitions import FHIR_VERSION
from conformance.issues import Severity
from conformance.primitives import describe
from conformance.validation.run import Json, Run, Where


def check_coding(coding: Json, where: Where, run: Run) -> None:
    """Report a system that is none, and a code or display that a known system doesn't have."""
    _check(coding, where, run, "error")


def check_quantity(quantity: Json, where: Where, run: Run) -> None:
    """Report the same of a Quantity's unit; R4's own examples have many that aren't in their system, so as a warning."""
    _check(quantity, where, run, "warning")


def _check(coding: Json, where: Where, run: Run, severity: Severity) -> None:
    system, code = coding.get("system"), coding.get("code")
    if type(system) is not str:
        return
    place = (where, "system", None)
    if ":" not in system:
        run.report("error", "value", f"A system is an absolute URI, not {describe(system)} (coding-system)", place)
        return
    if "/ValueSet/" in system and run.plans.terminology.membership(system) is not None:
        run.report("error", "value", f"{system} is a value set, not a code system (coding-system)", place)
        return
    if type(code) is not str:
        return
    version, display = coding.get("version"), coding.get("display")
    told = version if type(version) is str else None
    terminology = run.plans.terminology
    answer = terminology.check_coding(system, code, told, display if type(display) is str else None)
    if answer.member is False and told is None and terminology.check_coding(system, code, FHIR_VERSION).member:
        return  # who names no version may mean the one that came with FHIR, whatever was dropped since
    if answer.member is False:
        message = answer.message or f"The code system {system} has no code {describe(code)}"
        run.report(severity, "code-invalid", f"{message} (coding-code)", (where, "code", None))
    elif answer.message and answer.member:
        run.report("warning", "code-invalid", f"{answer.message} (coding-display)", (where, "display", None))
