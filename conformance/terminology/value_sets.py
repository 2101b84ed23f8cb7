"""Which codes are in a value set, https://hl7.org/fhir/R4/valueset.html#compositions.

A value set is asked whether it holds a code, which takes no expansion, or for its codes one by one, as far as somebody
wants to read them. What it includes by rule is never listed beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any

from conformance.terminology.code_system import CodeSystem, Concept, Json
from conformance.terminology.errors import TerminologyError, unknown_code_system, unsupported
from conformance.terminology.files.words import words_of
from conformance.terminology.filters import Condition, compile_filter
from conformance.terminology.grammars import GRAMMARS
from conformance.terminology.memory import read_designation
from conformance.terminology.supplement import name_of
from conformance.terminology.words import begins_words, spoken

if TYPE_CHECKING:
    from conformance.terminology.scope import Scope

_MOST_DEPTH = 20
# Counted as often as they are referred to, since that is how often they are asked.
_MOST_IMPORTS = 500
_SUPPLEMENT = "http://hl7.org/fhir/StructureDefinition/valueset-supplement"
# Marks of an expansion that doesn't list everything.
_INCOMPLETE = ("valueset-toocostly", "valueset-unclosed")

Entry = tuple["Part", str]
"""A code and the part of a value set that it comes from."""


class Part:
    """An include or exclude of a value set: codes that are in all value sets it names and selected from its system."""

    def __init__(self, raw: Json, scope: Scope, value_set: ValueSet) -> None:
        self.raw = raw
        self.system: str | None = raw.get("system")
        self.stated: str | None = raw.get("version")
        self.scope = scope
        self._value_set = value_set
        self.listed: dict[str, Json] | None = None
        if raw.get("concept"):
            self.listed = {concept["code"]: concept for concept in raw["concept"] if "code" in concept}

    @cached_property
    def imports(self) -> tuple[ValueSet, ...]:
        """The value sets that are included. Raises TerminologyError when one isn't known."""
        return tuple(self._value_set.imported(canonical) for canonical in self.raw.get("valueSet", ()))

    @cached_property
    def wanted(self) -> str | None:
        """The version of the code system to use, perhaps a pattern; None for any."""
        return self.scope.rules.wanted(self.system or "", self.stated)

    @cached_property
    def code_system(self) -> CodeSystem | None:
        """The code system in the version wanted, None when it isn't known."""
        return self.scope.code_system(self.system, self.wanted) if self.system else None

    def conditions(self, system: CodeSystem) -> tuple[Condition, ...]:
        """Return the filters for a version of the code system."""
        if system is self.code_system:
            return self._conditions
        return tuple(compile_filter(system, condition) for condition in self.raw.get("filter", ()))

    @cached_property
    def _conditions(self) -> tuple[Condition, ...]:
        system = self.required()
        return tuple(compile_filter(system, condition) for condition in self.raw.get("filter", ()))

    def required(self) -> CodeSystem:
        """Return the code system. Raises TerminologyError when it isn't known."""
        if self.code_system is None:
            system = self.system or ""
            versions = self.scope.versions(system) if self.wanted else ()
            text = unknown_code_system(system, self.wanted, versions, "the value set cannot be expanded")
            raise TerminologyError(404, "not-found", "not-found", text)
        return self.code_system

    def holds(self, system: str, code: str) -> bool:
        """Tell whether a code is in this part. A code of a system that isn't known is, where it is listed."""
        if self.system is not None and (self.system != system or not self.selects(code, self.code_system)):
            return False
        if self.system is None and not self.imports:
            return False
        return all(value_set.holds(system, code) for value_set in self.imports)

    def selects(self, code: str, system: CodeSystem | None) -> bool:
        """Tell whether a code of this part's system, in one of its versions, is listed or fulfils all filters."""
        if self.listed is not None:
            return code in self.listed
        if system is None or system.find(code) is None:
            return False
        return not self.raw.get("filter") or all(condition.holds(code) for condition in self.conditions(system))

    @property
    def whole(self) -> bool:
        """Whether this is a code system and nothing but that."""
        return self.system is not None and self.listed is None and not self.raw.get("filter") and not self.imports

    def entries(self, text: str | None = None) -> Iterator[Entry]:
        """Yield the codes in order, with a text those that it finds. Raises TerminologyError if they can't be known."""
        if self.system is None:
            return self._imported_entries(text)
        codes = self.codes(text)
        if self.imports:
            system, imports = self.system, self.imports
            codes = (code for code in codes if all(value_set.holds(system, code) for value_set in imports))
        return zip(repeat(self), codes, strict=False)

    def _imported_entries(self, text: str | None) -> Iterator[Entry]:
        first, others = self.imports[:1], self.imports[1:]
        for value_set in first:
            for part, code in value_set.entries(text):
                if all(other.holds(part.system or "", code) for other in others):
                    yield part, code

    def codes(self, text: str | None = None) -> Iterator[str]:
        """Yield the codes that are selected from the system, whatever value sets are included besides."""
        if self.listed is not None:
            return self._listed_codes(words_of(text) if text else ())
        system = self.required()
        conditions = self._conditions
        if text:
            return (code for code in system.search(text) if all(c.holds(code) for c in conditions))
        known = [c.codes for c in conditions if c.codes is not None]
        if not known and system in GRAMMARS.values():
            url = system.resource["url"]
            raise TerminologyError(
                422, "too-costly", "too-costly", f"The code system {url} is a grammar: its codes can't be listed"
            )
        fewest = min(known, key=len, default=None)
        codes = iter(fewest) if fewest is not None else system.codes()
        others = [c.holds for c in conditions if c.codes is None or c.codes is not fewest]
        return (code for code in codes if all(holds(code) for holds in others)) if others else codes

    def _listed_codes(self, wanted: Iterable[str]) -> Iterator[str]:
        for code in self.listed or ():
            concept = self.concept(code)
            if concept is not None and (not wanted or begins_words(wanted, spoken(concept))):
                yield code

    def concept(self, code: str, system: CodeSystem | None = None) -> Concept | None:
        """Return a concept as this part shows it; None for a code that its code system is known not to have."""
        system = system or self.code_system
        found = system.find(code) if system is not None else None
        said = self.listed.get(code) if self.listed is not None else None
        if found is None and (said is None or (system is not None and system.resource.get("content") == "complete")):
            return None
        found = found or Concept(code, None)
        return _said_anew(found, said) if said is not None and said.keys() > {"code"} else found


def _said_anew(concept: Concept, said: Json) -> Concept:
    """Return a concept with what a value set says of it: its display and more designations and extensions."""
    more = tuple(read_designation(entry) for entry in said.get("designation", ()) if "value" in entry)
    return Concept(
        concept.code, said.get("display", concept.display), concept.definition, concept.designations + more,
        concept.properties, concept.abstract, concept.inactive, (*concept.extension, *said.get("extension", ())),
    )  # fmt: skip


class ValueSet:
    """A ValueSet resource as a set of codes, in a scope that resolves what it refers to."""

    def __init__(self, resource: Json, scope: Scope, contained_in: Json | None = None) -> None:
        self.resource = resource
        self._root = contained_in or resource
        supplements = [e["valueCanonical"] for e in resource.get("extension", ()) if e.get("url") == _SUPPLEMENT]
        self.scope = scope.with_supplements(supplements) if supplements else scope
        compose = resource.get("compose")
        self.composed = compose is not None
        self._linked = False
        self._stored = _stored_parts(resource)
        if compose is None and self._stored is None:
            raise unsupported(
                f"the value set {self.name} says neither by compose nor by a complete expansion what is in it"
            )
        self.active_only = (compose or {}).get("inactive") is False
        includes = (self._stored if compose is None else compose.get("include")) or ()
        self.includes = tuple(Part(raw, self.scope, self) for raw in includes)
        self.excludes = tuple(Part(raw, self.scope, self) for raw in (compose or {}).get("exclude", ()))

    @property
    def name(self) -> str:
        """The canonical URL with the version."""
        return name_of(self.resource) or "(unidentified)"

    @cached_property
    def stored(self) -> ValueSet | None:
        """The value set of the stored expansion, if that lists everything: it serves where the compose can't be followed."""
        if self._stored is None or not self.composed:
            return None
        left = {name: value for name, value in self.resource.items() if name != "compose"}
        return ValueSet(left, self.scope, self._root)

    def imported(self, canonical: str) -> ValueSet:
        """Return a value set that this one refers to: one contained beside it (``#id``) or one by its canonical URL."""
        if canonical.startswith("#"):
            for inner in self._root.get("contained", ()):
                if inner.get("resourceType") == "ValueSet" and inner.get("id") == canonical[1:]:
                    return ValueSet(inner, self.scope, self._root)
        return self.scope.value_set(canonical)

    def link(self) -> None:
        """Resolve all that this value set includes. Raises TerminologyError, also for one that includes itself."""
        if not self._linked:
            self._link((), [_MOST_IMPORTS])
            self._linked = True

    def _link(self, inside: tuple[ValueSet, ...], left: list[int]) -> None:
        if self in inside or len(inside) >= _MOST_DEPTH:
            raise TerminologyError(
                422, "processing", "vs-invalid", f"the value set {self.resource.get('url')} includes itself"
            )
        for part in (*self.includes, *self.excludes):
            for value_set in part.imports:
                left[0] -= 1
                if left[0] < 0:
                    text = f"the value set {inside[0].name} refers to more than {_MOST_IMPORTS} others"
                    raise TerminologyError(422, "too-costly", "too-costly", text)
                value_set._link((*inside, self), left)

    @property
    def is_system(self) -> bool:
        """Whether the value set is all codes of one code system."""
        alone = len(self.includes) == 1 and not self.excludes and not self.active_only
        return alone and self.includes[0].whole

    def parts(self) -> Iterator[Part]:
        """Yield the includes of this value set and of those that it includes."""
        for part in self.includes:
            yield part
            for value_set in part.imports:
                yield from value_set.parts()

    def holds(self, system: str, code: str) -> bool:
        """Tell whether a code is in the value set."""
        if self.active_only and self._inactive(system, code):
            return False
        return any(part.holds(system, code) for part in self.includes) and not self.excluded(system, code)

    def excluded(self, system: str, code: str) -> bool:
        """Tell whether a code is excluded."""
        return any(part.holds(system, code) for part in self.excludes)

    def _inactive(self, system: str, code: str) -> bool:
        found = self.scope.code_system(system, None)
        concept = found.find(code) if found is not None else None
        return concept is not None and concept.inactive

    def entries(self, text: str | None = None) -> Iterator[Entry]:
        """Yield the codes in order, each once; with a text those that it finds. Raises TerminologyError."""
        if len(self.includes) == 1 and not self.excludes and not self.active_only:
            # The common case, for which nothing stands between a code system and its reader.
            return self.includes[0].entries(text)
        return self._remaining(text)

    def _remaining(self, text: str | None) -> Iterator[Entry]:
        seen: set[tuple[str | None, str | None, str]] = set()
        for include in self.includes:
            for part, code in include.entries(text):
                key = part.system, part.stated, code
                if key in seen:
                    continue
                seen.add(key)
                if self.excludes and self.excluded(part.system or "", code):
                    continue
                if self.active_only and (concept := part.concept(code)) is not None and concept.inactive:
                    continue
                yield part, code


def _stored_parts(resource: Json) -> list[Json] | None:
    """Return the concepts of a stored expansion as includes, None unless it lists them all."""
    expansion = resource.get("expansion", {})
    contains = expansion.get("contains")
    if not contains or any(e.get("url", "").endswith(_INCOMPLETE) for e in expansion.get("extension", ())):
        return None
    parts: dict[tuple[str, str | None], list[Any]] = {}
    for item in _flat(contains):
        place = item["system"], item.get("version")
        parts.setdefault(place, []).append({n: item[n] for n in ("code", "display", "designation") if n in item})
    if expansion.get("total", 0) > sum(map(len, parts.values())):
        return None
    return [
        {"system": system, "concept": concepts} | ({"version": version} if version else {})
        for (system, version), concepts in parts.items()
    ]


def _flat(contains: Iterable[Json]) -> Iterator[Json]:
    for item in contains:
        if "code" in item and "system" in item and not item.get("abstract"):
            yield item
        yield from _flat(item.get("contains", ()))
