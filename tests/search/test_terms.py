"""Value sets and code hierarchies in searches, on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.auth.caller import Grant
from fhir_server.errors import Forbidden
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.match import matches
from tests.search.world import World

Resource = dict[str, Any]
ANIMALS, OWN = "http://own.org/cs/animals", "http://own.org/vs"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

ANIMAL_SYSTEM: Resource = {
    "resourceType": "CodeSystem", "id": "animals", "url": ANIMALS, "version": "2", "status": "active", "content": "complete",
    "concept": [
        {"code": "mammal", "concept": [
            {"code": "dog", "property": [{"code": "legs", "valueInteger": 4}], "concept": [{"code": "poodle"}]},
            {"code": "cat", "property": [{"code": "legs", "valueInteger": 4}, {"code": "pet", "valueBoolean": True}]}]},
        {"code": "bird", "concept": [{"code": "owl", "property": [{"code": "legs", "valueInteger": 2}]}]},
        {"code": "sphinx", "property": [{"code": "parent", "valueCode": "cat"}, {"code": "parent", "valueCode": "bird"}]},
    ],
}  # fmt: skip
CODES = ("mammal", "dog", "poodle", "cat", "bird", "owl", "sphinx", "unknown")


def value_set(id_: str, *include: Resource, exclude: tuple[Resource, ...] = (), **more: Any) -> Resource:
    compose: Resource = {"include": list(include)}
    if exclude:
        compose["exclude"] = list(exclude)
    return {
        "resourceType": "ValueSet",
        "id": id_,
        "url": f"{OWN}/{id_}",
        "status": "active",
        "compose": compose,
        **more,
    }


def filtered(property_: str, operator: str, value: str) -> Resource:
    return {"system": ANIMALS, "filter": [{"property": property_, "op": operator, "value": value}]}


VALUE_SETS = (
    value_set("all", {"system": ANIMALS}),
    value_set("listed", {"system": ANIMALS, "concept": [{"code": "dog"}, {"code": "owl"}]}),
    value_set("is-a", filtered("concept", "is-a", "mammal")),
    value_set("descendent-of", filtered("concept", "descendent-of", "mammal")),
    value_set("is-not-a", filtered("concept", "is-not-a", "mammal")),
    value_set("generalizes", filtered("concept", "generalizes", "poodle")),
    value_set("four-legs", filtered("legs", "=", "4")),
    value_set("pets", filtered("pet", "=", "true")),
    value_set("legged", filtered("legs", "exists", "true")),
    value_set("in", filtered("code", "in", "dog, owl")),
    value_set("children", filtered("parent", "=", "mammal")),
    value_set("regex", filtered("code", "regex", "d.*")),
    value_set("without-dogs", {"system": ANIMALS}, exclude=(filtered("concept", "is-a", "dog"),)),
    value_set("nested", {"valueSet": [f"{OWN}/is-a", f"{OWN}/four-legs"]}, {"valueSet": [f"{OWN}/listed"]}),
    value_set("limited", {"system": ANIMALS, "valueSet": [f"{OWN}/listed"]}),
    value_set("itself", {"valueSet": [f"{OWN}/itself"]}),
    value_set("broken", {"valueSet": [f"{OWN}/nowhere"]}),
    value_set("foreign", {"system": "http://else.org/cs"}),
    value_set("foreign-is-a", {"system": "http://else.org/cs",
                               "filter": [{"property": "concept", "op": "is-a", "value": "x"}]}),
    {"resourceType": "ValueSet", "id": "expanded", "url": f"{OWN}/expanded", "status": "active", "expansion": {
        "timestamp": "2020-01-01", "contains": [{"system": ANIMALS, "code": "dog", "contains": [
            {"system": ANIMALS, "code": "poodle"}]}]}},
    {"resourceType": "ValueSet", "id": "empty", "url": f"{OWN}/empty", "status": "active"},
    value_set("versioned", {"system": ANIMALS, "concept": [{"code": "dog"}]}, version="1"),
    value_set("versioned-2", {"system": ANIMALS, "concept": [{"code": "cat"}]}, version="2") | {"url": f"{OWN}/versioned"},
    value_set("versioned-3", {"system": ANIMALS, "concept": [{"code": "owl"}]}, version="3")
    | {"url": f"{OWN}/versioned", "status": "retired"},
)  # fmt: skip


def seen(code: str, system: str = ANIMALS) -> Resource:
    coding = {"coding": [{"system": system, "code": code}]}
    subject = {"reference": "Patient/p"}
    return {"resourceType": "Observation", "id": code, "status": "final", "code": coding, "subject": subject}


@pytest.fixture
def zoo(world: World) -> World:
    world.put(ANIMAL_SYSTEM, *VALUE_SETS, *map(seen, CODES), seen("foreign", "http://else.org/cs"))
    world.put({"resourceType": "Observation", "id": "none", "status": "final"})
    world.put({"resourceType": "Patient", "id": "p", "gender": "male"}, {"resourceType": "Patient", "id": "q"})
    return world


EVERYTHING = {*CODES, "foreign", "none"}


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (f"{OWN}/all", set(CODES) - {"unknown"}),
        (f"{OWN}/listed", {"dog", "owl"}),
        (f"{OWN}/is-a", {"mammal", "dog", "poodle", "cat", "sphinx"}),
        (f"{OWN}/descendent-of", {"dog", "poodle", "cat", "sphinx"}),
        (f"{OWN}/is-not-a", {"bird", "owl"}),
        (f"{OWN}/generalizes", {"poodle", "dog", "mammal"}),
        (f"{OWN}/four-legs", {"dog", "cat"}),
        (f"{OWN}/pets", {"cat"}),
        (f"{OWN}/legged", {"dog", "cat", "owl"}),
        (f"{OWN}/in", {"dog", "owl"}),
        (f"{OWN}/regex", {"dog"}),
        (f"{OWN}/children", {"dog", "cat"}),
        (f"{OWN}/without-dogs", {"mammal", "cat", "bird", "owl", "sphinx"}),
        (f"{OWN}/nested", {"dog", "cat", "owl"}),
        (f"{OWN}/limited", {"dog", "owl"}),
        (f"{OWN}/foreign", {"foreign"}),
        (f"{OWN}/expanded", {"dog", "poodle"}),
        (f"{OWN}/versioned", {"cat"}),
        (f"{OWN}/versioned|1", {"dog"}),
        (f"{OWN}/versioned|3", {"owl"}),
        ("ValueSet/listed", {"dog", "owl"}),
        (f"{OWN}/pets,{OWN}/foreign", {"cat", "foreign"}),
    ],
)
def test_codes_in_and_not_in_value_sets(zoo: World, asked: str, wanted: set[str]) -> None:
    assert set(zoo.ids("Observation", ("code:in", asked), strict=True)) == wanted
    assert set(zoo.ids("Observation", ("code:not-in", asked), strict=True)) == EVERYTHING - wanted


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("code:in", f"{OWN}/nowhere", "could not be found"), ("code:in", "ValueSet/nowhere", "could not be found"),
        ("code:in", "Patient/p", "could not be found"), ("code:in", f"{OWN}/versioned|9", "could not be found"),
        ("code:not-in", f"{OWN}/itself", "includes itself"), ("code:in", f"{OWN}/broken", f"{OWN}/nowhere' could not be found"),
        ("code:in", f"{OWN}/foreign-is-a", "http://else.org/cs could not be found"),
        ("code:in", f"{OWN}/empty", "neither by compose"),
        ("code:in", "http://hl7.org/fhir/ValueSet/body-site", "http://snomed.info/sct could not be found"),
        ("code:below", "dog", "system|code"), ("code:above", "http://else.org/cs|x", "could not be found"),
        ("code:below", "http://snomed.info/sct|1", "could not be found"),
    ],
)  # fmt: skip
def test_what_can_not_be_answered_is_refused(zoo: World, name: str, value: str, reason: str) -> None:
    with pytest.raises(InvalidSearch) as refused:
        zoo.page("Observation", (name, value))
    (issue,) = refused.value.issues
    assert name in issue.diagnostics
    assert reason in issue.diagnostics


@pytest.mark.parametrize(
    ("modifier", "code", "wanted"),
    [
        ("below", "mammal", {"mammal", "dog", "poodle", "cat", "sphinx"}), ("below", "poodle", {"poodle"}),
        ("below", "bird", {"bird", "owl", "sphinx"}), ("above", "poodle", {"poodle", "dog", "mammal"}),
        ("above", "sphinx", {"sphinx", "cat", "mammal", "bird"}), ("below", "unknown", {"unknown"}),
    ],
)  # fmt: skip
def test_codes_above_and_below_others(zoo: World, modifier: str, code: str, wanted: set[str]) -> None:
    assert set(zoo.ids("Observation", (f"code:{modifier}", f"{ANIMALS}|{code}"), strict=True)) == wanted


def test_the_terminology_of_the_specification(world: World) -> None:
    for code in ("IMP", "ACUTE", "AMB", "VR", "_ActEncounterCode"):
        world.put(
            {
                "resourceType": "Encounter",
                "id": code.strip("_"),
                "status": "finished",
                "class": {"system": ACT, "code": code},
            }
        )
    assert set(world.ids("Encounter", ("class:below", f"{ACT}|IMP"))) == {"IMP", "ACUTE"}
    in_set = ("class:in", "http://terminology.hl7.org/ValueSet/v3-ActEncounterCode")
    assert set(world.ids("Encounter", in_set)) == {"IMP", "ACUTE", "AMB", "VR"}
    world.put(
        {"resourceType": "Patient", "id": "m", "gender": "male"},
        {"resourceType": "Patient", "id": "o", "gender": "other"},
    )
    assert set(world.ids("Patient", ("gender:in", "http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1"))) == {
        "m",
        "o",
    }
    assert world.ids("Patient", ("gender:below", "male")) == ["m"]
    # More codes than one GIN scan should look for at once.
    world.put({"resourceType": "Condition", "id": "c", "code": {"coding": [{"system": ACT, "code": "ACUTE"}]}})
    assert world.ids("Condition", ("code:in", "http://terminology.hl7.org/ValueSet/v3-ActCode")) == ["c"]
    assert world.ids("Condition", ("code:not-in", "http://terminology.hl7.org/ValueSet/v3-ActCode")) == []


def test_terms_are_known_at_the_end_of_chains(zoo: World) -> None:
    gender = "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert set(zoo.ids("Observation", ("subject:Patient.gender:in", gender), strict=True)) == {*CODES, "foreign"}
    assert zoo.ids("Patient", ("_has:Observation:patient:code:in", f"{OWN}/listed"), strict=True) == ["p"]
    assert zoo.ids("Patient", ("_has:Observation:patient:code:below", f"{ANIMALS}|owl"), strict=True) == ["p"]


def test_a_tenant_sees_its_own_terminology_only(zoo: World) -> None:
    other = zoo.caller(tenant=zoo.tenant + 10**6)
    with pytest.raises(InvalidSearch, match="could not be found"):
        zoo.page("Observation", ("code:in", f"{OWN}/listed"), caller=other)


def test_terminology_is_read_for_whoever_searches(zoo: World) -> None:
    caller = zoo.caller((Grant("Observation"),))
    assert set(zoo.ids("Observation", ("code:in", f"{OWN}/listed"), caller=caller)) == {"dog", "owl"}


def test_a_grant_can_not_ask_for_terms(zoo: World) -> None:
    """Not even when the query that it limits asks the same."""
    criteria = (("code:in", f"{OWN}/listed"),)
    with pytest.raises(Forbidden):
        zoo.page("Observation", *criteria, caller=zoo.caller((Grant("Observation", criteria=criteria),)))
    assert not matches("Observation", seen("dog"), criteria, zoo.tenant)


def test_only_queries_that_ask_for_terms_pay(zoo: World) -> None:
    _, plain = zoo.counted("Observation", [("code", "dog")])
    _, asking = zoo.counted("Observation", [("code:in", f"{OWN}/listed")])
    assert (plain, asking) == (1, 2)


def test_more_codes_than_the_most_are_refused(zoo: World) -> None:
    many = [{"code": f"c{n}"} for n in range(10_001)]
    zoo.put(value_set("huge", {"system": "urn:many", "concept": many}))
    with pytest.raises(InvalidSearch, match="more than 10000 codes"):
        zoo.page("Observation", ("code:in", f"{OWN}/huge"))
    zoo.put(value_set("large", {"system": "urn:many", "concept": many[:-1]}), seen("c9999", "urn:many"))
    assert zoo.ids("Observation", ("code:in", f"{OWN}/large")) == ["c9999"]
