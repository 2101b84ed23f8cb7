"""``CodeSystem/$lookup`` and ``$subsumes``.

https://hl7.org/fhir/R4/codesystem-operation-lookup.html, https://hl7.org/fhir/R4/codesystem-operation-subsumes.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from conformance.terminology.code_system import CodeSystem, Concept, Json
from conformance.terminology.errors import TerminologyError, invalid, unknown_code_system
from conformance.terminology.filters import check_subsumption
from conformance.terminology.languages import display_in, parse_languages, speaks
from conformance.terminology.rendering import designation_json, element_of
from conformance.terminology.scope import Scope
from conformance.terminology.supplement import Supplemented

Outcome = Literal["equivalent", "subsumes", "subsumed-by", "not-subsumed"]
_MOST_CHILDREN = 1000
_PREFERRED = {
    "system": "http://terminology.hl7.org/CodeSystem/hl7TermMaintInfra",
    "code": "preferredForLanguage",
    "display": "Preferred For Language",
}


@dataclass(frozen=True, slots=True)
class LookupParameters:
    """The parameters of ``$lookup``: ``code`` and ``system``, or ``coding``."""

    code: str | None = None
    system: str | None = None
    version: str | None = None
    coding: Json | None = None
    display_language: str | None = None
    property: tuple[str, ...] = ()
    use_supplement: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubsumesParameters:
    """The parameters of ``$subsumes``: ``code_a``, ``code_b`` and ``system``, or ``coding_a`` and ``coding_b``."""

    code_a: str | None = None
    code_b: str | None = None
    system: str | None = None
    version: str | None = None
    coding_a: Json | None = None
    coding_b: Json | None = None


def require_system(scope: Scope, system: str, version: str | None, consequence: str) -> CodeSystem:
    """Return a code system. Raises TerminologyError (404) when it isn't known."""
    system = scope.url_of(system)
    wanted = scope.rules.wanted(system, version)
    found = scope.code_system(system, wanted)
    if found is None:
        text = unknown_code_system(system, wanted, scope.versions(system), consequence)
        raise TerminologyError(404, "not-found", "not-found", text)
    return found


def find_code(system: CodeSystem, code: str) -> Concept:
    """Return a concept, in systems where case doesn't matter whatever the case. Raises TerminologyError (404)."""
    found = system.find(code)
    if found is None and not system.resource.get("caseSensitive", True):
        found = system.find_folded(code)
    if found is None:
        url, version = system.resource.get("url"), system.resource.get("version")
        text = f"Unknown code '{code}' in the CodeSystem '{url}'" + (f" version '{version}'" if version else "")
        raise TerminologyError(404, "not-found", "invalid-code", text)
    return found


def look_up(scope: Scope, asked: LookupParameters) -> Json:
    """Return Parameters with what is known of a code. Raises TerminologyError: 404 for an unknown code or system."""
    coding = asked.coding or {"system": asked.system, "code": asked.code, "version": asked.version}
    if not coding.get("system") or not coding.get("code"):
        raise invalid("$lookup takes a code with its system, or a coding that has both")
    system = require_system(scope, coding["system"], coding.get("version"), "the code cannot be looked up")
    concept = find_code(system, coding["code"])
    languages = parse_languages(asked.display_language or "")
    made = list(_describe(system, concept, languages, asked.property))
    made.extend({"part": parts, "name": "property"} for parts in _properties(system, concept, asked.property))
    if isinstance(system, Supplemented):
        made.extend({"name": "used-supplement", "valueCanonical": name} for name in system.supplements)
    return {"resourceType": "Parameters", "parameter": made}


def _everything(asked: tuple[str, ...]) -> bool:
    return not asked or "*" in asked


def _describe(
    system: CodeSystem, concept: Concept, languages: tuple[str, ...], asked: tuple[str, ...]
) -> Iterator[Json]:
    resource = system.resource
    own = resource.get("language")
    name = resource.get("name") or resource.get("title") or resource["url"]
    yield {"name": "name", "valueString": name}
    if "version" in resource:
        yield {"name": "version", "valueString": resource["version"]}
    display = display_in(concept, own, languages) or concept.display or concept.code
    yield {"name": "display", "valueString": display}
    yield {"name": "code", "valueCode": concept.code}
    yield {"name": "system", "valueUri": resource["url"]}
    if _everything(asked) or "abstract" in asked:
        yield {"name": "abstract", "valueBoolean": concept.abstract}
    if concept.definition is not None and (_everything(asked) or "definition" in asked):
        yield {"name": "definition", "valueString": concept.definition}
    wanted = [name.removeprefix("lang.") for name in asked if name.startswith("lang.")]
    if _everything(asked) or "designation" in asked or wanted:
        yield from _designations(concept, own, () if _everything(asked) or "designation" in asked else wanted)


def _designations(concept: Concept, own: str | None, wanted: list[str] | tuple[()]) -> Iterator[Json]:
    if own is not None and concept.display is not None and (not wanted or any(speaks(own, want) for want in wanted)):
        yield _parts(
            "designation",
            ("language", "valueCode", own), ("use", "valueCoding", _PREFERRED), ("value", "valueString", concept.display),
        )  # fmt: skip
    for designation in concept.designations:
        if wanted and not any(speaks(designation.language, want) for want in wanted):
            continue
        said = designation_json(designation)
        yield _parts(
            "designation",
            ("language", "valueCode", said.get("language")),
            ("use", "valueCoding", said.get("use")),
            ("value", "valueString", designation.value),
            ("source", "valueCanonical", designation.source),
        )


def _parts(name: str, *parts: tuple[str, str, Any]) -> Json:
    return {"name": name, "part": [{"name": n, element: value} for n, element, value in parts if value is not None]}


def _properties(system: CodeSystem, concept: Concept, asked: tuple[str, ...]) -> Iterator[list[Json]]:
    everything = _everything(asked)
    carried = {p.code for p in concept.properties}
    if (everything or "inactive" in asked) and "inactive" not in carried:
        yield _property("inactive", "valueBoolean", concept.inactive)
    for name, codes in (("parent", system.parents), ("child", system.children)):
        if everything or name in asked:
            for code in codes(concept.code)[:_MOST_CHILDREN]:
                yield _property(name, "valueCode", code, system)
    for p in concept.properties:
        # A parent or child that the concept states is already among those of the hierarchy.
        if (everything or p.code in asked) and p.code not in ("parent", "child"):
            yield _property(p.code, element_of(p.type), p.value, system if p.type == "code" else None)


def _property(code: str, element: str, value: Any, system: CodeSystem | None = None) -> list[Json]:
    parts = [{"name": "code", "valueCode": code}, {"name": "value", element: value}]
    meant = system.find(value) if system is not None else None
    if meant is not None and meant.display is not None:
        parts.append({"name": "description", "valueString": meant.display})
    return parts


def subsumes(scope: Scope, asked: SubsumesParameters) -> Json:
    """Return Parameters with how two codes of a code system subsume each other. Raises TerminologyError."""
    a = asked.coding_a or {"system": asked.system, "code": asked.code_a, "version": asked.version}
    b = asked.coding_b or {"system": asked.system, "code": asked.code_b, "version": asked.version}
    if not all(coding.get(name) for coding in (a, b) for name in ("system", "code")):
        raise invalid("$subsumes takes two codes with their system, or two codings that have both")
    if a["system"] != b["system"]:
        raise invalid(f"the codes are of different systems, {a['system']} and {b['system']}")
    version = a.get("version") or b.get("version") or asked.version
    system = require_system(scope, a["system"], version, "the codes cannot be compared")
    outcome = relation(system, find_code(system, a["code"]).code, find_code(system, b["code"]).code)
    return {"resourceType": "Parameters", "parameter": [{"name": "outcome", "valueCode": outcome}]}


def relation(system: CodeSystem, a: str, b: str) -> Outcome:
    """Return how code ``a`` relates to code ``b``. Raises TerminologyError if the hierarchy isn't one of meaning."""
    if a == b:
        return "equivalent"
    check_subsumption(system)
    if a in system.above(b):
        return "subsumes"
    return "subsumed-by" if b in system.above(a) else "not-subsumed"
