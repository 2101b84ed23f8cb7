"""A CodeSystem resource as the terminology engine asks for it, https://hl7.org/fhir/R4/codesystem.html.

The hierarchy is that of nesting and of ``parent``, ``child`` and ``subsumedBy`` properties, under whatever code the
resource declares these properties of https://hl7.org/fhir/R4/codesystem-concept-properties.html.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from conformance.terminology.code_system import Concept, Designation, Json, Property
from conformance.terminology.files.words import fold, words_of
from conformance.terminology.words import begins_words, spoken

_PROPERTIES = "http://hl7.org/fhir/concept-properties#"
_RETIRED = frozenset(("retired", "inactive", "withdrawn"))
_NOTHING: dict[str, None] = {}


class ResourceCodeSystem:
    """The code system of a CodeSystem resource; its concepts are read one by one when they are asked for."""

    def __init__(self, resource: Json) -> None:
        self.resource: Json = {name: value for name, value in resource.items() if name != "concept"}
        self._raw: dict[str, Json] = {}
        self._parents: dict[str, dict[str, None]] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._concepts: dict[str, Concept] = {}
        declared = {p["uri"]: p["code"] for p in resource.get("property", ()) if "uri" in p and "code" in p}
        self._upward = {"parent", "subsumedBy"} | {
            declared[_PROPERTIES + name] for name in ("parent", "subsumedBy") if _PROPERTIES + name in declared
        }
        self._downward = {"child", declared.get(f"{_PROPERTIES}child", "child")}
        self._inactive = declared.get(f"{_PROPERTIES}inactive", "inactive")
        self._status = declared.get(f"{_PROPERTIES}status", "status")
        self._abstract = {"notSelectable", declared.get(f"{_PROPERTIES}notSelectable", "notSelectable"), "abstract"}
        self._read(resource.get("concept", ()))

    def _read(self, concepts: Iterable[Json]) -> None:
        # A stack in place of recursion, so that no nesting is too deep.
        waiting: list[tuple[Json, str | None]] = [(concept, None) for concept in reversed(list(concepts))]
        while waiting:
            concept, parent = waiting.pop()
            code = concept.get("code")
            if code is None:
                continue
            self._raw.setdefault(code, concept)
            if parent is not None:
                self._link(parent, code)
            for entry in concept.get("property", ()):
                if entry.get("code") in self._upward:
                    self._link(_value(entry)[1], code)
                elif entry.get("code") in self._downward:
                    self._link(code, _value(entry)[1])
            waiting.extend((inner, code) for inner in reversed(concept.get("concept", ())))

    def _link(self, parent: Any, child: Any) -> None:
        above, below = text_of(parent), text_of(child)
        self._parents.setdefault(below, {})[above] = None
        self._children.setdefault(above, {})[below] = None

    def __len__(self) -> int:
        """Return how many concepts there are."""
        return len(self._raw)

    def find(self, code: str) -> Concept | None:
        """Return a concept by its exact code."""
        found = self._concepts.get(code)
        if found is None and code in self._raw:
            found = self._concepts[code] = self._concept(self._raw[code])
        return found

    def _concept(self, raw: Json) -> Concept:
        properties = tuple(Property(entry["code"], *_value(entry)) for entry in raw.get("property", ()))
        return Concept(
            code=raw["code"],
            display=raw.get("display"),
            definition=raw.get("definition"),
            designations=tuple(read_designation(entry) for entry in raw.get("designation", ()) if "value" in entry),
            properties=properties,
            abstract=any(p.code in self._abstract and p.value is True for p in properties),
            inactive=any(
                (p.code == self._inactive and text_of(p.value) == "true")
                or (p.code == self._status and p.value in _RETIRED)
                for p in properties
            ),
            extension=tuple(raw.get("extension", ())),
        )

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {code.casefold(): code for code in reversed(self._raw)}

    def find_folded(self, code: str) -> Concept | None:
        """Return a concept whose code differs in nothing but case."""
        found = self._folded.get(code.casefold())
        return self.find(found) if found is not None else None

    def codes(self) -> Iterator[str]:
        """Yield all codes in the order of the resource."""
        return iter(self._raw)

    def roots(self) -> Sequence[str]:
        """Return the codes that have no parent, in order."""
        return [code for code in self._raw if code not in self._parents]

    def parents(self, code: str) -> Sequence[str]:
        """Return the codes directly above."""
        return [parent for parent in self._parents.get(code, ()) if parent in self._raw]

    def children(self, code: str) -> Sequence[str]:
        """Return the codes directly below, in order."""
        return [child for child in self._children.get(code, ()) if child in self._raw]

    def below(self, code: str) -> Collection[str]:
        """Return the code and all that it subsumes, parents first."""
        return self._reach(code, self._children)

    def above(self, code: str) -> Collection[str]:
        """Return the code and all that subsume it."""
        return self._reach(code, self._parents)

    def _reach(self, code: str, steps: dict[str, dict[str, None]]) -> dict[str, None]:
        if code not in self._raw:
            return _NOTHING
        found: dict[str, None] = {}
        waiting = [code]
        while waiting:
            current = waiting.pop()
            if current not in found and current in self._raw:
                found[current] = None
                waiting.extend(reversed(steps.get(current, {})))
        return found

    @cached_property
    def _valued(self) -> dict[str, dict[str, dict[str, None]]]:
        """Codes by the text of a property's value, by the property."""
        made: dict[str, dict[str, dict[str, None]]] = {}
        for code, raw in self._raw.items():
            for entry in raw.get("property", ()):
                made.setdefault(entry["code"], {}).setdefault(text_of(_value(entry)[1]), {})[code] = None
        return made

    def having(self, name: str, values: Iterable[str]) -> Collection[str]:
        """Return the codes with a property ``name`` of one of these values."""
        known = self._valued.get(name, {})
        found: dict[str, None] = {}
        for value in values:
            found |= known.get(value, _NOTHING)
        return found

    def with_property(self, name: str) -> Collection[str]:
        """Return the codes that have a property at all."""
        return self.having(name, tuple(self._valued.get(name, ())))

    @cached_property
    def _spoken(self) -> dict[str, str]:
        return {code: spoken(concept) for code in self._raw if (concept := self.find(code)) is not None}

    def search(self, text: str) -> Iterator[str]:
        """Yield the codes that a text finds: what it names exactly, then what begins with it, then the others."""
        wanted, whole = words_of(text), fold(text).strip()
        found = [code for code, words in self._spoken.items() if begins_words(wanted, words)]
        return iter(sorted(found, key=lambda code: self._rank(code, whole)))

    def _rank(self, code: str, whole: str) -> int:
        concept = self.find(code)
        names = [fold(code), fold(concept.display or "") if concept is not None else ""]
        return 0 if whole in names else 1 if any(name.startswith(whole) for name in names) else 2


def _value(entry: Json) -> tuple[str, Any]:
    """Return (type, value) of a property."""
    for name, value in entry.items():
        if name.startswith("value"):
            return name[5].lower() + name[6:], value
    return "string", ""


def text_of(value: Any) -> str:
    """Return a property's value as filters compare it: a Coding's code, a boolean as true or false."""
    if isinstance(value, dict):
        return str(value.get("code", ""))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def read_designation(entry: Json, source: str | None = None) -> Designation:
    """Return a ``designation`` element as a value."""
    return Designation(
        entry["value"], entry.get("language"), entry.get("use"), tuple(entry.get("extension", ())), source
    )
