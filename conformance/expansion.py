"""The codes of value sets and the hierarchy of code systems, https://hl7.org/fhir/R4/valueset.html#compositions.

Resources are plain JSON. What one refers to is asked of ``Find``; a caller that has to fetch it first raises
:class:`MissingResource` there and tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Json = dict[str, Any]
Pair = tuple[str, str]
"""A system and a code. Without a code: every code of the system, whatever they are."""
Find = Callable[[str, str], Json | None]
"""Returns the ValueSet or CodeSystem (first argument) of a canonical URL, perhaps ``url|version``; None if unknown."""

MOST_CODES = 10_000
_MOST_DEPTH = 20
_OF_CONCEPT = frozenset(("concept", "code"))


class MissingResource(Exception):
    """A ValueSet or CodeSystem that has to be fetched before an expansion can go on."""

    def __init__(self, resource_type: str, canonical: str) -> None:
        super().__init__(f"{resource_type} {canonical}")
        self.resource_type = resource_type
        self.canonical = canonical


class UnexpandableError(ValueError):
    """There is no finite, known list of codes; the message says why."""


class Hierarchy:
    """The concepts of a CodeSystem and how they subsume each other, by nesting and by ``parent``/``child`` properties."""

    def __init__(self, code_system: Json) -> None:
        self.concepts: dict[str, Json] = {}
        self._parents: dict[str, set[str]] = {}
        self._children: dict[str, set[str]] = {}
        self._read(code_system.get("concept", ()), None)

    def _read(self, concepts: Iterable[Json], parent: str | None) -> None:
        for concept in concepts:
            code = concept["code"]
            self.concepts.setdefault(code, concept)
            if parent is not None:
                self._link(parent, code)
            for name, value in properties_of(concept):
                if name in ("parent", "subsumedBy"):
                    self._link(value, code)
                elif name == "child":
                    self._link(code, value)
            self._read(concept.get("concept", ()), code)

    def _link(self, parent: str, child: str) -> None:
        self._parents.setdefault(child, set()).add(parent)
        self._children.setdefault(parent, set()).add(child)

    def below(self, code: str) -> set[str]:
        """Return a code and all that it subsumes."""
        return _closure(code, self._children)

    def above(self, code: str) -> set[str]:
        """Return a code and all that subsume it."""
        return _closure(code, self._parents)

    def children(self, code: str) -> set[str]:
        """Return the codes directly below a code."""
        return self._children.get(code, set())

    def parents(self, code: str) -> set[str]:
        """Return the codes directly above a code."""
        return self._parents.get(code, set())


def _closure(code: str, steps: dict[str, set[str]]) -> set[str]:
    found, waiting = {code}, [code]
    while waiting:
        for following in steps.get(waiting.pop(), ()):
            if following not in found:
                found.add(following)
                waiting.append(following)
    return found


def properties_of(concept: Json) -> Iterator[tuple[str, str]]:
    """Yield (name, value as text) of a concept's properties."""
    for entry in concept.get("property", ()):
        for name, value in entry.items():
            if name == "valueCoding":
                yield entry["code"], value.get("code", "")
            elif name.startswith("value"):
                yield entry["code"], str(value).lower() if isinstance(value, bool) else str(value)


def hierarchy_of(code_system: Json) -> Hierarchy:
    """Return a code system's hierarchy. Raises UnexpandableError when it isn't complete or not one of subsumption."""
    url = code_system.get("url")
    if code_system.get("content") != "complete":
        raise UnexpandableError(f"the code system {url} isn't here completely")
    if code_system.get("hierarchyMeaning", "is-a") != "is-a":
        meaning = code_system["hierarchyMeaning"]
        raise UnexpandableError(
            f"the hierarchy of the code system {url} is {meaning}, so its codes don't subsume each other"
        )
    return Hierarchy(code_system)


def related(code_system: Json, code: str, *, above: bool) -> set[str]:
    """Return the codes above or below a code, itself included. Raises UnexpandableError."""
    hierarchy = hierarchy_of(code_system)
    return hierarchy.above(code) if above else hierarchy.below(code)


def expand(value_set: Json, find: Find) -> frozenset[Pair]:
    """Return the codes of a value set. Raises UnexpandableError, also for more than MOST_CODES codes.

    A code system that isn't here counts as all codes with its system, where it is included as a whole.
    """
    codes = _expand(value_set, find, ())
    if len(codes) > MOST_CODES:
        raise UnexpandableError(f"the value set has {len(codes)} codes; {MOST_CODES} are the most")
    return frozenset(codes)


def _expand(value_set: Json, find: Find, inside: tuple[str, ...]) -> set[Pair]:
    url = str(value_set.get("url"))
    if url in inside or len(inside) >= _MOST_DEPTH:
        raise UnexpandableError(f"the value set {url} includes itself")
    listed = _listed(value_set)
    compose = value_set.get("compose")
    if compose is None:
        if listed is None:
            raise UnexpandableError(
                f"the value set {url} says neither by compose nor by a complete expansion what is in it"
            )
        return listed
    try:
        found: set[Pair] = set()
        for include in compose.get("include", ()):
            found |= _included(include, find, (*inside, url))
        for exclude in compose.get("exclude", ()):
            _exclude(found, _included(exclude, find, (*inside, url)))
    except UnexpandableError:
        if listed is None:
            raise
        return listed
    return found


def _exclude(found: set[Pair], excluded: set[Pair]) -> None:
    whole = {system for system, code in excluded if not code}
    if any(not code and system in {s for s, _ in excluded} - whole for system, code in found):
        raise UnexpandableError("it excludes codes of a code system that isn't here")
    found -= excluded
    found -= {pair for pair in found if pair[0] in whole}


def _listed(value_set: Json) -> set[Pair] | None:
    """Return the codes of a stored expansion, None unless it lists them all."""
    expansion = value_set.get("expansion", {})
    marks = ("valueset-toocostly", "valueset-unclosed")
    contains = expansion.get("contains")
    if not contains or any(e.get("url", "").endswith(marks) for e in expansion.get("extension", ())):
        return None
    found = set(_contained(contains))
    return found if expansion.get("total", 0) <= len(found) else None


def _contained(contains: Iterable[Json]) -> Iterator[Pair]:
    for item in contains:
        if "code" in item and "system" in item and not item.get("abstract"):
            yield item["system"], item["code"]
        yield from _contained(item.get("contains", ()))


def _included(include: Json, find: Find, inside: tuple[str, ...]) -> set[Pair]:
    found: set[Pair] | None = None
    for canonical in include.get("valueSet", ()):
        inner = find("ValueSet", canonical)
        if inner is None:
            raise UnexpandableError(f"the value set {canonical} is not known here")
        codes = _expand(inner, find, inside)
        found = codes if found is None else _both(found, codes)
    if "system" in include:
        codes = _of_system(include, find)
        found = codes if found is None else _both(found, codes)
    return found if found is not None else set()


def _both(one: set[Pair], other: set[Pair]) -> set[Pair]:
    """Return what is in both; a whole system holds all its codes."""
    in_one = {pair for pair in other if (pair[0], "") in one}
    in_other = {pair for pair in one if (pair[0], "") in other}
    return one & other | in_one | in_other


def _of_system(include: Json, find: Find) -> set[Pair]:
    system = include["system"]
    if "concept" in include:
        return {(system, concept["code"]) for concept in include["concept"]}
    version = include.get("version")
    code_system = find("CodeSystem", f"{system}|{version}" if version else system)
    filters = include.get("filter", ())
    if not filters and (code_system is None or code_system.get("content") != "complete"):
        return {(system, "")}
    if code_system is None:
        raise UnexpandableError(f"the code system {system} is not known here")
    hierarchy = Hierarchy(code_system) if not filters else hierarchy_of(code_system)
    codes = set(hierarchy.concepts)
    for condition in filters:
        codes &= _filtered(hierarchy, condition)
    return {(system, code) for code in codes}


def _filtered(hierarchy: Hierarchy, condition: Json) -> set[str]:
    """Return the codes that fulfil one filter, https://hl7.org/fhir/R4/valueset-filter-operator.html."""
    name, operator, value = condition["property"], condition["op"], condition["value"]
    everything = set(hierarchy.concepts)
    if name in _OF_CONCEPT:
        match operator:
            case "is-a":
                return hierarchy.below(value)
            case "descendent-of":
                return hierarchy.below(value) - {value}
            case "is-not-a":
                return everything - hierarchy.below(value)
            case "generalizes":
                return hierarchy.above(value)
            case "=":
                return {value}
    wanted = {text.strip() for text in value.split(",")} if operator in ("in", "not-in") else {value}
    having = {code for code in everything if wanted & _values(hierarchy, code, name)}
    match operator:
        case "=" | "in":
            return having
        case "not-in":
            return everything - having
        case "exists":
            there = {code for code in everything if _values(hierarchy, code, name)}
            return there if value == "true" else everything - there
    raise UnexpandableError(f"a filter by '{operator}' on '{name}' is not supported")


def _values(hierarchy: Hierarchy, code: str, name: str) -> set[str]:
    if name in _OF_CONCEPT:
        return {code}
    if name == "parent":
        return hierarchy.parents(code)
    if name == "child":
        return hierarchy.children(code)
    return {value for known, value in properties_of(hierarchy.concepts[code]) if known == name}
