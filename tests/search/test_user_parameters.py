"""Which SearchParameters of a tenant can be used, and what becomes of those that can."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conformance.definitions import SearchParameter, resource_types
from conformance.issues import InvalidResource
from fhir_server.search.incomplete import find_incomplete
from fhir_server.search.index import index
from fhir_server.search.registry import SearchParameters, standard
from fhir_server.search.user_parameters import UserParameter, check, definition_of, extend, find_issues, types_of

RACE = "Patient.extension.where(url = 'http://example.org/race').extension.value.code"


def definition(**elements: Any) -> SearchParameter:
    return definition_of(
        {
            "url": f"http://example.org/{elements.get('code', 'race')}",
            "code": "race",
            "base": ["Patient"],
            "type": "token",
            "expression": RACE,
            **elements,
        }
    )


def user(id_: str, version: int = 1, **elements: Any) -> UserParameter:
    return UserParameter(id_, version, definition(**elements))


def extended(*users: UserParameter, indexed: dict[tuple[str, str], int] | None = None) -> SearchParameters:
    return extend(users, indexed or {}, frozenset())


def test_nothing_of_ones_own_is_the_standard_set() -> None:
    assert extend([], {}, frozenset()) is standard()
    same = user("same", code="birthdate", type="date", expression=" Patient.birthDate ")
    assert extended(same) is standard()


def test_a_parameter_is_there_for_its_types_only() -> None:
    parameters = extended(user("a"))
    assert parameters.of("Patient")["race"].type == "token"
    assert "race" not in parameters.of("Person")
    assert parameters.of("Observation") is standard().of("Observation")
    assert "race" not in standard().of("Patient")


def test_abstract_bases_stand_for_every_type() -> None:
    parameters = extended(user("a", code="lang", base=["Resource"], expression="Resource.language"))
    assert all("lang" in parameters.of(name) for name in resource_types())
    assert set(types_of(["DomainResource"])) == set(resource_types())


def test_indexing_follows_the_set() -> None:
    patient = {
        "resourceType": "Patient",
        "extension": [
            {
                "url": "http://example.org/race",
                "extension": [{"url": "x", "valueCoding": {"system": "urn:x", "code": "1"}}],
            }
        ],
    }
    plain, more = index("Patient", patient, 1), index("Patient", patient, 1, extended(user("a")))
    assert set(plain.tokens) < set(more.tokens)
    assert index("Patient", patient, 1).tokens == plain.tokens


def test_a_parameter_is_incomplete_until_it_is_indexed_at_its_version() -> None:
    assert extended(user("a", 2)).incomplete == {("Patient", "race")}
    assert extended(user("a", 2), indexed={("Patient", "a"): 1}).incomplete == {("Patient", "race")}
    assert extended(user("a", 2), indexed={("Patient", "a"): 2}).incomplete == frozenset()
    both = user(
        "a", 2, base=["Patient", "Person"], expression="Patient.name.suffix | Person.name.suffix", type="string"
    )
    assert extended(both, indexed={("Patient", "a"): 2}).incomplete == {("Person", "race")}


def test_of_two_that_clash_the_first_counts() -> None:
    first, second = user("a"), user("b", expression="Patient.active")
    assert extended(first, second).owners == {("Patient", "race"): "a"}
    assert extended(second, first).owners == {("Patient", "race"): "b"}
    issues = list(find_issues(second.definition, extended(first), "b"))
    assert [(i.code, i.expression) for i in issues] == [("business-rule", "SearchParameter.code")]
    assert list(find_issues(second.definition, extended(first), "a")) == []


def test_composites_find_their_components_among_ones_own() -> None:
    part = user("part")
    whole = user(
        "whole",
        code="race-gender",
        type="composite",
        expression="Patient",
        component=[
            {"definition": part.definition.url, "expression": "extension.value.code"},
            {"definition": "http://hl7.org/fhir/SearchParameter/individual-gender", "expression": "gender"},
        ],
    )
    assert "race-gender" in extended(whole, part).of("Patient")
    places = [i.expression for i in find_issues(whole.definition, standard(), None)]
    assert places == ["SearchParameter.component[0].definition"]


@pytest.mark.parametrize("status", ["draft", "retired", "unknown"])
def test_only_active_ones_are_refused(status: str) -> None:
    broken = {"status": "active", "code": "x", "base": ["Patient"], "type": "token", "expression": "Patient.nope"}
    with pytest.raises(InvalidResource):
        check(broken, standard())
    check({**broken, "status": status}, standard())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Patient.name.given", "(Patient.name.given)"),
        ("Patient.name.given | Patient.name.family", "Patient.name.family|Patient.name.given"),
        ("(Patient.deceased as dateTime)", "Patient.deceased.as(dateTime)"),
    ],
)
def test_ways_to_write_the_same(first: str, second: str) -> None:
    known = extended(user("a", expression=first))
    assert list(find_issues(definition(expression=second), known, "b")) == []
    different = replace(definition(expression=second), type="string")
    assert [i.expression for i in find_issues(different, known, "b")] == ["SearchParameter.code"]


@pytest.mark.parametrize(
    ("types", "name", "value", "warned"),
    [
        (["Patient"], "race", "x", True),
        (["Patient"], "race:not", "x", True),
        (["Patient"], "_sort", "name,-race", True),
        (["Observation"], "subject.race", "x", True),
        (["Observation"], "subject:Patient.race", "x", True),
        (["Observation"], "subject:Group.race", "x", False),
        (["Practitioner"], "_has:Patient:general-practitioner:race", "x", True),
        (["Person"], "race", "x", False),
        (["Patient"], "name", "race", False),
        (["Person", "Patient"], "race", "x", True),
    ],
)
def test_who_uses_an_incomplete_parameter_is_warned(types: list[str], name: str, value: str, warned: bool) -> None:
    issues = find_incomplete(types, [(name, value)], extended(user("a")))
    assert [i.code for i in issues] == (["incomplete"] if warned else [])
    assert find_incomplete(types, [(name, value)], standard()) == []


def test_types_that_an_older_format_holds_are_named() -> None:
    parameters = extend([], {}, frozenset(["Patient"]))
    assert [i.code for i in find_incomplete(["Patient"], [("name", "x")], parameters)] == ["transient"]
    assert find_incomplete(["Patient"], [("_id", "x")], parameters) == []
    assert find_incomplete(["Person"], [("name", "x")], parameters) == []
