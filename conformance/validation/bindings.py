"""Bindings of coded elements to value sets, https://hl7.org/fhir/R4/terminologies.html#strength."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

from conformance.issues import Severity
from conformance.primitives import describe
from conformance.validation.run import Item, Json, Run
from conformance.validation.terminology import Terminology

_MAX_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
_SEVERITY: Mapping[str, Severity] = MappingProxyType(
    {"required": "error", "extensible": "warning", "preferred": "information"}
)
_MOST_ANSWERS = 2048
_CODED = frozenset({"code", "string", "uri", "Coding", "CodeableConcept", "Quantity"})

Check = Callable[[Item, Run], None]
Coded = tuple[str | None, str, str | None]
"""System, code and version of what is to be in a value set."""


def compile_bindings(binding: Json | None, types: tuple[str, ...], terminology: Terminology) -> list[Check]:
    """Return the checks of an ElementDefinition's binding: its value set by strength, and its maximum."""
    if not binding or not _CODED & set(types):
        return []
    checks: list[Check] = []
    strength = binding.get("strength")
    if isinstance(strength, str) and strength in _SEVERITY and "valueSet" in binding:
        checks.append(_Binding(binding["valueSet"], strength, terminology).check)
    for extension in binding.get("extension", ()):
        if extension.get("url") == _MAX_VALUE_SET:
            value_set = extension.get("valueCanonical") or extension.get("valueUri")
            if not isinstance(value_set, str):
                continue
            # Texts may stand for themselves under a maximum; codes may not lie outside of it.
            checks.append(_Binding(value_set, "maximum", terminology).check)
    return checks


class _Binding:
    """A value set that an element is bound to."""

    def __init__(self, value_set: str, strength: str, terminology: Terminology) -> None:
        self._value_set = value_set
        self._strength = strength
        self._severity: Severity = _SEVERITY.get(strength, "error")
        self._terminology = terminology
        self._members: frozenset[tuple[str, str]] | None = None
        self._codes: frozenset[str] | None = None
        self._ready = False
        # The set of definitions is what it is, so answers stay; resources say the same few codes again and again.
        self._ask = lru_cache(maxsize=_MOST_ANSWERS)(partial(terminology.check, value_set))

    def check(self, item: Item, run: Run) -> None:
        """Report an item whose codes are not in the value set."""
        value, _, type_name, where = item
        if not self._ready:
            self._prepare()
        if type(value) is str:
            if self._codes is None or value not in self._codes:
                self._judge([(None, value, None)], item, run)
            return
        if type(value) is not dict:
            return
        if type_name == "CodeableConcept":
            codings = value.get("coding")
            if type(codings) is not list or not codings:
                if self._strength == "required" and "text" in value:
                    message = f"A code from the value set {self._value_set} is required; a text alone is not enough"
                    run.report("error", "code-invalid", f"{message} (binding)", where)
                return
        elif type_name in ("Coding", "Quantity"):
            codings = [value]
        else:
            return
        members = self._members
        if members is not None:
            for coding in codings:
                if type(coding) is dict and _pair(coding) in members:
                    return
        coded = [c for c in map(_coded, codings) if c is not None]
        if coded:
            self._judge(coded, item, run)

    def _prepare(self) -> None:
        # Listing a value set takes time, so it waits until a resource has such an element.
        self._members = self._terminology.membership(self._value_set)
        if self._members is not None:
            self._codes = frozenset(code for _, code in self._members)
        self._ready = True

    def _judge(self, coded: list[Coded], item: Item, run: Run) -> None:
        """Ask the terminology, for there may be more to say than the list has, and report what it denies."""
        unknown: str | None = None
        for system, code, version in coded:
            answer = self._ask(system, code, version)
            if answer.member:
                return
            if answer.member is None:
                unknown = unknown or answer.message or "its codes can't be listed"
        shown = ", ".join(describe(code if system is None else f"{system}#{code}") for system, code, _ in coded)
        if unknown is not None:
            severity: Severity = "warning" if self._severity == "error" else "information"
            message = f"Whether {shown} is in the value set {self._value_set} can't be checked: {unknown}"
            run.report(severity, "not-supported", f"{message} (binding)", item[3])
            return
        message = f"{shown} is not in the value set {self._value_set} ({self._strength} binding)"
        run.report(self._severity, "code-invalid", message, item[3])


def _pair(coding: Json) -> tuple[Any, Any]:
    system, code = coding.get("system"), coding.get("code")
    return (system, code) if type(system) is str and type(code) is str else (None, None)


def _coded(coding: Any) -> Coded | None:
    if type(coding) is not dict or type(coding.get("code")) is not str:
        return None
    system, version = coding.get("system"), coding.get("version")
    # What names no system is in no value set, though a code element, whose system is implied, may be.
    return (system if type(system) is str else ""), coding["code"], (version if type(version) is str else None)


def is_bound(item: Item, value_set: str, terminology: Terminology) -> bool:
    """Tell whether an item has a code that is known to be in a value set."""
    value = item[0]
    if type(value) is str:
        return bool(terminology.check(value_set, None, value).member)
    codings = value.get("coding", [value]) if type(value) is dict else ()
    coded = [c for c in map(_coded, codings if type(codings) is list else ()) if c is not None]
    return any(terminology.check(value_set, system, code, version).member for system, code, version in coded)
