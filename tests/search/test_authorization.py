"""Grants limit every search: its matches, its total, its pages and what it includes."""

from __future__ import annotations

import pytest

from fhir_server.auth.caller import Caller, Grant, Interaction
from fhir_server.errors import Forbidden
from fhir_server.search.bind import bind
from fhir_server.search.environment import Environment
from fhir_server.search.match import matches
from fhir_server.search.parse import parse
from fhir_server.search.registry import standard
from fhir_server.search.rewrites import REWRITES, authorize, rewrite
from tests.search.world import World

READ: frozenset[Interaction] = frozenset(("read", "search"))
ONLY_READ: frozenset[Interaction] = frozenset(("read",))
ONLY_SEARCH: frozenset[Interaction] = frozenset(("search",))


@pytest.fixture
def clinic(world: World) -> World:
    """Two patients of two organizations, each with an Observation."""
    for one in ("a", "b"):
        subject = {"reference": f"Patient/{one}"}
        world.put(
            {"resourceType": "Organization", "id": f"org-{one}", "name": one},
            {"resourceType": "Patient", "id": one, "managingOrganization": {"reference": f"Organization/org-{one}"}},
            {"resourceType": "Observation", "id": f"obs-{one}", "status": "final", "subject": subject},
        )
    return world


def test_without_a_grant_nothing_is_searched(clinic: World) -> None:
    for grants in ((), (Grant("Observation"),), (Grant("Patient", ONLY_READ),)):
        with pytest.raises(Forbidden):
            clinic.page("Patient", caller=clinic.caller(grants))


def test_criteria_of_a_grant_limit_matches_totals_and_pages(clinic: World) -> None:
    caller = clinic.caller((Grant("Observation", READ, (("patient", "Patient/a"),)),))
    page = clinic.page("Observation", ("_total", "accurate"), caller=caller)
    assert [m.id for m in page.matches] == ["obs-a"]
    assert page.total == 1
    assert clinic.page("Observation", ("_summary", "count"), caller=caller).total == 1
    for parameters in (
        [("patient", "Patient/b")], [("_id", "obs-b")], [("status:not", "final")], [("status", "final,amended")],
        [("patient:missing", "true")], [("subject", "Patient/a,Patient/b")], [("_sort", "-date")], [("_id:not", "x")],
    ):  # fmt: skip
        assert set(clinic.ids("Observation", *parameters, caller=caller)) <= {"obs-a"}, parameters
    assert clinic.walk("Observation", ("_count", "1"), caller=caller) == ["obs-a"]


def test_a_cursor_gives_no_more_than_the_callers_grants(clinic: World) -> None:
    cursor = clinic.page("Observation", ("_count", "1")).next_cursor
    assert cursor is not None
    caller = clinic.caller((Grant("Observation", READ, (("patient", "Patient/b"),)),))
    assert clinic.ids("Observation", ("_cursor", cursor), caller=caller) == []


def test_several_grants_add_up(clinic: World) -> None:
    grants = tuple(Grant("Observation", READ, (("patient", f"Patient/{one}"),)) for one in ("a", "b"))
    assert set(clinic.ids("Observation", caller=clinic.caller(grants))) == {"obs-a", "obs-b"}
    unlimited = (*grants, Grant("*", READ))
    assert set(clinic.ids("Patient", caller=clinic.caller(unlimited))) == {"a", "b"}


def test_all_criteria_of_one_grant_must_hold(clinic: World) -> None:
    criteria = (("patient", "Patient/a"), ("status", "amended"))
    assert clinic.ids("Observation", caller=clinic.caller((Grant("Observation", READ, criteria),))) == []
    mixed = (Grant("Observation", READ, criteria), Grant("Observation", READ, (("date:missing", "true"),)))
    assert set(clinic.ids("Observation", caller=clinic.caller(mixed))) == {"obs-a", "obs-b"}


@pytest.mark.parametrize(
    "criterion", [("nonsense", "x"), ("patient:nonsense", "x"), ("date", "garbage"), ("patient", "")]
)
def test_criteria_that_cannot_be_held_to_cover_nothing(clinic: World, criterion: tuple[str, str]) -> None:
    with pytest.raises(Forbidden):
        clinic.page("Observation", caller=clinic.caller((Grant("Observation", READ, (criterion,)),)))


@pytest.mark.parametrize("criterion", [("nonsense", "x"), ("code:nonsense", "x"), ("date", "garbage"), ("code", "")])
def test_no_resource_fulfils_criteria_that_cannot_be_used(criterion: tuple[str, str]) -> None:
    resource = {"resourceType": "Observation", "code": {"coding": [{"code": "a"}]}}
    assert matches("Observation", resource, [("code", "a")], 1)
    assert not matches("Observation", resource, [("code", "a"), criterion], 1)


def test_includes_need_a_grant_to_read(clinic: World) -> None:
    include = ("_include", "Observation:subject")
    revinclude = ("_revinclude", "Observation:subject")
    everything = clinic.page("Observation", include)
    assert {m.id for m in everything.included} == {"a", "b"}
    searcher = clinic.caller((Grant("Observation", READ), Grant("Patient", ONLY_SEARCH)))
    assert clinic.page("Observation", include, caller=searcher).included == []
    limited = clinic.caller((Grant("Observation", READ), Grant("Patient", READ, (("organization", "org-a"),))))
    assert [m.id for m in clinic.page("Observation", include, caller=limited).included] == ["a"]
    reverse = clinic.caller((Grant("Patient", READ), Grant("Observation", READ, (("_id", "obs-b"),))))
    assert [m.id for m in clinic.page("Patient", revinclude, caller=reverse).included] == ["obs-b"]


def test_a_query_for_another_tenant_is_refused(clinic: World) -> None:
    query = bind("Patient", parse([]), Environment(clinic.tenant, standard()))
    with pytest.raises(Forbidden):
        rewrite(query, Caller("stranger", clinic.tenant + 1, (Grant(),)), Environment(clinic.tenant, standard()))


def test_authorization_is_the_first_rewrite() -> None:
    assert REWRITES[0] is authorize
