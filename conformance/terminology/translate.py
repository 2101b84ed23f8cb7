"""``ConceptMap/$translate``, https://hl7.org/fhir/R4/conceptmap-operation-translate.html, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.terminology.code_system import Json
from conformance.terminology.errors import TerminologyError, invalid
from conformance.terminology.scope import Scope
from conformance.terminology.supplement import name_of

_MOST_MAPS = 20
_NO_TRANSLATION = frozenset(("unmatched", "disjoint"))
# What an equivalence is when it is read from the target: https://hl7.org/fhir/R4/valueset-concept-map-equivalence.html
_REVERSED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}


@dataclass(frozen=True, slots=True)
class TranslateParameters:
    """The parameters of ``$translate``: a map by ``url`` or inline, and ``code`` with ``system``, or ``coding``, or a concept.

    ``concept_maps`` are those to look in when neither names one; ``dependency`` are values by the URI of what a
    translation may depend on.
    """

    url: str | None = None
    concept_map: Json | None = None
    concept_map_version: str | None = None
    concept_maps: tuple[Json, ...] = ()
    code: str | None = None
    system: str | None = None
    version: str | None = None
    coding: Json | None = None
    codeable_concept: Json | None = None
    source: str | None = None
    target: str | None = None
    target_system: str | None = None
    dependency: tuple[tuple[str, Json], ...] = ()
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A translation: ``concept`` as a Coding, the canonical of the map that says so, and what it yields besides."""

    equivalence: str | None
    concept: Json | None
    source: str
    product: tuple[Json, ...] = ()

    def as_json(self) -> Json:
        """Return the ``match`` parameter."""
        parts: list[Json] = []
        if self.equivalence is not None:
            parts.append({"name": "equivalence", "valueCode": self.equivalence})
        if self.concept is not None:
            parts.append({"name": "concept", "valueCoding": self.concept})
        for product in self.product:
            coding = {
                n: product[k]
                for n, k in (("system", "system"), ("code", "value"), ("display", "display"))
                if k in product
            }
            parts.append({"name": "product", "part": [
                {"name": "element", "valueUri": product["property"]}, {"name": "concept", "valueCoding": coding}]})  # fmt: skip
        parts.append({"name": "source", "valueUri": self.source})
        return {"name": "match", "part": parts}


def translate(scope: Scope, asked: TranslateParameters) -> Json:
    """Return Parameters: ``result`` is true when there is a translation. Raises TerminologyError, 404 for unknown maps."""
    maps = _maps(scope, asked)
    codings = _codings(asked)
    matches = [
        m for coding in codings for concept_map in maps for m in _Translation(scope, asked).of(coding, concept_map)
    ]
    result = any(m.concept is not None and m.equivalence not in _NO_TRANSLATION for m in matches)
    made: list[Json] = [{"name": "result", "valueBoolean": result}]
    if not result:
        names = ", ".join(f"{coding.get('system', '')}#{coding['code']}" for coding in codings)
        made.append({"name": "message", "valueString": f"No translation was found for {names}"})
    made.extend(m.as_json() for number, m in enumerate(matches) if m not in matches[:number])
    return {"resourceType": "Parameters", "parameter": made}


def _maps(scope: Scope, asked: TranslateParameters) -> tuple[Json, ...]:
    if asked.concept_map is not None:
        return (asked.concept_map,)
    if asked.url is None:
        return tuple(m for m in asked.concept_maps if _suits(m, asked))
    version = asked.concept_map_version
    return (_find_map(scope, f"{asked.url}|{version}" if version and "|" not in asked.url else asked.url),)


def _suits(concept_map: Json, asked: TranslateParameters) -> bool:
    """Tell whether a map is between the value sets asked for."""
    ends = (asked.target, asked.source) if asked.reverse else (asked.source, asked.target)
    return all(
        wanted is None or wanted in (concept_map.get(f"{end}Uri"), concept_map.get(f"{end}Canonical"))
        for end, wanted in zip(("source", "target"), ends, strict=True)
    )


def _find_map(scope: Scope, canonical: str) -> Json:
    found = scope.source.find("ConceptMap", canonical)
    if found is None:
        raise TerminologyError(404, "not-found", "not-found", f"The ConceptMap '{canonical}' could not be found")
    return found


def _codings(asked: TranslateParameters) -> list[Json]:
    given = [value for value in (asked.code, asked.coding, asked.codeable_concept) if value is not None]
    if len(given) != 1:
        raise invalid("$translate takes one of code, coding and codeableConcept")
    if asked.codeable_concept is not None:
        codings = list(asked.codeable_concept.get("coding", ()))
    elif asked.coding is not None:
        codings = [asked.coding]
    else:
        codings = [{"system": asked.system, "code": asked.code, "version": asked.version}]
    if asked.code is not None and not asked.system:
        raise invalid("a code takes its system")
    codings = [{n: v for n, v in coding.items() if v is not None} for coding in codings]
    if not all(coding.get("code") for coding in codings) or not codings:
        raise invalid("there is a coding without a code, or none at all")
    return codings


class _Translation:
    """Follows maps, those for what a map doesn't cover too."""

    def __init__(self, scope: Scope, asked: TranslateParameters) -> None:
        self._scope = scope
        self._asked = asked
        self._visited: set[str] = set()

    def of(self, coding: Json, concept_map: Json) -> Iterator[Match]:
        """Yield the translations of a coding that a map says."""
        name = name_of(concept_map)
        if name in self._visited or len(self._visited) >= _MOST_MAPS:
            return
        self._visited.add(name)
        for group in concept_map.get("group", ()):
            if self._asked.reverse:
                yield from self._backwards(coding, group, name)
            else:
                yield from self._forwards(coding, group, name)

    def _meets(self, coding: Json, group: Json, end: str) -> bool:
        system, version = coding.get("system"), coding.get("version")
        known = group.get(f"{end}Version")
        return (system is None or group.get(end) in (None, system)) and (not version or not known or known == version)

    def _forwards(self, coding: Json, group: Json, name: str) -> Iterator[Match]:
        if not self._meets(coding, group, "source"):
            return
        aimed = self._asked.target_system in (None, group.get("target"))
        elements = [e for e in group.get("element", ()) if e.get("code") == coding["code"]]
        for element in elements if aimed else ():
            for target in element.get("target", ()):
                if self._fulfilled(target):
                    yield self._match(target, group, name)
        if not elements:
            yield from self._unmapped(coding, group, name, aimed=aimed)

    def _fulfilled(self, target: Json) -> bool:
        given = dict(self._asked.dependency)
        for needed in target.get("dependsOn", ()):
            value = given.get(needed.get("property"), {})
            codings = value.get("coding", (value,))
            if not any(
                c.get("code") == needed.get("value") and needed.get("system") in (None, c.get("system"))
                for c in codings
            ):
                return False
        return True

    def _match(self, target: Json, group: Json, name: str) -> Match:
        concept = None
        if "code" in target:
            concept = _coding(group.get("target"), group.get("targetVersion"), target["code"], target.get("display"))
        return Match(target.get("equivalence"), concept, name, tuple(target.get("product", ())))

    def _unmapped(self, coding: Json, group: Json, name: str, *, aimed: bool) -> Iterator[Match]:
        unmapped = group.get("unmapped", {})
        match unmapped.get("mode"):
            case "provided" if aimed:
                yield Match(
                    "equal",
                    _coding(group.get("target"), group.get("targetVersion"), coding["code"], coding.get("display")),
                    name,
                )
            case "fixed" if aimed and "code" in unmapped:
                found = _coding(
                    group.get("target"), group.get("targetVersion"), unmapped["code"], unmapped.get("display")
                )
                yield Match("inexact", found, name)
            case "other-map" if unmapped.get("url"):
                yield from self.of(coding, _find_map(self._scope, unmapped["url"]))

    def _backwards(self, coding: Json, group: Json, name: str) -> Iterator[Match]:
        if not self._meets(coding, group, "target") or self._asked.target_system not in (None, group.get("source")):
            return
        for element in group.get("element", ()):
            for target in element.get("target", ()):
                if target.get("code") == coding["code"] and "code" in element and self._fulfilled(target):
                    said = target.get("equivalence")
                    found = _coding(
                        group.get("source"), group.get("sourceVersion"), element["code"], element.get("display")
                    )
                    yield Match(_REVERSED.get(said, said), found, name)


def _coding(system: str | None, version: str | None, code: str, display: str | None) -> Json:
    parts = (("system", system), ("version", version), ("code", code), ("display", display))
    return {name: value for name, value in parts if value is not None}
