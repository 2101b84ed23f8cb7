"""``CodeSystem/$find-matches``, https://hl7.org/fhir/R4/codesystem-operation-find-matches.html.

Properties are compared as the filters of value sets compare them, so a code with a ``subproperty`` of a value that is
itself composed can't be found: such a property counts as not matched.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from conformance.terminology.code_system import CodeSystem, Json
from conformance.terminology.errors import invalid
from conformance.terminology.filters import compile_filter
from conformance.terminology.lookup import require_system
from conformance.terminology.memory import text_of
from conformance.terminology.rendering import element_of
from conformance.terminology.scope import Scope

_MOST_MATCHES = 100


@dataclass(frozen=True, slots=True)
class WantedProperty:
    """A property that codes shall have: ``value`` as in FHIR, ``type`` its FHIR type (``code``, ``Coding`` …)."""

    code: str
    type: str
    value: Any
    subproperties: tuple[WantedProperty, ...] = ()


@dataclass(frozen=True, slots=True)
class FindMatchesParameters:
    """The parameters of ``$find-matches``; ``exact`` asks for codes that have all properties."""

    system: str | None = None
    version: str | None = None
    property: tuple[WantedProperty, ...] = ()
    exact: bool = True


def find_matches(scope: Scope, asked: FindMatchesParameters) -> Json:
    """Return Parameters with the codes that match, those with most properties first. Raises TerminologyError."""
    if not asked.system or not asked.property:
        raise invalid("$find-matches takes a system and at least one property")
    system = require_system(scope, asked.system, asked.version, "codes cannot be found in it")
    found: Counter[str] = Counter()
    having = [_codes(system, wanted) for wanted in asked.property]
    for codes in having:
        found.update(codes.keys())
    least = len(asked.property) if asked.exact else 1
    order = {code: number for number, code in enumerate(found)}
    best = sorted((c for c, n in found.items() if n >= least), key=lambda code: (-found[code], order[code]))
    matches = []
    for code in best[:_MOST_MATCHES]:
        unmatched = [w for w, codes in zip(asked.property, having, strict=True) if code not in codes]
        matches.append(_match(system, code, unmatched))
    return {"resourceType": "Parameters", "parameter": matches}


def _codes(system: CodeSystem, wanted: WantedProperty) -> dict[str, None]:
    if wanted.subproperties:
        return {}
    condition = compile_filter(system, {"property": wanted.code, "op": "=", "value": text_of(wanted.value)})
    return dict.fromkeys(condition.codes or ())


def _match(system: CodeSystem, code: str, unmatched: list[WantedProperty]) -> Json:
    concept = system.find(code)
    coding = {"system": system.resource["url"], "version": system.resource.get("version"), "code": code}
    coding["display"] = concept.display if concept is not None else None
    parts: list[Json] = [{"name": "code", "valueCoding": {n: v for n, v in coding.items() if v is not None}}]
    parts.extend(
        {"name": "unmatched", "part": [
            {"name": "code", "valueCode": wanted.code}, {"name": "value", element_of(wanted.type): wanted.value}]}
        for wanted in unmatched
    )  # fmt: skip
    return {"name": "match", "part": parts}
