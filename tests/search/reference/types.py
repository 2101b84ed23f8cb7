"""Examples for every parameter type with every modifier and every prefix, https://hl7.org/fhir/R4/search.html#ptypes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from conformance.definitions import value_sets
from fhir_server.search.kinds import KINDS
from tests.search.reference.data import LOINC, SICK, UCUM, V2_TYPES
from tests.search.reference.example import Example

PLAIN = "plain"
MG = f"{UCUM}|mg/dL"
# A parameter of each type, with a value that one of its resources has.
PARAMETERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "number": ("RiskAssessment?probability", "0.5"),
        "date": ("Procedure?date", "2016"),
        "string": ("Patient?family", "oka"),
        "phonetic": ("Patient?phonetic", "smyth"),
        "token": ("Condition?code", f"{SICK}|flu"),
        "reference": ("Account?subject", "Patient/ada"),
        "composite": ("Observation?code-value-quantity", f"{LOINC}|w1$5.0|{MG}"),
        "quantity": ("Observation?value-quantity", f"5.0|{MG}"),
        "uri": ("Communication?instantiates-uri", "http://example.org/acme/child"),
        "near": ("Location?near", "52.52|13.405|10|km"),
    }
)
# How the code of a modifier is written in a query, where that isn't the code.
_WRITTEN = {"ofType": "of-type"}
# Of a later edition.
_LATER = ("code-text",)
# Which modifiers the R4 page defines for which types; phonetic parameters are strings by their definition.
R4_MODIFIERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "missing": frozenset(KINDS) - {"composite"},
        "exact": frozenset(("string", "phonetic")),
        "contains": frozenset(("string", "phonetic")),
        "above": frozenset(("token", "reference", "uri")),
        "below": frozenset(("token", "reference", "uri")),
        "identifier": frozenset(("reference",)),
        "type": frozenset(("reference",)),
        **dict.fromkeys(("text", "not", "in", "not-in", "of-type"), frozenset(("token",))),
    }
)


def _codes(value_set: str) -> list[str]:
    return [code for _, code in value_sets()[f"http://hl7.org/fhir/ValueSet/{value_set}"]]


_PREFIX_ORDER = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
PREFIXES = tuple(sorted(_codes("search-comparator"), key=_PREFIX_ORDER.index))
MODIFIERS = tuple(sorted({_WRITTEN.get(code, code) for code in _codes("search-modifier-code")} | {*_LATER}))


def forms() -> Iterator[Example]:
    """Yield the ways to write a value of each type."""
    for type_name, query, found in (
        ("number", "RiskAssessment?probability=0.5", "r-mid"),
        ("number", "RiskAssessment?probability=1", "r-mid r-high"),
        ("number", "RiskAssessment?probability=5e-1", "r-mid"),
        ("date", "Procedure?date=2016", "d-in"),
        ("date", "Procedure?date=2016-03-02", "d-in"),
        ("date", "Procedure?date=2016-03-02T09:00:00+01:00", "d-in"),
        ("date", "Procedure?date=2016-03-02T08:00Z", "d-in"),
        ("string", "Patient?family=oka", "ada bob"),
        ("string", "Patient?family=ÖKAFOR-S", "bob"),
        ("string", "Patient?family=okaforsmith", "bob"),
        ("string", "Patient?name=ada,smith", "ada cy"),
        ("string", r"Patient?family=smith\, roe", "cy"),
        ("phonetic", "Patient?phonetic=smyth", "bob cy"),
        ("token", "Patient?identifier=1", "ada bob cy"),
        ("token", "Patient?identifier=urn:mrn|1", "ada"),
        ("token", "Patient?identifier=|1", "cy"),
        ("token", "Patient?identifier=urn:ssn|", "bob"),
        ("token", "Patient?active=true", "ada"),
        ("reference", "Account?subject=Patient/ada", "a-pat"),
        ("reference", "Account?subject=ada", "a-pat a-dev"),
        ("reference", "Account?subject={base}/Patient/ada", "a-pat"),
        ("reference", "Account?subject=http://other.example/fhir/Patient/ada", "a-far"),
        ("reference", "QuestionnaireResponse?questionnaire=http://example.org/form", "f-two f-any"),
        ("reference", "QuestionnaireResponse?questionnaire=http://example.org/form|2", "f-two"),
        ("composite", f"Observation?component-code-value-quantity={LOINC}|w3$gt100", "q-panel"),
        ("composite", f"Observation?component-code-value-quantity={LOINC}|$gt100", "q-panel q-swapped"),
        ("composite", f"Observation?code-value-quantity=w1$5.0|{MG}", "q-five q-gram"),
        ("quantity", "Observation?value-quantity=5.0", "q-five q-other"),
        ("quantity", f"Observation?value-quantity=5.0|{MG}", "q-five q-gram q-other"),
        ("quantity", "Observation?value-quantity=5.0||mg/dL", "q-five q-other"),
        ("uri", "Communication?instantiates-uri=http://example.org/acme", "u-root"),
        ("uri", "Communication?instantiates-uri=urn:oid:1.2.3", "u-urn"),
        ("near", "Location?near=52.52|13.405|10|km", "berlin"),
        ("near", "Location?near=52.52|13.405", "berlin potsdam"),
    ):
        yield Example(type_name, PLAIN, query, found)


def modifiers() -> Iterator[Example]:
    """Yield an example for every type with every modifier."""
    given = {(e.row, e.column): e for e in _modifiers()}
    for type_name in KINDS:
        query, value = PARAMETERS[type_name]
        for modifier in MODIFIERS:
            written = "Patient" if modifier == "type" else modifier
            undefined = Example(type_name, modifier, f"{query}:{written}={value}")
            yield given.get((type_name, modifier), undefined)


def _modifiers() -> Iterator[Example]:
    flu, infections = f"{SICK}|flu", "http://example.org/infections"
    for type_name, found in {
        "number": "r-none", "date": "d-none", "string": "dan", "phonetic": "dan", "token": "c-none", "reference": "a-none",
        "quantity": "q-none q-panel q-swapped", "uri": "u-none", "near": "nowhere",
    }.items():  # fmt: skip
        yield Example(type_name, "missing", f"{PARAMETERS[type_name][0]}:missing=true", found)
    yield Example(
        "composite", "missing", "Observation?code-value-quantity:missing=true", "q-none q-panel q-swapped", beyond=True
    )
    for type_name, modifier, query, found in (
        ("string", "exact", "Patient?family:exact=Okafor", "ada"),
        ("string", "contains", "Patient?family:contains=SMITH", "bob cy"),
        ("phonetic", "exact", "Patient?phonetic:exact=Okafor", "ada"),
        ("phonetic", "contains", "Patient?phonetic:contains=SMITH", "bob cy"),
        ("token", "text", "Condition?code:text=influ", "c-flu"),
        ("token", "not", f"Condition?code:not={flu}", "c-infection c-injury c-none"),
        ("token", "above", f"Condition?code:above={flu}", "c-flu c-infection"),
        ("token", "below", f"Condition?code:below={SICK}|infection", "c-flu c-infection"),
        ("token", "in", f"Condition?code:in={infections}", "c-flu c-infection"),
        ("token", "not-in", f"Condition?code:not-in={infections}", "c-injury c-none"),
        ("token", "of-type", f"Patient?identifier:of-type={V2_TYPES}|MR|1", "ada"),
        ("reference", "identifier", "Account?subject:identifier=urn:mrn|1", "a-mrn"),
        ("reference", "type", "Account?subject:Patient=ada", "a-pat"),
        ("reference", "above", "Account?subject:above=Organization/ward", "a-ward a-clinic"),
        ("reference", "below", "Account?subject:below=Organization/clinic", "a-ward a-clinic"),
        ("uri", "above", "Communication?instantiates-uri:above=http://example.org/acme/child", "u-root u-child"),
        ("uri", "below", "Communication?instantiates-uri:below=http://example.org/acme", "u-root u-child"),
    ):
        yield Example(type_name, modifier, query, found)
    yield Example("reference", "text", "Account?subject:text=oka", "a-mrn", beyond=True)
    yield Example("reference", "code-text", "Account?subject:code-text=oka", "a-mrn", beyond=True)
    yield Example("token", "code-text", "Condition?code:code-text=influ", "c-flu", beyond=True)


def prefixes() -> Iterator[Example]:
    """Yield an example for every type with every prefix."""
    compared = {
        "number": {
            "eq": "r-mid", "ne": "r-low r-high r-wide", "gt": "r-high r-wide", "lt": "r-low r-wide", "ge": "r-mid r-high r-wide",
            "le": "r-low r-mid r-wide", "sa": "r-high", "eb": "r-low", "ap": "r-mid r-wide",
        },
        "date": {
            "eq": "d-in", "ne": "d-old d-near d-span d-late", "gt": "d-span d-late", "lt": "d-old d-near", "ge": "d-in d-span d-late",
            "le": "d-old d-near d-in", "sa": "d-late", "eb": "d-old d-near", "ap": "d-near d-in d-span",
        },
        "quantity": {
            "eq": "q-five q-gram q-other", "ne": "q-nine q-less", "gt": "q-nine", "lt": "q-less", "ge": "q-five q-gram q-other q-nine",
            "le": "q-five q-gram q-other q-less", "sa": "q-nine", "eb": "q-less", "ap": "q-five q-gram q-other",
        },
    }  # fmt: skip
    compared["composite"] = {p: found.replace(" q-other", "") for p, found in compared["quantity"].items()}
    text = {
        "string": ("x", "letters"),
        "phonetic": ("x", "letters"),
        "reference": ("1", "a-letters"),
        "uri": (":x", "u-letters"),
    }
    for type_name in KINDS:
        query, value = PARAMETERS[type_name]
        for prefix in PREFIXES:
            if type_name in compared:
                before, dollar, last = value.rpartition("$")
                found = compared[type_name][prefix]
                yield Example(type_name, prefix, f"{query}={before}{dollar}{prefix}{last}", found)
            elif type_name == "token":
                yield Example(type_name, prefix, f"Patient?identifier={prefix}1", "letters")
            elif type_name in text:
                rest, found = text[type_name]
                yield Example(type_name, prefix, f"{query}={prefix}{rest}", found)
            else:
                yield Example(type_name, prefix, f"{query}={prefix}{value}")
