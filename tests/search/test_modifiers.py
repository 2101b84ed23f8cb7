"""Every modifier of tokens, references, strings and URIs, on PostgreSQL and in memory."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.auth.caller import Grant
from fhir_server.errors import Forbidden
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.match import matches
from fhir_server.search.phonetic import soundex
from tests.search.world import World

LOINC = "http://loinc.org"
Resource = dict[str, Any]


def agree(world: World, resource_type: str, name: str, value: str, wanted: set[str]) -> None:
    """Assert what a search finds, in the database and among the resources in memory."""
    assert set(world.ids(resource_type, (name, value), strict=True)) == wanted, (name, value)
    of_type = [r for (kind, _), r in world.resources.items() if kind == resource_type]
    in_memory = {r["id"] for r in of_type if matches(resource_type, r, [(name, value)], world.tenant)}
    assert in_memory == wanted, (name, value)


def coded(id_: str, text: str | None, *displays: str) -> Resource:
    coding = [{"system": LOINC, "code": f"c{n}", "display": display} for n, display in enumerate(displays)]
    code = {"coding": coding, "text": text} if text else {"coding": coding}
    return {"resourceType": "Observation", "id": id_, "status": "final", "code": code}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("Glucose", {"lower", "upper", "display"}), ("GLUCOSE [MASS", {"display"}), ("mass", set()),
        ("hämo", {"umlaut"}), ("hamo", {"umlaut"}), ("hämoglobin  a", {"umlaut"}), ("glu%c_m", set()),
        (r"glucose\, serum", {"upper"}), ("hamo,glucose", {"umlaut", "lower", "upper", "display"}), ("gluca", set()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("modifier", ["text", "code-text"])
def test_text_finds_the_beginning_of_texts_and_displays(
    world: World, modifier: str, value: str, wanted: set[str]
) -> None:
    world.put(
        coded("lower", "glucose"), coded("upper", "GLUCOSE, serum", "other"), coded("display", None, "Glucose [Mass/vol]"),
        coded("umlaut", None, "x", "Hämoglobin A1c"), coded("none", None),
    )  # fmt: skip
    agree(world, "Observation", f"code:{modifier}", value, wanted)


def test_texts_belong_to_their_parameter_and_tenant(world: World) -> None:
    category = [{"text": "Laboratory"}]
    world.put(coded("a", "Sodium") | {"category": category})
    world.put(coded("theirs", "Sodium"), tenant=world.tenant + 10**6)
    agree(world, "Observation", "category:text", "lab", {"a"})
    agree(world, "Observation", "code:text", "lab", set())
    agree(world, "Observation", "code:text", "sod", {"a"})


def test_texts_of_identifiers_and_references(world: World) -> None:
    kind = {"coding": [{"system": "urn:t", "code": "MR"}, {"code": "MRT"}], "text": "Medical record number"}
    world.put(
        {"resourceType": "Patient", "id": "typed", "identifier": [{"system": "urn:a", "value": "1|2", "type": kind}]},
        {"resourceType": "Patient", "id": "plain", "identifier": [{"system": "urn:t", "value": "1|2"}]},
        {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/typed", "display": "Müller, Eva"}},
    )
    agree(world, "Patient", "identifier:text", "medical REC", {"typed"})
    for modifier in ("of-type", "ofType"):
        agree(world, "Patient", f"identifier:{modifier}", r"urn:t|MR|1\|2", {"typed"})
        agree(world, "Patient", f"identifier:{modifier}", r"|MRT|1\|2", {"typed"})
        agree(world, "Patient", f"identifier:{modifier}", r"urn:t|MRT|1\|2", set())
        agree(world, "Patient", f"identifier:{modifier}", "urn:t|MR|1", set())
    agree(world, "Condition", "subject:text", "muller", {"c"})
    agree(world, "Condition", "patient:code-text", "müll", {"c"})
    agree(world, "Condition", "subject:text", "eva", set())
    for value in ("MR|1", "urn:t|MR|", "1", "a|b|c|d"):
        with pytest.raises(InvalidSearch, match=r"system\|code\|value"):
            world.page("Patient", ("identifier:of-type", value))


LONG = "lorem " * 100 + "Needle in the hay " + "ipsum " * 100


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("ann", {"anna", "joanna"}), ("NN", {"anna", "joanna"}), ("änn", {"anna", "joanna"}), ("o", {"joanna", "long"}),
        ("needle in the", {"long"}), ("hay ipsum", {"long"}), ("lorem needle", {"long"}), ("_", set()), ("%", set()),
        ("jo,needle", {"joanna", "long"}),
    ],
)  # fmt: skip
def test_contains_finds_any_part(world: World, value: str, wanted: set[str]) -> None:
    for id_, name in (("anna", "Änna"), ("joanna", "Joanna"), ("long", LONG)):
        world.put({"resourceType": "Patient", "id": id_, "name": [{"given": [name]}]})
    agree(world, "Patient", "given:contains", value, wanted)
    agree(world, "Patient", "name:contains", value, wanted)


def test_contains_has_a_longest_text_and_sorting_ignores_the_windows(world: World) -> None:
    for id_, title in (("b", LONG), ("a", "A"), ("z", "Z")):
        world.put({"resourceType": "Library", "id": id_, "title": title})
    with pytest.raises(InvalidSearch, match="at most 100 characters"):
        world.page("Library", ("title:contains", "x" * 101))
    assert world.walk("Library", ("_sort", "title"), ("_count", "1")) == ["a", "b", "z"]
    agree(world, "Library", "title:contains", "x" * 100, set())


URLS = (
    "http://acme.org/fhir", "http://acme.org/fhir/", "http://acme.org/fhir/ValueSet/123",
    "http://acme.org/fhir/ValueSet/123/_history/5", "http://acme.org/fhir/ValueSet/1234", "http://acme.org/fhirish",
    "http://acme.org", "urn:oid:1.2.3", "http://acme.org/fhir/ValueSet/%31_",
)  # fmt: skip


def numbered(*numbers: int) -> set[str]:
    return {f"v{number}" for number in numbers}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("url:below", "http://acme.org/fhir/", numbered(1, 2, 3, 4, 8)),
        ("url:below", "http://acme.org/fhir", numbered(0, 1, 2, 3, 4, 8)),
        ("url:below", "http://acme.org/fhir/ValueSet/123", numbered(2, 3)),
        ("url:below", "http://acme.org", numbered(0, 1, 2, 3, 4, 5, 6, 8)),
        ("url:below", "http://else.org", set()),
        ("url:above", "http://acme.org/fhir/ValueSet/123/_history/5", numbered(0, 1, 2, 3, 6)),
        ("url:above", "http://acme.org/fhir/ValueSet/1234", numbered(0, 1, 4, 6)),
        ("url:above", "http://acme.org/other", numbered(6)),
        ("url", "http://acme.org/fhir", numbered(0)),
        ("url:missing", "true", set()),
    ],
)
def test_urls_have_a_hierarchy_of_segments(world: World, name: str, value: str, wanted: set[str]) -> None:
    for number, url in enumerate(URLS):
        world.put({"resourceType": "ValueSet", "id": f"v{number}", "status": "draft", "url": url})
    agree(world, "ValueSet", name, value, wanted)


def test_other_uris_have_no_hierarchy(world: World) -> None:
    for value in ("urn:oid:1.2", "1.2.3", "http://x/" + "a" * 700):
        with pytest.raises(InvalidSearch, match="takes a URL"):
            world.page("ValueSet", ("url:below", value))


def test_profiles_and_sources_are_uris(world: World) -> None:
    meta = {
        "profile": ["http://a.org/p/one|1.0"],
        "source": "http://feed.org/lab#17",
        "tag": [{"code": "t", "display": "Test"}],
    }
    world.put({"resourceType": "Patient", "id": "p", "meta": meta}, {"resourceType": "Patient", "id": "q"})
    agree(world, "Patient", "_profile:below", "http://a.org/p", {"p"})
    agree(world, "Patient", "_source:below", "http://feed.org", {"p"})
    agree(world, "Patient", "_tag:text", "tes", {"p"})
    for name in ("_profile", "_source", "_tag"):
        agree(world, "Patient", f"{name}:missing", "true", {"q"})
    agree(world, "Patient", "_security:missing", "true", {"p", "q"})


def place(id_: str, part_of: str | None = None) -> Resource:
    located = {"partOf": {"reference": part_of}} if part_of else {}
    return {"resourceType": "Location", "id": id_, "name": id_, **located}


@pytest.fixture
def hospital(world: World) -> World:
    """Put up a house ⊃ ward ⊃ room ⊃ bed; annex ⊃ hall; circle-a and circle-b hold each other."""
    world.put(
        place("house"), place("ward", "Location/house"), place("room", "Location/ward/_history/2"), place("bed", "Location/room"),
        place("annex"), place("hall", "Location/annex"), place("circle-a", "Location/circle-b"), place("circle-b", "Location/circle-a"),
        *({"resourceType": "Procedure", "id": f"in-{where}", "location": {"reference": f"Location/{where}"}}
          for where in ("house", "ward", "bed", "hall", "circle-a")),
    )  # fmt: skip
    return world


@pytest.mark.parametrize(
    ("resource_type", "name", "value", "wanted"),
    [
        ("Location", "partof", "Location/house", {"ward"}),
        ("Location", "partof:below", "Location/house", {"ward", "room", "bed"}),
        ("Location", "partof:below", "ward", {"room", "bed"}),
        ("Location", "partof:below", "Location/bed", set()),
        ("Location", "partof:below", "ward,annex", {"room", "bed", "hall"}),
        ("Location", "partof:below", "Location/circle-a", {"circle-a", "circle-b"}),
        ("Location", "partof:above", "Location/bed", {"bed", "room", "ward"}),
        ("Location", "partof:above", "Location/ward", {"ward", "room"}),
        ("Location", "partof:above", "Location/circle-a", {"circle-a", "circle-b"}),
        ("Location", "partof:above", "Location/nowhere", set()),
        ("Procedure", "location:below", "Location/house", {"in-house", "in-ward", "in-bed"}),
        ("Procedure", "location:below", "Location/room", {"in-bed"}),
        ("Procedure", "location:above", "Location/room", {"in-house", "in-ward"}),
        ("Procedure", "location:below", "circle-b", {"in-circle-a"}),
    ],
)
def test_references_follow_the_hierarchy_of_their_targets(
    hospital: World, resource_type: str, name: str, value: str, wanted: set[str]
) -> None:
    assert set(hospital.ids(resource_type, (name, value), strict=True)) == wanted
    everything = {id_ for kind, id_ in hospital.resources if kind == resource_type}
    assert set(hospital.ids(resource_type, (name, value), ("_sort", "-_id"))) == wanted
    assert hospital.page(resource_type, (name, value), ("_total", "accurate")).total == len(wanted)
    assert wanted <= everything


def test_a_hierarchy_shows_only_what_may_be_searched(hospital: World) -> None:
    asked = ("location:below", "Location/house")
    procedures = Grant("Procedure")
    with pytest.raises(Forbidden, match="Location"):
        hospital.page("Procedure", asked, caller=hospital.caller((procedures,)))
    some = hospital.caller((procedures, Grant("Location", criteria=(("name:contains", "r"),))))
    assert set(hospital.ids("Procedure", asked, caller=some)) == {"in-house", "in-ward"}  # the bed's name has no r
    others = hospital.caller((procedures, Grant("Location", criteria=(("name", "bed"),))))
    assert set(hospital.ids("Procedure", asked, caller=others)) == {"in-house"}


def test_a_grant_can_not_ask_for_a_hierarchy(hospital: World) -> None:
    """It would need the database to tell whether a resource in memory fulfils it, so it covers nothing."""
    criteria = (("location:below", "Location/house"),)
    with pytest.raises(Forbidden):
        hospital.page("Procedure", caller=hospital.caller((Grant("Procedure", criteria=criteria),)))
    assert not matches("Procedure", hospital.resources["Procedure", "in-bed"], criteria, hospital.tenant)


def test_references_without_a_hierarchy_are_told(world: World) -> None:
    for name, value in (
        ("subject:below", "Patient/1"),
        ("patient:above", "1"),
        ("subject:below", "http://x.org/Group/1"),
    ):
        (issue,) = world.page("Condition", (name, value)).issues
        assert issue.code == "not-supported"
        assert "hierarchy" in issue.diagnostics


BASE = "https://praxis.example/fhir"


def test_references_below_the_own_address_are_relative_ones() -> None:
    """Both when they are stored and when they are searched for."""
    resources = [
        {"resourceType": "Condition", "id": id_, "subject": {"reference": reference}}
        for id_, reference in (
            ("relative", "Patient/1"), ("absolute", f"{BASE}/Patient/1"), ("old", f"{BASE}/Patient/1/_history/2"),
            ("foreign", "https://else.example/fhir/Patient/1"), ("other", f"{BASE}/Patient/2"),
        )
    ]  # fmt: skip
    for value in ("Patient/1", "1", f"{BASE}/Patient/1"):
        found = {r["id"] for r in resources if matches("Condition", r, [("subject", value)], 1, base_url=BASE)}
        assert found == {"relative", "absolute", "old"}, value
    without_base = {r["id"] for r in resources if matches("Condition", r, [("subject", "Patient/1")], 1)}
    assert without_base == {"relative"}
    foreign = ("subject", "https://else.example/fhir/Patient/1")
    assert {r["id"] for r in resources if matches("Condition", r, [foreign], 1, base_url=BASE)} == {"foreign"}


@pytest.mark.parametrize(
    ("word", "key"),
    [("robert", "r163"), ("rupert", "r163"), ("rubin", "r150"), ("ashcraft", "a261"), ("tymczak", "t522"),
     ("pfister", "p236"), ("honeyman", "h555"), ("lee", "l000"), ("李", "李")],
)  # fmt: skip
def test_soundex_keys_are_those_of_its_description(word: str, key: str) -> None:
    assert soundex(word) == key


def test_phonetic_names_sound_alike(world: World) -> None:
    for id_, family in (("meier", "Meier"), ("maier", "Mayer"), ("smith", "Smith"), ("double", "Meyer-Schmidt")):
        world.put({"resourceType": "Patient", "id": id_, "name": [{"family": family, "given": ["Anna"]}]})
    agree(world, "Patient", "phonetic", "mayr", {"meier", "maier", "double"})
    agree(world, "Patient", "phonetic", "ana meyer", {"meier", "maier", "double"})
    agree(world, "Patient", "phonetic", "smyth", {"smith", "double"})
    agree(world, "Patient", "phonetic", "meier smith", {"double"})
    agree(world, "Patient", "phonetic", "jones,smith", {"smith", "double"})
    agree(world, "Patient", "phonetic:missing", "true", set())
    with pytest.raises(InvalidSearch, match="no word"):
        world.page("Patient", ("phonetic", "-"))


@pytest.mark.parametrize(
    ("resource_type", "name", "value"),
    [
        ("Patient", "name:text", "x"), ("Patient", "birthdate:exact", "2020"), ("Patient", "gender:contains", "m"),
        ("Patient", "age", "5"), ("Patient", "_query", "x"), ("Observation", "value-quantity:not", "5"),
        ("Observation", "code-value-quantity:text", "a$5"), ("Location", "near:not", "1|2"), ("ValueSet", "url:contains", "x"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_told(world: World, resource_type: str, name: str, value: str) -> None:
    (issue,) = world.page(resource_type, (name, value)).issues
    assert issue.code == "not-supported"
    assert name.partition(":")[0] in issue.diagnostics
    with pytest.raises(InvalidSearch):
        world.page(resource_type, (name, value), strict=True)
