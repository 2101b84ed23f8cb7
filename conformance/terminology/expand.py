"""``ValueSet/$expand``, https://hl7.org/fhir/R4/valueset-operation-expand.html."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from conformance.terminology.code_system import CodeSystem, Concept, Json
from conformance.terminology.errors import TerminologyError, invalid
from conformance.terminology.languages import display_in, parse_languages
from conformance.terminology.rendering import (
    declare_property,
    designations_of,
    kept_extensions,
    properties_of,
    property_extension,
)
from conformance.terminology.supplement import Supplemented, name_of
from conformance.terminology.value_sets import Entry, Part, ValueSet
from conformance.terminology.versions import NO_RULES, VersionRules, fits

MOST_CODES = 10_000
"""An expansion without a count has at most so many codes."""
# Beyond a page so many codes are counted for the total; who types a filter waits for the page, not for the total.
_MOST_COUNTED = 10_000
_MOST_COUNTED_BY_FILTER = 1_000
# Deeper hierarchies go on at the top: readers of JSON have their limits.
_MOST_DEPTH = 50
Place = tuple[str, str, str]
"""A code system, its version and a code."""
_EXPANSION_PARAMETER = "http://hl7.org/fhir/StructureDefinition/valueset-expansion-parameter"
_WHOLE = ("url", "version", "name", "title", "status", "experimental", "date", "publisher", "language")
_DEFINITION = ("extension", "contained", "compose")


@dataclass(frozen=True, slots=True)
class ExpandParameters:
    """The parameters of ``$expand``; exactly one of ``url`` (with ``value_set_version``) and ``value_set`` is there."""

    url: str | None = None
    value_set: Json | None = None
    value_set_version: str | None = None
    filter: str | None = None
    offset: int | None = None
    count: int | None = None
    include_designations: bool | None = None
    designation: tuple[str, ...] = ()
    include_definition: bool | None = None
    active_only: bool | None = None
    exclude_nested: bool | None = None
    exclude_not_for_ui: bool | None = None
    exclude_post_coordinated: bool | None = None
    display_language: str | None = None
    exclude_system: tuple[str, ...] = ()
    rules: VersionRules = NO_RULES
    property: tuple[str, ...] = ()
    use_supplement: tuple[str, ...] = ()


def expand(value_set: ValueSet, asked: ExpandParameters, now: datetime) -> Json:
    """Return a ValueSet with the codes asked for. Raises TerminologyError: 404, or 422 for what can't be listed."""
    for name, number in (("offset", asked.offset), ("count", asked.count)):
        if number is not None and number < 0:
            raise invalid(f"{name} can't be negative")
    try:
        value_set.link()
        listed = _Expansion(value_set, asked).as_json(now)
    except TerminologyError as error:
        # A version that isn't allowed isn't there in the stored expansion either.
        if value_set.stored is None or error.issue.detail == "version-error":
            raise
        listed = _Expansion(value_set.stored, asked).as_json(now)
    made: Json = {"resourceType": "ValueSet"}
    made |= {name: value_set.resource[name] for name in _WHOLE if name in value_set.resource}
    made.setdefault("status", "unknown")
    if asked.include_definition:
        made |= {name: value_set.resource[name] for name in _DEFINITION if name in value_set.resource}
    made["expansion"] = listed
    return made


class _Expansion:
    """The codes of one expansion and what was used to find them."""

    def __init__(self, value_set: ValueSet, asked: ExpandParameters) -> None:
        self._value_set = value_set
        self._asked = asked
        self._scope = value_set.scope
        self._languages = parse_languages(display_language(value_set, asked.display_language) or "")
        self._versioned = _versioned_systems(value_set)
        self._declared: dict[str, None] = {}
        self._systems: dict[int, CodeSystem] = {}
        self._check_versions()

    def _check_versions(self) -> None:
        for part in self._value_set.parts():
            check = self._scope.rules.check.get(part.system or "")
            if part.system is None or part.code_system is None:
                continue
            self._systems.setdefault(id(part.code_system), part.code_system)
            version = part.code_system.resource.get("version", "")
            if check is not None and not fits(check, version):
                raise TerminologyError(
                    422, "exception", "version-error",
                    f"The version '{version}' is not allowed for system '{part.system}': "
                    f"required to be '{check}' by a version-check parameter",
                )  # fmt: skip

    def as_json(self, now: datetime) -> Json:
        asked = self._asked
        start = asked.offset or 0
        entries = self._entries()
        if asked.count is None:
            page = list(islice(entries, start, start + MOST_CODES + 1))
            if len(page) > MOST_CODES:
                raise TerminologyError(
                    422, "too-costly", "too-costly",
                    f"The value set {self._value_set.name} has more than {MOST_CODES} codes: ask for a part of them, by count",
                )  # fmt: skip
            total: int | None = start + len(page) if page or not start else self._total(start)
        else:
            page = list(islice(entries, start, start + asked.count))
            total = self._count(entries, start, page)
        contains = self._nest(page) if self._nested else [self._render(part, code) for part, code in page]
        made: Json = {}
        if self._declared:
            systems = self._systems.values()
            made["extension"] = [declare_property(code, systems) for code in self._declared]
        made |= {"identifier": f"urn:uuid:{uuid.uuid4()}", "timestamp": now.isoformat(timespec="milliseconds")}
        if total is not None:
            made["total"] = total
        if asked.offset is not None:
            made["offset"] = asked.offset
        made["parameter"] = list(self._parameters())
        if contains:
            made["contains"] = contains
        return made

    @property
    def _nested(self) -> bool:
        """Whether the hierarchy is shown: not on pages, since concepts and those above would be torn apart."""
        asked = self._asked
        if asked.exclude_nested or asked.filter or asked.count is not None or asked.offset is not None:
            return False
        return any(part.listed is None for part in self._value_set.includes)

    def _entries(self) -> Iterator[Entry]:
        asked = self._asked
        entries = self._value_set.entries(asked.filter or None)
        if asked.exclude_system:
            entries = (e for e in entries if not self._left_out(e[0]))
        if asked.active_only or asked.exclude_not_for_ui:
            entries = (e for e in entries if self._shown(*e))
        return entries

    def _left_out(self, part: Part) -> bool:
        own, version = _version_of(part)
        return any(
            system == own and (not wanted or fits(wanted, version))
            for system, _, wanted in (canonical.partition("|") for canonical in self._asked.exclude_system)
        )

    def _shown(self, part: Part, code: str) -> bool:
        concept = part.concept(code)
        if concept is None:
            return False
        return not (self._asked.active_only and concept.inactive) and not (
            self._asked.exclude_not_for_ui and concept.abstract
        )

    def _count(self, rest: Iterator[Entry], start: int, page: list[Entry]) -> int | None:
        """Return how many codes there are, None where counting takes too long."""
        asked, value_set = self._asked, self._value_set
        narrowed = asked.filter or asked.exclude_system or asked.active_only or asked.exclude_not_for_ui
        if not narrowed and value_set.is_system:
            return len(value_set.includes[0].required())
        most = _MOST_COUNTED_BY_FILTER if asked.filter else _MOST_COUNTED
        more = sum(1 for _ in islice(rest, most + 1))
        if more > most:
            return None
        return start + len(page) + more if page or more or not start else self._total(start)

    def _total(self, start: int) -> int:
        """Count the codes before an offset that lies behind them all."""
        return sum(1 for _ in islice(self._entries(), start))

    def _render(self, part: Part, code: str) -> Json:
        asked, system = self._asked, part.code_system
        concept = part.concept(code) or Concept(code, None)
        made: Json = {}
        extensions = kept_extensions(concept.extension) if concept.extension else []
        for name, element, value in properties_of(concept, asked.property):
            self._declared[name] = None
            extensions.append(property_extension(name, element, value))
        if extensions:
            made["extension"] = extensions
        made["system"] = part.system
        if concept.abstract:
            made["abstract"] = True
        if concept.inactive:
            made["inactive"] = True
        if part.system in self._versioned and system is not None and "version" in system.resource:
            made["version"] = system.resource["version"]
        made["code"] = code
        display = concept.display
        if self._languages:
            language = system.resource.get("language") if system is not None else None
            display = display_in(concept, language, self._languages) or display
        if display is not None:
            made["display"] = display
        if asked.include_designations or (asked.designation and asked.include_designations is not False):
            designations = designations_of(concept, asked.designation)
            if designations:
                made["designation"] = designations
        return made

    def _nest(self, page: list[Entry]) -> list[Json]:
        """Return the codes in their hierarchy: each below the nearest above it that is in the expansion."""
        rendered = {(*_version_of(part), code): self._render(part, code) for part, code in page}
        above: dict[Place, Place] = {}
        tops: list[Json] = []
        for part, code in page:
            place = (*_version_of(part), code)
            nearest = self._nearest(part, code, rendered)
            if nearest is None or not _climbs(nearest, place, above):
                tops.append(rendered[place])
            else:
                above[place] = nearest
                rendered[nearest].setdefault("contains", []).append(rendered[place])
        return tops

    def _nearest(self, part: Part, code: str, rendered: dict[Place, Json]) -> Place | None:
        system = part.code_system
        if system is None or part.listed is not None:
            return None
        waiting, seen = list(system.parents(code)), {code}
        for parent in waiting:
            if parent in seen:
                continue
            seen.add(parent)
            place = (*_version_of(part), parent)
            if place in rendered:
                return place
            waiting.extend(system.parents(parent))
        return None

    def _parameters(self) -> Iterator[Json]:
        asked = self._asked
        for name, element, value in (
            ("filter", "valueString", asked.filter),
            ("offset", "valueInteger", asked.offset),
            ("count", "valueInteger", asked.count),
            ("includeDesignations", "valueBoolean", asked.include_designations),
            ("includeDefinition", "valueBoolean", asked.include_definition),
            ("activeOnly", "valueBoolean", asked.active_only),
            ("excludeNested", "valueBoolean", asked.exclude_nested),
            ("excludeNotForUI", "valueBoolean", asked.exclude_not_for_ui),
            ("excludePostCoordinated", "valueBoolean", asked.exclude_post_coordinated),
            ("displayLanguage", "valueString", asked.display_language),
        ):
            if value is not None:
                yield {"name": name, element: value}
        yield from ({"name": "designation", "valueString": wanted} for wanted in asked.designation)
        yield from ({"name": "exclude-system", "valueUri": system} for system in asked.exclude_system)
        yield from self._versions_used()

    def _versions_used(self) -> Iterator[Json]:
        rules = self._scope.rules
        applied: dict[tuple[str, str], None] = {}
        for part in self._value_set.parts():
            system = part.system or ""
            if system in rules.force:
                applied["force-system-version", f"{system}|{rules.force[system]}"] = None
            elif not part.stated and system in rules.default:
                applied["system-version", f"{system}|{rules.default[system]}"] = None
            elif not part.stated and system in rules.check:
                applied["check-system-version", f"{system}|{rules.check[system]}"] = None
        for used in self._systems.values():
            applied["used-codesystem", name_of(used.resource)] = None
            if isinstance(used, Supplemented):
                applied |= {("used-supplement", name): None for name in used.supplements}
        for name in _imported(self._value_set):
            applied["used-valueset", name] = None
        yield from ({"name": name, "valueUri": value} for name, value in applied)


def _climbs(start: Place, place: Place, above: dict[Place, Place]) -> bool:
    """Tell whether the way up from ``start`` ends before long, without meeting ``place``."""
    current: Place | None = start
    for _ in range(_MOST_DEPTH):
        if current == place:
            return False
        current = above.get(current) if current is not None else None
        if current is None:
            return True
    return False


def _version_of(part: Part) -> tuple[str, str]:
    """Return the code system of a part and its version."""
    version = part.code_system.resource.get("version", "") if part.code_system is not None else ""
    return part.system or "", version


def _imported(value_set: ValueSet) -> Iterator[str]:
    """Yield the names of the value sets that one includes, those contained in it aside."""
    for part in value_set.includes:
        for canonical, inner in zip(part.raw.get("valueSet", ()), part.imports, strict=True):
            if not canonical.startswith("#"):
                yield inner.name
            yield from _imported(inner)


def _versioned_systems(value_set: ValueSet) -> frozenset[str | None]:
    """Return the systems that are included in several versions, so that codes have to say theirs."""
    stated: dict[str | None, set[str | None]] = {}
    for part in value_set.parts():
        stated.setdefault(part.system, set()).add(part.stated)
    return frozenset(system for system, versions in stated.items() if len(versions) > 1)


def display_language(value_set: ValueSet, asked: str | None) -> str | None:
    """Return the language asked for, else the one that the value set says or is in; None if nobody says."""
    if asked is not None:
        return asked
    compose = value_set.resource.get("compose", {})
    for parameter in _expansion_parameters(compose.get("extension", ())):
        if parameter.get("name") == "displayLanguage":
            return str(parameter.get("value"))
    language = value_set.resource.get("language")
    return str(language) if language else None


def _expansion_parameters(extensions: Iterable[Json]) -> Iterator[Json]:
    for extension in extensions:
        if extension.get("url") == _EXPANSION_PARAMETER:
            yield {
                part["url"]: value
                for part in extension.get("extension", ())
                for key, value in part.items()
                if key.startswith("value")
            }
