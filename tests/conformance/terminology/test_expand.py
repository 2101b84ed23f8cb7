"""Expansions of value sets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from conformance.terminology import expand as expansion
from conformance.terminology.engine import Terminology
from conformance.terminology.errors import MissingResource, TerminologyError
from conformance.terminology.expand import ExpandParameters
from conformance.terminology.rendering import CONTAINS_PROPERTY
from conformance.terminology.source import FindSource, Resources
from tests.conformance.terminology.animals import (
    ALL,
    ANIMALS,
    CODE_SYSTEM,
    SETS,
    Json,
    chosen,
    codes,
    flat,
    terminology,
    value_set,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("include", "wanted"),
    [
        ({"system": ANIMALS}, ALL),
        (chosen("concept", "is-a", "mammal"), ["mammal", "dog", "poodle", "cat", "sphinx", "mammoth"]),
        (chosen("concept", "descendent-of", "bird"), ["owl", "sphinx"]),
        (chosen("concept", "is-not-a", "mammal"), ["bird", "owl"]),
        (chosen("concept", "generalizes", "poodle"), ["poodle", "dog", "mammal"]),
        (chosen("concept", "child-of", "mammal"), ["dog", "cat", "mammoth"]),
        (chosen("code", "=", "dog"), ["dog"]),
        (chosen("code", "in", "owl, dog,nothing"), ["owl", "dog"]),
        (chosen("code", "not-in", "owl,dog"), ["mammal", "poodle", "cat", "mammoth", "bird", "sphinx"]),
        (chosen("code", "regex", "m.*l"), ["mammal"]),
        (chosen("legs", "=", "4"), ["dog", "cat"]),
        (chosen("legs", "in", "2,4"), ["owl", "dog", "cat"]),
        (chosen("legs", "exists", "true"), ["owl", "dog", "cat"]),
        (chosen("legs", "exists", "false"), ["mammal", "poodle", "mammoth", "bird", "sphinx"]),
        (chosen("legs", "regex", "[24]"), ["dog", "cat", "owl"]),
        (chosen("kind", "=", "myth"), ["sphinx"]),
        (chosen("pet", "=", "true"), ["dog", "cat"]),
        (chosen("parent", "=", "cat"), ["sphinx"]),
        (chosen("child", "=", "sphinx"), ["cat", "bird"]),
        (chosen("display", "regex", ".*mammoth"), ["mammoth"]),
        (chosen("display", "=", "Owl"), ["owl"]),
        (chosen("definition", "exists", "true"), ["dog"]),
        (chosen("concept", "is-a", "nothing"), []),
    ],
    ids=str,
)
def test_what_is_included(include: Json, wanted: list[str]) -> None:
    assert sorted(codes(terminology(), value_set("x", include))) == sorted(wanted)


def test_all_filters_of_an_include_have_to_hold() -> None:
    both = chosen("concept", "is-a", "mammal")
    both["filter"] += chosen("legs", "=", "4")["filter"]
    assert codes(terminology(), value_set("x", both)) == ["dog", "cat"]


def test_includes_add_up_imports_limit_and_excludes_go() -> None:
    pets, dogs = value_set("pets", chosen("pet", "=", "true")), value_set("dogs", chosen("concept", "is-a", "dog"))
    engine = terminology(pets, dogs)
    pair = [f"{SETS}/pets", f"{SETS}/dogs"]
    assert codes(engine, value_set("x", {"valueSet": pair})) == ["dog"]
    assert codes(engine, value_set("x", {"valueSet": pair[:1]}, {"valueSet": pair[1:]})) == ["dog", "poodle", "cat"]
    assert codes(engine, value_set("x", {"system": ANIMALS, "valueSet": pair[1:]})) == ["dog", "poodle"]
    assert "dog" not in codes(engine, value_set("x", {"system": ANIMALS}, exclude=({"valueSet": pair},)))
    assert codes(engine, value_set("x", {"system": ANIMALS}, exclude=({"system": ANIMALS},))) == []


def test_a_filter_finds_beginnings_of_words_in_displays_and_designations() -> None:
    engine = terminology()
    everything = value_set("x", {"system": ANIMALS})
    assert codes(engine, everything, filter="mam") == ["mammal", "mammoth"]
    assert codes(engine, everything, filter="THE sph") == ["sphinx"]
    assert codes(engine, everything, filter="hund") == ["dog"]
    assert codes(engine, everything, filter="chien") == ["dog"]
    assert codes(engine, everything, filter="ammal") == []
    assert codes(
        engine, value_set("x", {"system": ANIMALS, "concept": [{"code": "owl", "display": "Eule"}]}), filter="eul"
    ) == ["owl"]
    assert codes(engine, value_set("x", chosen("pet", "=", "true")), filter="ka") == ["cat"]


def test_pages_follow_each_other_and_say_how_many_codes_there_are() -> None:
    engine = terminology()
    for include in ({"system": ANIMALS}, chosen("concept", "is-a", "mammal")):
        whole = codes(engine, value_set("x", include), exclude_nested=True)
        pages = []
        for offset in range(0, len(whole) + 2, 2):
            page = engine.expand(ExpandParameters(value_set=value_set("x", include), offset=offset, count=2))[
                "expansion"
            ]
            assert page["total"] == len(whole)
            assert page["offset"] == offset
            pages += flat(page.get("contains", []))
        assert pages == whole
    far = engine.expand(ExpandParameters(value_set=value_set("x", {"system": ANIMALS}), offset=50))["expansion"]
    assert (far["total"], far.get("contains")) == (len(ALL), None)
    with pytest.raises(TerminologyError, match="negative") as refused:
        engine.expand(ExpandParameters(value_set=value_set("x", {"system": ANIMALS}), count=-1))
    assert refused.value.status == 400


def test_what_is_too_much_is_refused_unless_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "MOST_CODES", 3)
    monkeypatch.setattr(expansion, "_MOST_COUNTED", 3)
    engine = terminology()
    with pytest.raises(TerminologyError, match="more than 3 codes") as refused:
        codes(engine, value_set("x", {"system": ANIMALS}))
    assert (refused.value.status, refused.value.issue.code) == (422, "too-costly")
    page = engine.expand(ExpandParameters(value_set=value_set("x", chosen("code", "regex", ".*")), count=2))[
        "expansion"
    ]
    assert flat(page["contains"]) == ["mammal", "dog"]
    assert "total" not in page


def test_the_hierarchy_is_shown_as_far_as_it_is_there() -> None:
    without_dogs = value_set("x", {"system": ANIMALS}, exclude=({"system": ANIMALS, "concept": [{"code": "dog"}]},))
    contains = terminology().expand(ExpandParameters(value_set=without_dogs))["expansion"]["contains"]
    mammal = contains[0]
    assert [item["code"] for item in contains] == ["mammal", "bird"]
    # The poodle hangs on what is above the dog; the sphinx is shown once.
    assert [item["code"] for item in mammal["contains"]] == ["poodle", "cat", "mammoth"]
    assert flat(contains).count("sphinx") == 1
    assert set(codes(terminology(), without_dogs, exclude_nested=True)) == set(flat(contains))


def test_a_circle_or_a_very_deep_hierarchy_loses_no_code() -> None:
    circle: Json = {"url": "http://example.org/circle", "concept": [
        {"code": code, "property": [{"code": "parent", "valueCode": above}]} for code, above in ("ab", "bc", "ca")]}  # fmt: skip
    chain: Json = {"url": "http://example.org/chain", "concept": [
        {"code": str(n), "property": [{"code": "parent", "valueCode": str(n - 1)}]} for n in range(2000)]}  # fmt: skip
    for system in (circle, chain):
        engine = terminology(CODE_SYSTEM | system)
        everything = value_set("x", {"system": system["url"]})
        assert sorted(codes(engine, everything)) == sorted(c["code"] for c in system["concept"])
        first = system["concept"][0]["code"]
        is_a = {"system": system["url"], "filter": [{"property": "concept", "op": "is-a", "value": first}]}
        assert len(codes(engine, value_set("x", is_a))) == len(system["concept"])


def test_inactive_and_abstract_codes_can_be_left_out() -> None:
    everything = value_set("x", {"system": ANIMALS})
    assert set(ALL) - set(codes(terminology(), everything, active_only=True)) == {"mammoth"}
    assert set(ALL) - set(codes(terminology(), everything, exclude_not_for_ui=True)) == {"mammal"}
    everything["compose"]["inactive"] = False
    assert set(ALL) - set(codes(terminology(), everything)) == {"mammoth"}


def test_displays_and_designations_in_languages() -> None:
    asked = ExpandParameters(
        value_set=value_set("x", {"system": ANIMALS, "concept": [{"code": "dog"}, {"code": "owl"}]}),
        display_language="fr, de;q=0.5", designation=("de",), property=("legs", "definition"),
    )  # fmt: skip
    dog, owl = terminology().expand(asked, NOW)["expansion"]["contains"]
    assert dog["display"] == "Chién"
    assert dog["designation"] == [{"language": "de", "value": "Hund"}]
    assert owl["display"] == "Owl"
    shown = {
        tuple(part.popitem()[1] for part in e["extension"]) for e in dog["extension"] if e["url"] == CONTAINS_PROPERTY
    }
    assert shown == {("legs", 4), ("definition", "Canis familiaris")}


def test_a_synonym_does_not_replace_a_display_whose_language_nobody_says() -> None:
    said = [{"language": "en", "use": {"code": "synonym"}, "value": "Hound"}, {"language": "it", "value": "Cane"}]
    system = {"url": "http://example.org/x", "concept": [{"code": "dog", "display": "Dog", "designation": said}]}
    everything = value_set("x", {"system": "http://example.org/x"})
    for language, wanted, display in (
        (None, "en", "Dog"),
        (None, "it", "Cane"),
        ("de", "en", "Hound"),
        ("en", "en", "Dog"),
    ):
        engine = terminology(CODE_SYSTEM | system | {"language": language})
        asked = ExpandParameters(value_set=everything, display_language=wanted)
        assert engine.expand(asked)["expansion"]["contains"][0]["display"] == display


def test_a_value_set_says_its_own_displays_of_codes() -> None:
    own = {"system": ANIMALS, "concept": [{"code": "dog", "display": "Good boy", "designation": [{"value": "Doggo"}]}]}
    (dog,) = terminology().expand(ExpandParameters(value_set=value_set("x", own), include_designations=True))[
        "expansion"
    ]["contains"]
    assert dog["display"] == "Good boy"
    assert [d["value"] for d in dog["designation"]] == ["Hund", "Chién", "Doggo"]


def test_codes_that_the_code_system_has_not_are_not_listed_but_those_of_unknown_systems_are() -> None:
    listed = [{"code": "dog"}, {"code": "unicorn", "display": "Unicorn"}]
    assert codes(terminology(), value_set("x", {"system": ANIMALS, "concept": listed})) == ["dog"]
    assert codes(terminology(), value_set("x", {"system": "http://else.org", "concept": listed})) == ["dog", "unicorn"]


def test_a_stored_expansion_serves_where_the_compose_can_not_be_followed() -> None:
    stored = {"contains": [{"system": "http://else.org", "code": "a", "display": "A", "contains": [
        {"system": "http://else.org", "code": "b"}, {"system": "http://else.org", "code": "c", "abstract": True}]}]}  # fmt: skip
    unknown = value_set("x", {"system": "http://else.org"}, expansion=stored)
    assert codes(terminology(), unknown) == ["a", "b"]
    assert codes(terminology(), value_set("x", {"valueSet": ["http://else.org/vs"]}, expansion=stored)) == ["a", "b"]
    with pytest.raises(TerminologyError, match="could not be found, so the value set cannot be expanded"):
        codes(terminology(), value_set("x", {"system": "http://else.org"}, expansion=stored | {"total": 3}))
    no_compose = {"resourceType": "ValueSet", "url": "http://else.org/vs", "status": "active", "expansion": stored}
    assert codes(terminology(no_compose), "http://else.org/vs") == ["a", "b"]


@pytest.mark.parametrize(
    ("resource", "status", "reason"),
    [
        (value_set("x", {"valueSet": [f"{SETS}/x"]}), 422, "includes itself"),
        (value_set("x", {"valueSet": [f"{SETS}/nowhere"]}), 404, "nowhere' could not be found"),
        (value_set("x", {"valueSet": ["#inside"]}), 404, "#inside"),
        (value_set("x", {"system": "http://else.org"}), 404, "CodeSystem http://else.org could not be found"),
        (value_set("x", {"system": ANIMALS, "version": "7"}), 404, "Valid versions: 1.0.0"),
        (value_set("x", {"system": "http://unitsofmeasure.org"}), 422, "is a grammar"),
        (value_set("x", chosen("legs", "is-a", "4")), 422, "'is-a' on 'legs'"),
        (value_set("x", chosen("code", "regex", "[")), 422, "not a regular expression"),
        (value_set("x", {"system": ANIMALS, "filter": [{"property": "legs"}]}), 422, "incomplete"),
        ({"resourceType": "ValueSet", "url": f"{SETS}/x", "status": "active"}, 422, "neither by compose"),
    ],
    ids=str,
)
def test_what_can_not_be_expanded_is_refused(resource: Json, status: int, reason: str) -> None:
    with pytest.raises(TerminologyError) as refused:
        codes(terminology(resource), f"{SETS}/x")
    assert refused.value.status == status
    assert reason in refused.value.issue.text
    assert refused.value.outcome["issue"][0]["severity"] == "error"


def test_a_regular_expression_may_not_take_all_the_time_there_is() -> None:
    long = CODE_SYSTEM | {"concept": [{"code": "a" * 60, "display": "long"}]}
    evil = value_set("x", chosen("code", "regex", "(a|aa)+b"))
    with pytest.raises(TerminologyError, match="takes too long") as refused:
        Terminology(Resources((long,))).expand(ExpandParameters(value_set=evil))
    assert refused.value.issue.code == "too-costly"
    good = value_set("x", chosen("code", "regex", "(a|b){60}"))
    assert Terminology(Resources((long,))).expand(ExpandParameters(value_set=good))["expansion"]["total"] == 1


def test_value_sets_that_refer_to_others_again_and_again_are_refused() -> None:
    fan = [value_set(f"{n}", {"valueSet": [f"{SETS}/{n + 1}"]}, {"valueSet": [f"{SETS}/{n + 1}"]}) for n in range(18)]
    engine = terminology(*fan, value_set("18", {"system": ANIMALS}))
    assert codes(engine, f"{SETS}/15", exclude_nested=True) == ALL
    with pytest.raises(TerminologyError, match="refers to more than"):
        codes(engine, f"{SETS}/0")


def test_a_hierarchy_that_is_none_of_meaning_says_nothing_about_subsumption() -> None:
    parts = CODE_SYSTEM | {"url": "http://example.org/parts", "hierarchyMeaning": "part-of"}
    include = {"system": "http://example.org/parts", "filter": [{"property": "concept", "op": "is-a", "value": "dog"}]}
    with pytest.raises(TerminologyError, match="is part-of"):
        codes(terminology(parts), value_set("x", include))


def test_systems_can_be_left_out_and_a_result_says_what_it_was_made_of() -> None:
    other = {"system": "http://else.org", "concept": [{"code": "a"}]}
    asked = ExpandParameters(value_set=value_set("x", {"system": ANIMALS}, other), exclude_system=(ANIMALS,), count=9)
    found = terminology().expand(asked, NOW)["expansion"]
    assert flat(found["contains"]) == ["a"]
    assert found["timestamp"] == "2026-11-23T12:00:00.000+00:00"
    said = {(p["name"], v) for p in found["parameter"] for k, v in p.items() if k != "name"}
    assert said == {("count", 9), ("exclude-system", ANIMALS), ("used-codesystem", f"{ANIMALS}|1.0.0")}


def test_what_a_source_has_to_fetch_first_goes_through() -> None:
    def find(resource_type: str, canonical: str) -> Json | None:
        raise MissingResource(resource_type, canonical)

    with pytest.raises(MissingResource) as missing:
        Terminology(FindSource(find)).expand(ExpandParameters(url=f"{SETS}/x"))
    assert (missing.value.resource_type, missing.value.canonical) == ("ValueSet", f"{SETS}/x")
