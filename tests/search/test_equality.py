"""Tokens, references, URIs and strings on PostgreSQL, with every modifier."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.search.match import matches
from tests.search.world import World

SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"


def coded(id_: str, *codings: dict[str, str]) -> dict[str, Any]:
    code = {"code": {"coding": list(codings)}} if codings else {}
    return {"resourceType": "Observation", "id": id_, "status": "final", **code}


CODES = (
    coded("loinc", {"system": LOINC, "code": "1-8"}),
    coded("snomed", {"system": SNOMED, "code": "1-8"}),
    coded("both", {"system": LOINC, "code": "2-2"}, {"system": SNOMED, "code": "22"}),
    coded("bare", {"code": "1-8"}),
    coded("odd", {"system": LOINC, "code": "a|b,c"}),
    coded("upper", {"system": LOINC, "code": "A"}),
    coded("none"),
)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("1-8", {"loinc", "snomed", "bare"}),
        (f"{LOINC}|1-8", {"loinc"}),
        ("|1-8", {"bare"}),
        (f"{SNOMED}|", {"snomed", "both"}),
        ("22,A", {"both", "upper"}),
        (f"{LOINC}|2-2,{SNOMED}|1-8", {"both", "snomed"}),
        (r"a\|b\,c", {"odd"}),
        (rf"{LOINC}|a\|b\,c", {"odd"}),
        ("a", set()),
        ("a|b", set()),
        ("1-8|", set()),
        ("%", set()),
    ],
)
def test_tokens(world: World, value: str, wanted: set[str]) -> None:
    world.put(*CODES)
    assert set(world.ids("Observation", ("code", value))) == wanted
    everything = {resource["id"] for resource in CODES}
    assert set(world.ids("Observation", ("code:not", value))) == everything - wanted
    for resource in CODES:
        assert matches("Observation", resource, [("code", value)], 7) == (resource["id"] in wanted)
        assert matches("Observation", resource, [("code:not", value)], 7) == (resource["id"] not in wanted)


def test_repeated_parameters_must_all_hold(world: World) -> None:
    world.put(*CODES)
    assert world.ids("Observation", ("code", "2-2"), ("code", "22")) == ["both"]
    assert world.ids("Observation", ("code", "2-2"), ("code", "1-8")) == []
    assert set(world.ids("Observation", ("code", "1-8"), ("code:not", f"{SNOMED}|1-8"))) == {"loinc", "bare"}
    assert world.ids("Observation", ("code", "2-2,1-8"), ("code", f"{SNOMED}|"), ("status", "final")) == [
        "both",
        "snomed",
    ]


def test_missing(world: World) -> None:
    world.put(*CODES)
    assert world.ids("Observation", ("code:missing", "true")) == ["none"]
    assert len(world.ids("Observation", ("code:missing", "false"))) == len(CODES) - 1
    world.put(
        {"resourceType": "Patient", "id": "full", "name": [{"family": "A"}], "birthDate": "2000", "link": [
            {"other": {"reference": "Patient/x"}, "type": "refer"}]},
        {"resourceType": "Patient", "id": "empty"},
    )  # fmt: skip
    world.put(coded("valued") | {"valueQuantity": {"value": 1}})
    assert world.ids("Observation", ("value-quantity:missing", "false")) == ["valued"]
    assert "valued" not in world.ids("Observation", ("value-quantity:missing", "true"))
    for name in ("name", "birthdate", "link"):
        assert world.ids("Patient", (f"{name}:missing", "true")) == ["empty"], name
        assert world.ids("Patient", (f"{name}:missing", "false")) == ["full"], name


def test_a_required_binding_implies_the_system_of_a_code(world: World) -> None:
    world.put({"resourceType": "Patient", "id": "m", "gender": "male", "active": True})
    system = "http://hl7.org/fhir/administrative-gender"
    assert world.ids("Patient", ("gender", f"{system}|male")) == ["m"]
    assert world.ids("Patient", ("gender", "male")) == ["m"]
    assert world.ids("Patient", ("gender", f"{system}|")) == ["m"]
    assert world.ids("Patient", ("gender", "http://other|male")) == []
    assert world.ids("Patient", ("active", "true")) == ["m"]
    assert world.ids("Patient", ("active", "http://terminology.hl7.org/CodeSystem/special-values|true")) == ["m"]
    assert world.ids("Patient", ("active", "false")) == []


def test_an_expression_that_is_no_path_also_counts_absence(world: World) -> None:
    world.put(
        {"resourceType": "Patient", "id": "alive"},
        {"resourceType": "Patient", "id": "said", "deceasedBoolean": False},
        {"resourceType": "Patient", "id": "dead", "deceasedDateTime": "2020"},
    )
    assert world.ids("Patient", ("deceased", "true")) == ["dead"]
    assert set(world.ids("Patient", ("deceased", "false"))) == {"alive", "said"}


def test_identifiers_and_contact_points(world: World) -> None:
    telecom = [{"system": "phone", "value": "555 1234"}, {"system": "email", "value": "a@b.c"}]
    identifier = [{"system": "urn:mrn", "value": "007"}, {"value": "x"}]
    world.put({"resourceType": "Patient", "id": "p", "identifier": identifier, "telecom": telecom})
    for name, value in [
        ("identifier", "urn:mrn|007"), ("identifier", "007"), ("identifier", "|x"), ("identifier", "urn:mrn|"),
        ("phone", "555 1234"), ("email", "a@b.c"), ("telecom", "a@b.c"),
    ]:  # fmt: skip
        assert world.ids("Patient", (name, value)) == ["p"], (name, value)
    for name, value in [("identifier", "|007"), ("phone", "a@b.c"), ("identifier", "urn:mrn|x")]:
        assert world.ids("Patient", (name, value)) == [], (name, value)


def test_tags_profiles_and_ids(world: World) -> None:
    profile = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"
    meta = {"tag": [{"system": "s", "code": "t"}], "profile": [f"{profile}|6.1.0"], "source": "http://src#1"}
    meta["security"] = [{"system": "sec", "code": "R"}]
    world.put({"resourceType": "Patient", "id": "p", "meta": meta}, {"resourceType": "Patient", "id": "q"})
    for name, value in [
        ("_tag", "s|t"), ("_profile", profile), ("_profile", f"{profile}|6.1.0"), ("_source", "http://src#1"),
        ("_security", "R"), ("_id", "p"), ("_id", "p,nobody"), ("_id:not", "q"),
    ]:  # fmt: skip
        assert world.ids("Patient", (name, value)) == ["p"], (name, value)
    for name, value in [("_profile", f"{profile}|5"), ("_id", "'; --"), ("_id", "P"), ("_id", "x" * 100)]:
        assert world.ids("Patient", (name, value)) == [], (name, value)


def observed(id_: str, subject: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": id_, "status": "final", "subject": subject}


REFERENCES = (
    observed("patient", {"reference": "Patient/1"}),
    observed("versioned", {"reference": "Patient/1/_history/3"}),
    observed("group", {"reference": "Group/1"}),
    observed("url", {"reference": "https://else.where/fhir/Patient/1"}),
    observed("urn", {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}),
    observed("logical", {"identifier": {"system": "urn:mrn", "value": "007"}}),
    observed("contained", {"reference": "#p"}),
)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("subject", "Patient/1", {"patient", "versioned"}),
        ("subject", "1", {"patient", "versioned", "group"}),
        ("patient", "1", {"patient", "versioned"}),
        ("patient", "Patient/1", {"patient", "versioned"}),
        ("patient", "Group/1", set()),
        ("subject:Patient", "1", {"patient", "versioned"}),
        ("subject:Group", "1", {"group"}),
        ("subject:Patient", "Patient/1", {"patient", "versioned"}),
        ("subject:Group", "Patient/1", set()),
        ("subject", "Patient/1,Group/1", {"patient", "versioned", "group"}),
        ("subject", "https://else.where/fhir/Patient/1", {"url"}),
        ("subject", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", {"urn"}),
        ("subject:identifier", "urn:mrn|007", {"logical"}),
        ("subject:identifier", "007", {"logical"}),
        ("subject:identifier", "008", set()),
        ("subject", "#p", set()),
    ],
)
def test_references(world: World, name: str, value: str, wanted: set[str]) -> None:
    world.put(*REFERENCES)
    assert set(world.ids("Observation", (name, value))) == wanted
    for resource in REFERENCES:
        assert matches("Observation", resource, [(name, value)], 7) == (resource["id"] in wanted)


def test_canonicals_are_found_with_and_without_version(world: World) -> None:
    url = "http://x.org/Questionnaire/q"
    world.put({"resourceType": "QuestionnaireResponse", "id": "r", "questionnaire": f"{url}|2"})
    assert world.ids("QuestionnaireResponse", ("questionnaire", url)) == ["r"]
    assert world.ids("QuestionnaireResponse", ("questionnaire", rf"{url}|2")) == ["r"]
    assert world.ids("QuestionnaireResponse", ("questionnaire", f"{url}|3")) == []


def test_uris_match_exactly(world: World) -> None:
    world.put({"resourceType": "ValueSet", "id": "v", "url": "http://x.org/fhir/ValueSet/A"})
    assert world.ids("ValueSet", ("url", "http://x.org/fhir/ValueSet/A")) == ["v"]
    for other in ("http://x.org/fhir/ValueSet/a", "http://x.org/fhir/ValueSet", "http://x.org/fhir/ValueSet/A/"):
        assert world.ids("ValueSet", ("url", other)) == [], other


NAMES = {
    "muller": {"family": "Müller", "given": ["Jürgen", "Max"]},
    "mueller": {"family": "Mueller"},
    "text": {"text": "Dr.  Ada   Lovelace"},
    "turkish": {"family": "İnönü"},
    "strasse": {"family": "Groß"},
    "last": {"family": "\U0010ffffx"},
    "prefix": {"prefix": ["Sir"], "suffix": ["PhD"]},
}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("name", "mul", {"muller"}),
        ("name", "MÜLLER", {"muller"}),
        ("name", "m", {"muller", "mueller"}),
        ("family", "max", set()),
        ("given", "max", {"muller"}),
        ("name", "dr. ada love", {"text"}),
        ("name", "inonu", {"turkish"}),
        ("name", "gross", {"strasse"}),
        ("name", "sir", {"prefix"}),
        ("name", "phd", {"prefix"}),
        ("name", "ller", set()),
        ("name", "mul,sir", {"muller", "prefix"}),
        ("name", "%", set()),
        ("name", "m_l", set()),
        ("name", "\U0010ffff", {"last"}),
        ("name:exact", "Müller", {"muller"}),
        ("name:exact", "müller", set()),
        ("name:exact", "Muller", set()),
        ("name:exact", "Mül", set()),
        ("name:exact", "Max,Mueller", {"muller", "mueller"}),
    ],
)
def test_strings(world: World, name: str, value: str, wanted: set[str]) -> None:
    resources = [{"resourceType": "Patient", "id": id_, "name": [part]} for id_, part in NAMES.items()]
    world.put(*resources)
    assert set(world.ids("Patient", (name, value))) == wanted
    for resource in resources:
        assert matches("Patient", resource, [(name, value)], 7) == (resource["id"] in wanted)


def test_addresses_match_by_any_part(world: World) -> None:
    address = {"line": ["1 Main St"], "city": "Boston", "state": "MA", "postalCode": "02134", "country": "US"}
    world.put({"resourceType": "Patient", "id": "p", "address": [address]})
    for value in ("1 main", "bos", "ma", "021", "us"):
        assert world.ids("Patient", ("address", value)) == ["p"], value
    assert world.ids("Patient", ("address-city", "bos")) == ["p"]
    assert world.ids("Patient", ("address-city", "ma")) == []


def test_long_strings_are_found_by_their_beginning(world: World) -> None:
    world.put({"resourceType": "Patient", "id": "p", "name": [{"family": "ab" * 300}]})
    assert world.ids("Patient", ("family", "ab" * 50)) == ["p"]
    assert world.ids("Patient", ("family", "ab" * 300)) == ["p"]
    assert world.ids("Patient", ("family:exact", "ab" * 300)) == ["p"]
    assert world.ids("Patient", ("family:exact", "ab" * 299)) == []


def test_last_updated(world: World) -> None:
    for id_, instant in (("a", "2020-01-01T00:00:00+00:00"), ("b", "2020-06-01T12:00:00.500+00:00")):
        world.put({"resourceType": "Patient", "id": id_, "meta": {"lastUpdated": instant}})
    for value, wanted in [
        ("2020", {"a", "b"}), ("2020-01-01", {"a"}), ("gt2020-01-01", {"b"}), ("ge2020-01-01", {"a", "b"}),
        ("lt2020-06", {"a"}), ("le2020-06-01", {"a", "b"}), ("ne2020-01", {"b"}), ("sa2020-05", {"b"}),
        ("eb2020-06-01T12:00:00.500Z", {"a"}), ("2020-06-01T12:00:00.500Z", {"b"}), ("gt9999", set()),
        ("gt0001", {"a", "b"}),
    ]:  # fmt: skip
        assert set(world.ids("Patient", ("_lastUpdated", value))) == wanted, value
        in_memory = {
            id_ for (_, id_), r in world.resources.items() if matches("Patient", r, [("_lastUpdated", value)], 7)
        }
        assert in_memory == wanted, value


def test_deleted_resources_never_match(world: World) -> None:
    world.put({"resourceType": "Patient", "id": "gone", "gender": "male"}, {"resourceType": "Patient", "id": "here"})
    world.delete("Patient", "gone")
    assert world.ids("Patient") == ["here"]
    assert world.ids("Patient", ("_id", "gone")) == []
    assert world.ids("Patient", ("gender:not", "female")) == ["here"]
    assert world.page("Patient", ("_total", "accurate")).total == 1


def test_tenants_see_only_their_own(world: World) -> None:
    world.put({"resourceType": "Patient", "id": "ours", "gender": "male"})
    world.put({"resourceType": "Patient", "id": "theirs", "gender": "male"}, tenant=world.tenant + 10**6)
    assert world.ids("Patient", ("gender", "male")) == ["ours"]
    other = world.caller(tenant=world.tenant + 10**6)
    assert world.ids("Patient", ("gender", "male"), caller=other) == ["theirs"]
    assert world.page("Patient", ("_total", "accurate"), caller=other).total == 1
