"""The codes of a value set as a plain set, https://hl7.org/fhir/R4/search.html#token (``:in``, ``:not-in``).

A code system that isn't here completely, or is a grammar, counts as all codes with its system where it is included as a
whole: that is a pair without a code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from conformance.terminology.code_system import CodeSystem
from conformance.terminology.errors import TerminologyError, unsupported
from conformance.terminology.filters import check_subsumption
from conformance.terminology.value_sets import Part, ValueSet

Pair = tuple[str, str]
"""A system and a code. Without a code: every code of the system, whatever they are."""

MOST_CODES = 10_000


def list_codes(value_set: ValueSet) -> frozenset[Pair]:
    """Return the codes of a value set. Raises TerminologyError, also for more than MOST_CODES codes."""
    try:
        value_set.link()
    except TerminologyError:
        if value_set.stored is None:
            raise
        value_set = value_set.stored
    codes = _of_value_set(value_set)
    if value_set.stored is not None and not all(code for _, code in codes):
        codes = _of_value_set(value_set.stored)
    if len(codes) > MOST_CODES:
        raise _too_many(f"the value set {value_set.name} has more than {MOST_CODES} codes")
    return frozenset(codes)


def list_related(system: CodeSystem, code: str, *, above: bool) -> Collection[str]:
    """Return the codes above or below a code, itself included. Raises TerminologyError, also for too many."""
    url = system.resource.get("url")
    if system.resource.get("content") != "complete":
        raise unsupported(f"the code system {url} isn't here completely")
    check_subsumption(system)
    codes = (system.above(code) if above else system.below(code)) or (code,)
    if len(codes) > MOST_CODES:
        raise _too_many(f"there are {len(codes)} codes related to {code}, more than {MOST_CODES}")
    return codes


def _too_many(text: str) -> TerminologyError:
    return TerminologyError(422, "too-costly", "too-costly", text)


def _of_value_set(value_set: ValueSet) -> set[Pair]:
    try:
        found = _of_parts(value_set.includes)
        excluded = _of_parts(value_set.excludes)
    except TerminologyError:
        if value_set.stored is None:
            raise
        return _of_value_set(value_set.stored)
    whole = {system for system, code in excluded if not code}
    partly = {system for system, code in excluded if code} - whole
    if any(not code and system in partly for system, code in found):
        raise unsupported("it excludes codes of a code system that isn't here")
    left = {pair for pair in found - excluded if pair[0] not in whole}
    if value_set.active_only:
        left = {pair for pair in left if not pair[1] or value_set.holds(*pair)}
    return left


def _of_parts(parts: Iterable[Part]) -> set[Pair]:
    found: set[Pair] = set()
    for part in parts:
        found |= _of_part(part)
    return found


def _of_part(part: Part) -> set[Pair]:
    found: set[Pair] | None = None
    for value_set in part.imports:
        codes = _of_value_set(value_set)
        found = codes if found is None else _both(found, codes)
    if part.system is not None:
        codes = _of_system(part, part.system)
        found = codes if found is None else _both(found, codes)
    return found if found is not None else set()


def _both(one: set[Pair], other: set[Pair]) -> set[Pair]:
    """Return what is in both; a whole system holds all its codes."""
    in_one = {pair for pair in other if (pair[0], "") in one}
    in_other = {pair for pair in one if (pair[0], "") in other}
    return one & other | in_one | in_other


def _of_system(part: Part, system: str) -> set[Pair]:
    if part.listed is not None:
        return {(system, code) for code in part.listed}
    known = part.code_system
    if not part.raw.get("filter") and (known is None or known.resource.get("content") != "complete"):
        return {(system, "")}
    found: set[Pair] = set()
    for code in part.codes():
        found.add((system, code))
        if len(found) > MOST_CODES:
            raise _too_many(f"the code system {system} gives more than {MOST_CODES} codes")
    return found
