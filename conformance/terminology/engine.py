"""The terminology service of FHIR, https://hl7.org/fhir/R4/terminology-service.html, as functions of plain JSON.

A :class:`Terminology` answers from a source of resources. It keeps what it resolved, so it lives as long as the source
stays the same: one for the shipped terminology, one for each state of a tenant's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from conformance.terminology.closure import Concept, Pair, closure_pairs
from conformance.terminology.code_system import Json
from conformance.terminology.coding_check import ValidateCodeParameters
from conformance.terminology.errors import invalid
from conformance.terminology.expand import ExpandParameters, expand
from conformance.terminology.find_matches import FindMatchesParameters, find_matches
from conformance.terminology.lookup import LookupParameters, SubsumesParameters, look_up, subsumes
from conformance.terminology.scope import Scope
from conformance.terminology.source import Resources, Source, Sources
from conformance.terminology.translate import TranslateParameters, translate
from conformance.terminology.validate_code import validate_code
from conformance.terminology.value_sets import ValueSet
from conformance.terminology.versions import NO_RULES, VersionRules


class Terminology:
    """Terminology operations on what a source knows.

    Each returns a Parameters, ValueSet or ConceptMap resource, or raises
    :class:`~conformance.terminology.errors.TerminologyError`; what a source raises goes through.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._scope = Scope(source)

    def expand(self, asked: ExpandParameters, now: datetime | None = None) -> Json:
        """Return a ValueSet with its expansion, ``$expand``."""
        scope = self._scope_for(asked.rules, asked.use_supplement)
        value_set = _required(_value_set(scope, asked.url, asked.value_set_version, asked.value_set))
        return expand(value_set, asked, now or datetime.now(UTC))

    def validate_code(self, asked: ValidateCodeParameters) -> Json:
        """Return Parameters with the result of a value set's ``$validate-code``."""
        _check_one_code(asked)
        if asked.code is not None and asked.system is None and not asked.infer_system:
            raise invalid("a code takes its system, or inferSystem")
        scope = self._scope_for(asked.rules, asked.use_supplement)
        value_set = _required(_value_set(scope, asked.url, asked.value_set_version, asked.value_set))
        return validate_code(scope, value_set, asked)

    def validate_code_in_system(self, asked: ValidateCodeParameters) -> Json:
        """Return Parameters with the result of a code system's ``$validate-code``; ``url`` or ``system`` names it."""
        _check_one_code(asked)
        source: Source = self._source
        system = asked.system or asked.url
        if asked.code_system is not None:
            system = asked.code_system.get("url")
            source = Sources(Resources((asked.code_system,)), source)
        if asked.code is not None and system is None:
            raise invalid("a code takes the url of its code system")
        scope = Scope(source, asked.rules) if asked.code_system is not None or asked.rules else self._scope
        scope = scope.with_supplements(asked.use_supplement) if asked.use_supplement else scope
        codings = (asked.codeable_concept or {}).get("coding", ()) if asked.coding is None else (asked.coding,)
        for coding in codings:
            if asked.url is not None and coding.get("system") not in (None, asked.url):
                raise invalid(f"the coding is of the system {coding['system']}, not of {asked.url}")
        return validate_code(scope, None, asked.in_system(system))

    def lookup(self, asked: LookupParameters) -> Json:
        """Return Parameters with what is known of a code, ``$lookup``."""
        return look_up(self._scope_for(NO_RULES, asked.use_supplement), asked)

    def subsumes(self, asked: SubsumesParameters) -> Json:
        """Return Parameters with how two codes relate, ``$subsumes``."""
        return subsumes(self._scope, asked)

    def translate(self, asked: TranslateParameters) -> Json:
        """Return Parameters with the translations of a code, ``$translate``."""
        return translate(self._scope, asked)

    def find_matches(self, asked: FindMatchesParameters) -> Json:
        """Return Parameters with the codes that have properties, ``$find-matches``."""
        return find_matches(self._scope, asked)

    def close(self, known: Iterable[Concept], added: Sequence[Concept]) -> list[Pair]:
        """Return the pairs that concepts add to a closure table that has the known ones; ``closure_map`` renders them."""
        return closure_pairs(self._scope, known, added)

    def _scope_for(self, rules: VersionRules, supplements: tuple[str, ...]) -> Scope:
        scope = Scope(self._source, rules) if rules else self._scope
        return scope.with_supplements(supplements) if supplements else scope


def _value_set(scope: Scope, url: str | None, version: str | None, inline: Json | None) -> ValueSet | None:
    if inline is not None:
        return ValueSet(inline, scope)
    if url is None:
        return None
    return scope.value_set(f"{url}|{version}" if version and "|" not in url else url)


def _required(value_set: ValueSet | None) -> ValueSet:
    if value_set is None:
        raise invalid("the operation takes the url of a value set, or the value set itself")
    return value_set


def _check_one_code(asked: ValidateCodeParameters) -> None:
    given = sum(value is not None for value in (asked.code, asked.coding, asked.codeable_concept))
    if given != 1:
        raise invalid("$validate-code takes one of code, coding and codeableConcept")
