"""Searches inside a compartment, https://hl7.org/fhir/R4/compartmentdefinition.html."""

from __future__ import annotations

import pytest

from conformance.definitions import compartments, resource_types
from fhir_server.auth.caller import Grant
from fhir_server.errors import Forbidden
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.execute import Compartment
from tests.search.world import World, there_and_back

ANN = Compartment("Patient", "ann")


def reference(target: str) -> dict[str, str]:
    return {"reference": target}


@pytest.fixture
def practice(world: World) -> World:
    """Two patients, what belongs to them, and who treats them."""
    world.put({"resourceType": "Patient", "id": "ann"}, {"resourceType": "Patient", "id": "bob"})
    for number, (subject, performer) in enumerate([("ann", "x"), ("bob", "ann"), ("bob", "y"), ("ann", "ann")]):
        world.put(
            {
                "resourceType": "Observation",
                "id": f"o{number}",
                "status": "final" if number else "amended",
                "subject": reference(f"Patient/{subject}"),
                "performer": [reference(f"Patient/{performer}"), reference("Practitioner/doc")],
                "encounter": reference("Encounter/e"),
            }
        )
    world.put(
        {"resourceType": "Practitioner", "id": "doc"},
        {"resourceType": "Encounter", "id": "e", "subject": reference("Patient/ann")},
        {"resourceType": "Patient", "id": "old", "link": [{"other": reference("Patient/ann"), "type": "refer"}]},
    )
    return world


def test_any_of_the_parameters_of_the_definition_counts(practice: World) -> None:
    assert practice.ids("Observation", compartment=ANN) == ["o3", "o1", "o0"]
    assert practice.ids("Observation", compartment=Compartment("Patient", "nobody")) == []
    for compartment in (Compartment("Practitioner", "doc"), Compartment("Encounter", "e")):
        assert practice.ids("Observation", compartment=compartment) == ["o3", "o2", "o1", "o0"]


def test_all_other_parameters_work_inside(practice: World) -> None:
    assert practice.ids("Observation", ("status", "final"), compartment=ANN) == ["o3", "o1"]
    assert practice.ids("Observation", ("subject", "Patient/bob"), compartment=ANN) == ["o1"]
    assert practice.ids("Observation", ("_sort", "_id"), ("status:not", "final"), compartment=ANN) == ["o0"]
    page = practice.page("Observation", ("_total", "accurate"), ("_include", "Observation:patient"), compartment=ANN)
    assert page.total == 3
    assert sorted(match.id for match in page.included) == ["ann", "bob"]


def test_the_resource_whose_it_is_belongs_to_it(practice: World) -> None:
    assert set(practice.ids("Patient", compartment=ANN)) == {"ann", "old"}
    assert practice.ids("Encounter", compartment=Compartment("Encounter", "e")) == ["e"]
    assert practice.ids("Practitioner", compartment=Compartment("Practitioner", "doc")) == ["doc"]


def test_all_types_of_a_compartment(practice: World) -> None:
    members = [name for name in resource_types() if ANN.holds(name)]
    pages = there_and_back(lambda cursor: practice.together(members, ("_count", "2"), *cursor, compartment=ANN))
    assert [match.id for page in pages for match in page.matches] == ["old", "e", "o3", "o1", "o0", "ann"]


def test_which_types_can_be_in_it() -> None:
    assert ANN.holds("Observation")
    assert not ANN.holds("Practitioner")
    for name, members in compartments().items():
        assert all(Compartment(name, "x").holds(member) for member in [name, *members])


def test_a_cursor_serves_only_its_compartment(practice: World) -> None:
    cursor = practice.page("Observation", ("_count", "1"), compartment=ANN).next_cursor or ""
    assert practice.ids("Observation", ("_cursor", cursor), compartment=ANN) == ["o1", "o0"]
    for other in (None, Compartment("Patient", "bob"), Compartment("Practitioner", "doc")):
        with pytest.raises(InvalidSearch, match="_cursor"):
            practice.ids("Observation", ("_cursor", cursor), compartment=other)


def test_grants_hold_inside(practice: World) -> None:
    with pytest.raises(Forbidden):
        practice.ids("Observation", compartment=ANN, caller=practice.caller((Grant("Patient"),)))
    final = practice.caller((Grant("Observation", criteria=(("status", "final"),)),))
    assert practice.ids("Observation", compartment=ANN, caller=final) == ["o3", "o1"]
