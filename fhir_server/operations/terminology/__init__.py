"""The operations of https://hl7.org/fhir/R4/terminology-service.html, one row each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from conformance.terminology.coding_check import ValidateCodeParameters
from conformance.terminology.engine import Terminology
from conformance.terminology.expand import MOST_CODES, ExpandParameters
from conformance.terminology.lookup import LookupParameters, SubsumesParameters
from conformance.terminology.parameters import (
    read_expand,
    read_find_matches,
    read_lookup,
    read_subsumes,
    read_translate,
    read_validate_code,
    read_validate_code_in_system,
)
from conformance.terminology.translate import TranslateParameters
from fhir_server.operations.built_in import BuiltIn
from fhir_server.operations.terminology.call import Asking, make_operation
from fhir_server.operations.terminology.closure import CLOSURE
from fhir_server.search.terminology import Known

Json = dict[str, Any]
# More codings than these take their time.
_FEW = 20


def _about_code(asked: ValidateCodeParameters) -> object:
    """Return what a question about codes needs to be read, None where that can't be told or isn't kept."""
    if asked.value_set is not None or asked.code_system is not None or asked.rules or asked.use_supplement:
        return None
    codings = tuple(_codings(asked.code, asked.system, asked.coding, asked.codeable_concept))
    if len(codings) > _FEW:
        return None
    return asked.url, asked.value_set_version, asked.system_version, frozenset(c.get("system") for c in codings)


def _about_lookup(asked: LookupParameters) -> object:
    coding = asked.coding or {"system": asked.system, "version": asked.version}
    return None if asked.use_supplement else (coding.get("system"), coding.get("version"))


def _about_subsumes(asked: SubsumesParameters) -> object:
    coding = asked.coding_a or {"system": asked.system}
    return coding.get("system"), asked.version


def _codings(code: str | None, system: str | None, coding: Json | None, concept: Json | None) -> Iterator[Json]:
    if code is not None:
        yield {"system": system, "code": code}
    if coding is not None:
        yield coding
    yield from (concept or {}).get("coding", ())


def _bound(asked: ExpandParameters, _: Known) -> ExpandParameters:
    """Bound a page; the expansion says which count was used."""
    return replace(asked, count=MOST_CODES) if asked.count is not None and asked.count > MOST_CODES else asked


def _with_maps(asked: TranslateParameters, known: Known) -> TranslateParameters:
    """Look in the maps that are known of the codes' systems, where no map is named."""
    if asked.url is not None or asked.concept_map is not None:
        return asked
    codings = _codings(asked.code, asked.system, asked.coding, asked.codeable_concept)
    systems = dict.fromkeys(coding.get("system") for coding in codings)
    return replace(
        asked, concept_maps=tuple(_each_once(m for s in systems for m in known.maps(s, reverse=asked.reverse)))
    )


def _each_once(maps: Iterable[Json]) -> Iterable[Json]:
    return {id(m): m for m in maps}.values()


_ROWS = (
    Asking("CodeSystem-lookup", read_lookup, Terminology.lookup, about=_about_lookup),
    Asking(
        "CodeSystem-validate-code", read_validate_code_in_system, Terminology.validate_code_in_system, about=_about_code
    ),
    Asking("CodeSystem-subsumes", read_subsumes, Terminology.subsumes, about=_about_subsumes),
    Asking("CodeSystem-find-matches", read_find_matches, Terminology.find_matches),
    Asking("ValueSet-expand", read_expand, Terminology.expand, held="value_set", prepare=_bound),
    Asking(
        "ValueSet-validate-code", read_validate_code, Terminology.validate_code, held="value_set", about=_about_code
    ),
    Asking("ConceptMap-translate", read_translate, Terminology.translate, held="concept_map", prepare=_with_maps),
)

TERMINOLOGY: tuple[BuiltIn, ...] = (*(make_operation(row) for row in _ROWS), CLOSURE)
