"""Examples for parameters that all types have, result parameters, chains, contexts and ``_filter``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from conformance.definitions import resource_types
from fhir_server.search.bind import bind
from fhir_server.search.environment import Environment
from fhir_server.search.errors import InvalidSearch, Unsupported
from fhir_server.search.parse import parse
from fhir_server.search.registry import Parameter, standard
from fhir_server.search.sorting import sort_key
from tests.search.reference.data import LOINC, SICK, UCUM
from tests.search.reference.example import Example

# Searches of their own in the code, which need no index of the parameter.
IN_CODE = frozenset(("_filter", "_text", "_content"))
_SORTED = frozenset(("string", "date", "number", "quantity", "token", "reference", "uri"))
_ENVIRONMENT = Environment(1, standard())
# What the R4 page lists.
R4_FOR_ALL_TYPES = (
    "_content", "_filter", "_has", "_id", "_lastUpdated", "_list", "_profile", "_query", "_security", "_source", "_tag",
    "_text", "_type",
)  # fmt: skip
R4_RESULTS = (
    "_contained", "_containedType", "_count", "_elements", "_format", "_include", "_include:iterate", "_revinclude",
    "_revinclude:iterate", "_sort", "_summary", "_total",
)  # fmt: skip
_MODES = "Bundle.entry.search.mode"
_EVERY_PROCEDURE = "d-old d-near d-in d-span d-late d-none"


def for_all_types() -> Iterator[Example]:
    """Yield examples of https://hl7.org/fhir/R4/search.html#all and of the parameters beside it."""
    for name, query, found in (
        ("_id", "Patient?_id=ada,bob", "ada bob"),
        ("_id:not", "Patient?_id:not=ada,letters", "bob cy dan"),
        ("_id:missing", "Patient?_id:missing=false&gender=male", "bob"),
        ("_lastUpdated=eq", "List?_lastUpdated={late}", "watched"),
        ("_lastUpdated=ne", "List?_lastUpdated=ne{late}", "shunned"),
        ("_lastUpdated=gt", "List?_lastUpdated=gt{early}", "watched"),
        ("_lastUpdated=lt", "List?_lastUpdated=lt{late}", "shunned"),
        ("_lastUpdated=ge", "List?_lastUpdated=ge{late}", "watched"),
        ("_lastUpdated=le", "List?_lastUpdated=le{early}", "shunned"),
        ("_lastUpdated=sa", "List?_lastUpdated=sa{early}", "watched"),
        ("_lastUpdated=eb", "List?_lastUpdated=eb{late}", "shunned"),
        ("_lastUpdated=ap", "List?_lastUpdated=ap{late}&_id=watched", "watched"),
        ("_tag", "Patient?_tag=urn:tag|vip", "ada"),
        ("_tag:not", "Patient?_tag:not=urn:tag|vip&gender:missing=false", "bob dan"),
        ("_tag:text", "Patient?_tag:text=very", "ada"),
        ("_profile", "Patient?_profile=http://example.org/adult", "ada"),
        ("_profile:below", "Patient?_profile:below=http://example.org", "ada"),
        ("_security", "Patient?_security=urn:label|R", "ada"),
        ("_source", "Patient?_source=http://example.org/feed", "ada"),
        ("_text", "Patient?_text=gliding", "ada"),
        ("_content", "Patient?_content=marina", "bob"),
        ("_list", "Patient?_list=watched", "ada"),
        ("_list, functional", "Patient?_list=$current-problems", "ada"),
        ("_text:missing", "Patient?_text:missing=true&gender=male", "bob"),
        ("_has", f"Patient?_has:Observation:patient:code={LOINC}|w1", "ada bob"),
        ("_type", "?_type=Patient,Organization&_id=ada,clinic,rx", "ada clinic"),
        ("_filter", "Patient?_filter=gender eq male or birthdate lt 1985-01-01", "ada bob"),
        ("_query", "Patient?_query=current-high-risk", "ada"),
    ):
        yield Example("all", name, query, found)


def results() -> Iterator[Example]:
    """Yield examples of https://hl7.org/fhir/R4/search.html#return."""
    of_ada = "Patient?_id=ada"
    for name, query, found, shows in (
        ("_sort", "Patient?_id=ada,bob,cy&_sort=family", "ada bob cy", "true"),
        ("_sort, descending", "Patient?_id=ada,bob,cy&_sort=-family", "cy bob ada", "true"),
        ("_sort, several keys", "Observation?value-quantity:missing=false&_sort=code,-value-quantity",
         "q-nine q-five q-less q-gram q-other", "true"),
        ("_sort by date", "Procedure?_sort=date", _EVERY_PROCEDURE, "true"),
        ("_sort by number", "RiskAssessment?probability:missing=false&_sort=-probability", "r-high r-mid r-wide r-low", "true"),
        ("_sort by quantity", "Observation?subject:missing=false&_sort=-value-quantity", "q-nine q-five", "true"),
        ("_sort by token", "Patient?gender:missing=false&_sort=gender", "ada bob dan", "true"),
        ("_sort by reference", "Account?_id=a-pat,a-dev,a-ward&_sort=-subject", "a-pat a-ward a-dev", "true"),
        ("_sort by uri", "Communication?_id=u-urn,u-child,u-root&_sort=instantiates-uri", "u-root u-child u-urn", "true"),
        ("_sort by _id", "Medication?_sort=-_id", "syrup pill", "true"),
        ("_sort by _lastUpdated", "List?_sort=-_lastUpdated", "watched shunned", "true"),
        ("_sort by composite", "Observation?_sort=code-value-quantity", "", "true"),
        ("_sort by phonetic", "Patient?_sort=phonetic", "", "true"),
        ("_sort by near", "Location?_sort=near", "", "true"),
        ("_count", "Medication?_count=1", "syrup", "Bundle.link.where(relation = 'next').exists()"),
        ("_count=0", "Medication?_count=0", "", "Bundle.total = 2"),
        ("_include", f"{of_ada}&_include=Patient:organization", "ada +ward", f"{_MODES} = ('match' | 'include')"),
        ("_include with a type", "Account?_id=a-pat&_include=Account:subject:Patient", "a-pat +ada", "true"),
        ("_include of all", f"{of_ada}&_include=*", "ada +ward +dora", "true"),
        ("_include of all of a type", f"{of_ada}&_include=Patient:*", "ada +ward +dora", "true"),
        ("_include:iterate", f"{of_ada}&_include=Patient:organization&_include:iterate=Organization:partof",
         "ada +ward +clinic", "true"),
        ("_revinclude", f"{of_ada}&_revinclude=Observation:subject", "ada +q-five", "true"),
        ("_revinclude of all", f"{of_ada}&_revinclude=*", "ada +a-pat +q-five +rx +watched", "true"),
        ("_revinclude:iterate", "Organization?_id=clinic&_revinclude=Organization:partof&_revinclude:iterate=Patient:organization",
         "clinic +ward +ada", "true"),
        ("_summary=true", f"{of_ada}&_summary=true", "ada", "Bundle.entry.resource.text.empty()"),
        ("_summary=text", f"{of_ada}&_summary=text", "ada", "Bundle.entry.resource.select(text.exists() and name.empty())"),
        ("_summary=data", f"{of_ada}&_summary=data", "ada", "Bundle.entry.resource.select(text.empty() and name.exists())"),
        ("_summary=count", "Patient?gender=male&_summary=count", "", "Bundle.total = 1 and Bundle.entry.empty()"),
        ("_summary=false", f"{of_ada}&_summary=false", "ada", "Bundle.entry.resource.text.exists()"),
        ("_total=accurate", "Medication?_count=1&_total=accurate", "syrup", "Bundle.total = 2"),
        ("_total=estimate", "Medication?_count=1&_total=estimate", "syrup", "Bundle.total = 2"),
        ("_total=none", "Medication?_count=1&_total=none", "syrup", "Bundle.total.empty()"),
        ("_elements", f"{of_ada}&_elements=gender", "ada",
         "Bundle.entry.resource.select(gender.exists() and birthDate.empty() and meta.tag.where(code = 'SUBSETTED').exists())"),
        ("_format", f"{of_ada}&_format=json", "ada", "true"),
        ("_pretty", f"{of_ada}&_pretty=true", "ada", "true"),
        ("_contained=false", "Medication?code=aspirin&_contained=false", "pill", "true"),
        ("_contained=true", "Medication?code=aspirin&_contained=true", "rx", "true"),
        ("_contained=both", "Medication?code=aspirin&_contained=both", "pill rx", "true"),
        ("_contained on several types", "?_type=Medication,Patient&_id=pill,ada&_contained=both", "pill ada", "true"),
        ("_contained with includes", "Medication?code=aspirin&_contained=both&_include=*", "pill rx", "true"),
        ("_containedType=container", "Medication?code=aspirin&_contained=true&_containedType=container", "rx", "true"),
        ("_containedType=contained", "Medication?code=aspirin&_contained=true&_containedType=contained", "inside", "true"),
    ):  # fmt: skip
        yield Example("result", name, query, found, shows)


def searches() -> Iterator[Example]:
    """Yield ways to ask: together, chained, in a context."""
    observed = f"Observation:patient:code={LOINC}|w1"
    for name, query, found in (
        ("all of several", "Patient?family=oka&gender=male", "bob"),
        ("the same parameter twice", "Patient?birthdate=ge1980&birthdate=lt1990", "ada"),
        ("one of several values", "Patient?gender=male,female", "ada bob"),
        ("chain", "Observation?patient.family=okafor-s", "q-nine"),
        ("chain with a type", "Account?subject:Patient.family=okafor", "a-pat"),
        ("chain of several steps", "Observation?patient.organization.partof.name=clinic", "q-five"),
        ("chain along a canonical", "QuestionnaireResponse?questionnaire.title=intake&_id=f-any,f-other", "f-any"),
        ("chain with a modifier", "Observation?patient.family:exact=Okafor", "q-five"),
        ("reverse chain", f"Patient?_has:{observed}", "ada bob"),
        ("reverse chain of several steps", f"Organization?_has:Patient:organization:_has:{observed}", "ward"),
        ("chain into a reverse chain", f"Account?subject:Patient._has:{observed}", "a-pat"),
        ("on some types", "?_type=Medication,Location&_id:not=pill,nowhere", "syrup berlin potsdam paris"),
        ("on all types", "?_id=ada,clinic", "ada clinic"),
        ("in a compartment", "Patient/ada/Observation?code=w1", "q-five"),
        ("in a compartment, on all types", "Patient/ada/*?_type=Observation,Account", "q-five a-pat"),
    ):
        yield Example("search", name, query, found)
    yield Example("search", "chain into contained resources", "MedicationRequest?medication.code=aspirin", "rx")
    gap = "A chain takes any version of what a canonical names: it compares the hashes of URLs without them."
    yield Example(
        "search",
        "chain along a canonical with a version",
        "QuestionnaireResponse?questionnaire.title=intake",
        "f-any",
        gap=gap,
    )
    yield Example("search", "by POST", "Patient?gender=male", "bob", post=True)
    yield Example(
        "search", "by POST, on several types", "?_type=Patient,List&_id=ada,watched", "ada watched", post=True
    )


def filters() -> Iterator[Example]:
    """Yield an example of every operator of https://hl7.org/fhir/R4/search_filter.html#ops."""
    date, okafor, flu = "Procedure?_filter=date", "Patient?_filter=family", f"{SICK}|flu"
    for operator, query, found in (
        ("eq", f"{okafor} eq okafor", "ada"),
        ("ne", f"Condition?_filter=code ne {flu}", "c-infection c-injury"),
        ("co", f"{okafor} co smith", "bob cy"),
        ("sw", f"{okafor} sw oka", "ada bob"),
        ("ew", f"{okafor} ew smith", "bob"),
        ("gt", f"{date} gt 2016", "d-span d-late"),
        ("lt", f"{date} lt 2016", "d-old d-near"),
        ("ge", f"{date} ge 2016", "d-in d-span d-late"),
        ("le", f"{date} le 2016", "d-old d-near d-in"),
        ("ap", f"Observation?_filter=value-quantity ap 5.2|{UCUM}|mg/dL", "q-five q-gram q-other"),
        ("sa", f"{date} sa 2016", "d-late"),
        ("eb", f"{date} eb 2016", "d-old d-near"),
        ("pr", f"{date} pr false", "d-none"),
        ("po", f"{date} po 2016", "d-in d-span"),
        ("ss", f"Condition?_filter=code ss {SICK}|infection", "c-flu c-infection"),
        ("sb", f"Condition?_filter=code sb {flu}", "c-flu c-infection"),
        ("in", "Condition?_filter=code in http://example.org/infections", "c-flu c-infection"),
        ("ni", "Condition?_filter=code ni http://example.org/infections", "c-injury c-none"),
        ("re", "Account?_filter=subject re Patient/ada", "a-pat"),
        ("and, or, not", f'{okafor} sw "oka" and not (gender eq male or family co "x")', "ada"),
        ("chain", "Observation?_filter=patient.family eq okafor", "q-five"),
        ("brackets in a chain", "Observation?_filter=patient[gender eq female].family sw oka", "q-five"),
    ):
        yield Example("filter", operator, query, found)


def is_usable(parameter: Parameter) -> bool:
    """Tell whether the server can search by a parameter of the specification on a resource type."""
    if parameter.code in IN_CODE:
        return True
    try:
        bind(parameter.resource_type, parse([(f"{parameter.code}:missing", "true")]), _ENVIRONMENT, strict=True)
    except InvalidSearch:
        return False
    return True


@cache
def every_parameter() -> tuple[tuple[Parameter, bool], ...]:
    """Return each parameter of the specification, once for each type that has it, and whether it can be used."""
    found = (parameter for name in resource_types() for parameter in standard().of(name).values())
    return tuple((parameter, is_usable(parameter)) for parameter in found)


def unusable() -> Iterator[Example]:
    """Yield a search by each parameter of the specification that can't be used, on the first type that has it."""
    first = {p.code: p.resource_type for p, usable in reversed(every_parameter()) if not usable}
    for code in sorted(first):
        yield Example("unusable", code, f"{first[code]}?{code}=1", "anything")


def unsortable() -> Iterator[Example]:
    """Yield a search sorted by each parameter that has no order, although its type has one."""
    for parameter, usable in every_parameter():
        if usable and parameter.type in _SORTED and parameter.code not in IN_CODE:
            try:
                sort_key(parameter.code, parameter.resource_type, standard())
            except Unsupported:
                name = parameter.resource_type
                yield Example("unsortable", parameter.code, f"{name}?_sort={parameter.code}", "anything")
