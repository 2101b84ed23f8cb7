"""The filters of a value set, https://hl7.org/fhir/R4/valueset-filter-operator.html, and ``child-of`` of later releases.

A filter is compiled for one code system into a :class:`Condition`: it tells whether it holds for a code, and, where the
code system knows them without looking at all codes, which codes it holds for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from time import thread_time

from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.patterns import compile_pattern, find_match
from conformance.terminology.code_system import CodeSystem, Json
from conformance.terminology.errors import TerminologyError, unsupported
from conformance.terminology.memory import text_of

_OF_CONCEPT = frozenset(("concept", "code"))
_REPETITION = re.compile(r"[*+{]")
_MOST_REPETITIONS = 2
# Seconds: the time to match one text that is worth counting, and the most of that for all texts.
_REMARKABLE = 0.001
_MOST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Condition:
    """What a filter asks. ``codes`` are all codes that fulfil it, None where finding them means asking each."""

    holds: Callable[[str], bool]
    codes: Collection[str] | None = None


def compile_filter(system: CodeSystem, condition: Json) -> Condition:
    """Return a filter as a condition on codes. Raises TerminologyError for one that makes no sense or isn't supported."""
    name, operator, value = condition.get("property"), condition.get("op"), condition.get("value")
    if not name or not operator or value is None:
        raise TerminologyError(422, "invalid", "vs-invalid", f"a filter of the value set is incomplete: {condition}")
    if name in _OF_CONCEPT and operator in _BY_CODE:
        if operator in _BY_HIERARCHY:
            check_subsumption(system)
        return _BY_CODE[operator](system, value)
    match operator:
        case "=" | "in":
            return _among(_having(system, name, _listed(operator, value)))
        case "not-in":
            return _without(_having(system, name, _listed(operator, value)))
        case "exists":
            there = _present(system, name)
            return _among(there) if value == "true" else _without(there)
        case "regex":
            pattern = _Pattern(value)
            return Condition(lambda code: any(map(pattern.fits, _values(system, code, name))))
    raise unsupported(f"a filter by '{operator}' on '{name}' is not supported")


def check_subsumption(system: CodeSystem) -> None:
    """Raise TerminologyError unless the hierarchy of a code system is one of meaning."""
    meaning = system.resource.get("hierarchyMeaning", "is-a")
    if meaning != "is-a":
        url = system.resource.get("url")
        raise unsupported(f"the hierarchy of the code system {url} is {meaning}, so its codes don't subsume each other")


def _among(codes: Collection[str]) -> Condition:
    return Condition(codes.__contains__, codes)


def _without(codes: Collection[str]) -> Condition:
    return Condition(lambda code: code not in codes)


def _listed(operator: str, value: str) -> list[str]:
    return [text.strip() for text in value.split(",")] if operator in ("in", "not-in") else [value]


def _is_a(system: CodeSystem, value: str) -> Condition:
    return _among(system.below(value))


def _descendent_of(system: CodeSystem, value: str) -> Condition:
    below = system.below(value)
    return Condition(lambda code: code != value and code in below, _Except(below, value) if value in below else below)


class _Except(Collection[str]):
    """A collection without one of its members, which isn't copied."""

    def __init__(self, codes: Collection[str], left_out: str) -> None:
        self._codes, self._left_out = codes, left_out

    def __contains__(self, code: object) -> bool:
        return code != self._left_out and code in self._codes

    def __len__(self) -> int:
        return len(self._codes) - 1

    def __iter__(self) -> Iterator[str]:
        return (code for code in self._codes if code != self._left_out)


def _is_not_a(system: CodeSystem, value: str) -> Condition:
    return _without(system.below(value))


def _generalizes(system: CodeSystem, value: str) -> Condition:
    return _among(system.above(value))


def _child_of(system: CodeSystem, value: str) -> Condition:
    return _among(dict.fromkeys(system.children(value)))


def _regex(system: CodeSystem, value: str) -> Condition:
    del system
    return Condition(_Pattern(value).fits)


_BY_CODE: dict[str, Callable[[CodeSystem, str], Condition]] = {
    "is-a": _is_a,
    "descendent-of": _descendent_of,
    "is-not-a": _is_not_a,
    "generalizes": _generalizes,
    "child-of": _child_of,
    "regex": _regex,
}
_BY_HIERARCHY = frozenset(("is-a", "descendent-of", "is-not-a", "generalizes"))


class _Pattern:
    """A regular expression that has to fit a text as a whole.

    Whoever writes value sets writes it, so its time is limited unless it is plain: that for one text, and the processor
    time of all texts together that take remarkably long.
    """

    def __init__(self, value: str) -> None:
        try:
            self._pattern = compile_pattern(value)
        except FHIRPathError as error:
            raise TerminologyError(422, "invalid", "vs-invalid", str(error)) from error
        # Without groups each repetition multiplies the time by the length of the text at most.
        self._plain = "(" not in value and len(_REPETITION.findall(value)) <= _MOST_REPETITIONS
        self._spent = 0.0

    def fits(self, text: str) -> bool:
        """Tell whether a text fits. Raises TerminologyError when that takes too long."""
        if self._plain:
            return self._pattern.fullmatch(text) is not None
        started = thread_time()
        try:
            found = find_match(self._pattern, text, whole=True)
        except FHIRPathError as error:
            raise _too_slow(self._pattern.pattern) from error
        spent = thread_time() - started
        if spent > _REMARKABLE:
            self._spent += spent
            if self._spent > _MOST_SECONDS:
                raise _too_slow(self._pattern.pattern)
        return found


def _too_slow(pattern: str) -> TerminologyError:
    return TerminologyError(422, "too-costly", "too-costly", f"the regular expression '{pattern}' takes too long")


def _having(system: CodeSystem, name: str, values: Iterable[str]) -> Collection[str]:
    if name in _OF_CONCEPT:
        return dict.fromkeys(code for code in values if system.find(code) is not None)
    if name == "parent":
        return dict.fromkeys(child for value in values for child in system.children(value))
    if name == "child":
        return dict.fromkeys(parent for value in values for parent in system.parents(value))
    if name in ("display", "definition"):
        wanted = frozenset(values)
        return dict.fromkeys(code for code in system.codes() if wanted & set(_values(system, code, name)))
    return system.having(name, values)


def _present(system: CodeSystem, name: str) -> Collection[str]:
    if name in ("parent", "child", "display", "definition") or name in _OF_CONCEPT:
        return dict.fromkeys(code for code in system.codes() if _values(system, code, name))
    return system.with_property(name)


def _values(system: CodeSystem, code: str, name: str) -> list[str]:
    """Return the values of a property of a code, the ones that every concept may have among them."""
    if name in _OF_CONCEPT:
        return [code]
    if name == "parent":
        return list(system.parents(code))
    if name == "child":
        return list(system.children(code))
    concept = system.find(code)
    if concept is None:
        return []
    if name == "display":
        return [concept.display] if concept.display else []
    if name == "definition":
        return [concept.definition] if concept.definition else []
    return [text_of(p.value) for p in concept.properties if p.code == name]
