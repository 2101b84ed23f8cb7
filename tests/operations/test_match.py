"""Patient/$match: near-duplicates are found and graded, other people are not.

https://hl7.org/fhir/R4/patient-operation-match.html
"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.operations.definitions import load
from fhir_server.operations.linkage import COMPARISONS, grade, probability, weights
from fhir_server.operations.similarity import compare_dates, jaro, jaro_winkler
from tests.operations.conftest import Clinic, Resource

ADA: Resource = {
    "resourceType": "Patient",
    "identifier": [{"system": "http://mrn", "value": "77"}],
    "name": [{"family": "Müller-Lehmann", "given": ["Katharina", "Eva"]}, {"use": "maiden", "family": "Schubert"}],
    "gender": "female",
    "birthDate": "1987-04-09",
    "telecom": [{"system": "phone", "value": "+49 170 5550123"}, {"system": "email", "value": "k.mueller@example.org"}],
    "address": [{"line": ["Lindenstr. 12"], "city": "Mainz", "postalCode": "55116"}],
}


def _like(**changes: Any) -> Resource:
    """Return ADA without identifier and contacts, with changes; None takes an element away."""
    base = {k: v for k, v in ADA.items() if k not in ("identifier", "telecom")}
    return {k: v for k, v in {**base, **changes}.items() if v is not None}


def _name(family: str, *given: str) -> list[Resource]:
    return [{"family": family, "given": list(given)}]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("MARTHA", "MARHTA", 0.961),
        ("DIXON", "DICKSONX", 0.813),
        ("DWAYNE", "DUANE", 0.840),
        ("A", "B", 0.0),
        ("", "A", 0.0),
    ],
)
def test_jaro_winkler_of_the_literature(one: str, other: str, expected: float) -> None:
    assert jaro_winkler(one, other) == pytest.approx(expected, abs=0.001)
    assert jaro(one, other) == pytest.approx(jaro(other, one))


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("1987-04-09", "1987-04-09", "same"),
        ("1987-04-09", "1987-09-04", "transposed"),
        ("1987-04-09", "1978-04-09", "transposed"),
        ("1987-04-09", "1987-04-08", "one-digit"),
        ("1987-04", "1987-04-09", "partial"),
        ("1987", "1987-04-09", "partial"),
        ("1986", "1987-04-09", "different"),
        ("1987-04-09", "1962-11-23", "different"),
    ],
)
def test_dates(one: str, other: str, level: str) -> None:
    assert compare_dates(one, other) == level


def test_the_weights_are_probabilities() -> None:
    raw = load("match-weights")
    assert raw["fields"].keys() == COMPARISONS.keys()
    for field, levels in raw["fields"].items():
        for side in ("m", "u"):
            assert sum(level[side] for level in levels.values()) == pytest.approx(1, abs=0.01), (field, side)
    assert list(weights().grades.values()) == sorted(weights().grades.values(), reverse=True)


@pytest.mark.parametrize(
    ("described", "least"),
    [
        (ADA, "certain"),
        (_like(), "certain"),
        (_like(name=_name("Mueller Lehmann", "Katarina")), "certain"),
        (_like(name=_name("Schubert", "Katharina")), "certain"),
        (_like(birthDate="1987-09-04"), "certain"),
        (_like(birthDate="1987-04-08", address=None), "probable"),
        (_like(name=_name("Müller-Lehmann", "K."), address=None), "probable"),
        (_like(name=_name("Hoffmann", "Katharina"), telecom=ADA["telecom"]), "certain"),
        (_like(address=None, gender=None), "probable"),
        (_like(birthDate=None, address=None, telecom=[{"system": "phone", "value": "0170 5550123"}]), "probable"),
    ],
)
def test_near_duplicates(described: Resource, least: str) -> None:
    order = ("certain", "probable", "possible", "certainly-not")
    chance = probability(described, ADA)
    assert chance == pytest.approx(probability(ADA, described))
    assert order.index(grade(chance)) <= order.index(least), chance


@pytest.mark.parametrize(
    "other",
    [
        _like(name=_name("Müller", "Thomas"), gender="male", birthDate="1955-01-30", address=None),
        # A neighbour; a namesake; a twin brother; someone of the same birthday.
        _like(name=_name("Okafor", "Chidi"), gender="male", birthDate="1990-12-01"),
        _like(birthDate="1949-10-23", address=[{"line": ["Am Markt 3"], "postalCode": "01067"}]),
        _like(name=_name("Janssen", "Pia"), address=[{"line": ["Am Markt 3"], "postalCode": "01067"}]),
    ],
)
def test_other_people_are_not_certain(other: Resource) -> None:
    assert grade(probability(ADA, other)) in ("possible", "certainly-not")


def test_a_twin_is_not_a_certain_match() -> None:
    twin = _like(name=_name("Müller-Lehmann", "Friederike"), multipleBirthInteger=2)
    assert grade(probability({**ADA, "multipleBirthInteger": 1}, twin)) != "certain"
    assert grade(probability(ADA, {k: v for k, v in twin.items() if k != "multipleBirthInteger"})) != "certain"


@pytest.fixture
def people(clinic: Clinic) -> Clinic:
    clinic.put(
        {**ADA, "id": "ada"},
        {**_like(birthDate="1987-09-04", address=None), "id": "ada-again"},
        {**_like(name=_name("Janssen", "Pia"), gender="female", address=None), "id": "pia"},
        {**_like(name=_name("Okafor", "Chidi"), gender="male", birthDate="1990-12-01", address=None), "id": "chidi"},
        {
            **ADA,
            "id": "merged",
            "active": False,
            "link": [{"other": {"reference": "Patient/ada"}, "type": "replaced-by"}],
        },
    )
    return clinic


def _match(clinic: Clinic, described: Resource, **parameters: Any) -> list[tuple[str, str, float]]:
    given = [{"name": "resource", "resource": described}]
    given += [{"name": k, "valueBoolean" if isinstance(v, bool) else "valueInteger": v} for k, v in parameters.items()]
    found = clinic.call("Patient/$match", *given)
    return [
        (e["resource"]["id"], e["search"]["extension"][0]["valueCode"], float(e["search"]["score"]))
        for e in found.get("entry", [])
        if e["search"]["mode"] == "match"
    ]


def test_matches_are_graded_and_sorted(people: Clinic) -> None:
    found = _match(people, _like())
    assert [id_ for id_, _, _ in found[:2]] == ["ada", "ada-again"]
    assert found[0][1] == "certain"
    assert [score for *_, score in found] == sorted((score for *_, score in found), reverse=True)
    assert all(0 <= score <= 1 for *_, score in found)
    assert {"chidi", "merged"}.isdisjoint(id_ for id_, _, _ in found)


def test_a_misspelt_name_and_a_transposed_date_are_found(people: Clinic) -> None:
    described = {"resourceType": "Patient", "name": _name("Mueller-Leman", "Katharina"), "birthDate": "1987-09-04"}
    described["gender"] = "female"
    assert {id_ for id_, _, _ in _match(people, described)} >= {"ada-again"}


def test_only_certain_matches_and_count(people: Clinic) -> None:
    assert [id_ for id_, _, _ in _match(people, ADA, count=1)] == ["ada"]
    certain = [id_ for id_, its_grade, _ in _match(people, ADA) if its_grade == "certain"]
    assert certain == ["ada", "ada-again"]
    assert _match(people, ADA, onlyCertainMatches=True) == []
    told = people.call(
        "Patient/$match",
        {"name": "resource", "resource": ADA},
        {"name": "onlyCertainMatches", "valueBoolean": True},
    )
    assert told["entry"][0]["resource"]["issue"][0]["code"] == "multiple-matches"
    chidi = _like(name=_name("Okafor", "Chidi"), gender="male", birthDate="1990-12-01", address=None)
    assert [id_ for id_, _, _ in _match(people, chidi, onlyCertainMatches=True)] == ["chidi"]
    assert _match(people, {"resourceType": "Patient", "name": _name("Nobody", "No")}) == []


def test_what_cannot_be_matched_is_refused(people: Clinic) -> None:
    def refused(parameters: list[Resource]) -> int:
        return people.refusal("POST", "Patient/$match", {"resourceType": "Parameters", "parameter": parameters}).status

    assert refused([{"name": "resource", "resource": {"resourceType": "Patient", "gender": "male"}}]) == 400
    assert refused([{"name": "resource", "resource": {"resourceType": "Location"}}]) == 400
    assert refused([{"name": "resource", "resource": ADA}, {"name": "count", "valueInteger": 0}]) == 400
    assert refused([{"name": "count", "valueInteger": 1}]) == 400
    assert people.refusal("POST", "Patient/$match", {"resourceType": "Patient", "gender": "male"}).status == 400
