"""``_include`` and ``_revinclude``: all, step by step, versions and canonicals, https://hl7.org/fhir/R4/search.html#include."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from fhir_server.auth.caller import Grant
from fhir_server.search import include
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.execute import SearchPage
from fhir_server.store.tables import type_ids
from tests.search.world import ENCODE, World


def reference(target: str) -> dict[str, str]:
    return {"reference": target}


def included(page: SearchPage) -> list[str]:
    return sorted(f"{match.resource_type}/{match.id}" for match in page.included)


@pytest.fixture
def clinic(world: World) -> World:
    """A patient with a doctor and an organization that is part of another; an Encounter with an Observation."""
    world.put(
        {"resourceType": "Organization", "id": "top", "partOf": reference("Organization/dept")},
        {"resourceType": "Organization", "id": "dept", "partOf": reference("Organization/top")},
        {"resourceType": "Practitioner", "id": "doc"},
        {
            "resourceType": "Patient",
            "id": "ann",
            "managingOrganization": reference("Organization/dept"),
            "generalPractitioner": [reference("Practitioner/doc"), reference("#inside")],
            "contained": [{"resourceType": "Practitioner", "id": "inside"}],
        },
        {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "class": {},
            "subject": reference("Patient/ann"),
        },
        {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "code": {},
            "subject": reference("Patient/ann"),
            "encounter": reference("Encounter/e"),
            "performer": [reference("Practitioner/doc")],
        },
    )
    return world


def test_everything_that_a_match_refers_to(clinic: World) -> None:
    wanted = ["Encounter/e", "Patient/ann", "Practitioner/doc"]
    for value in ("*", "Observation:*"):
        page, statements = clinic.counted("Observation", [("_include", value)])
        assert (included(page), statements, page.issues) == (wanted, 2, [])
    assert included(clinic.page("Observation", ("_include", "Observation:*:Patient"))) == ["Patient/ann"]


def test_everything_that_refers_to_a_match(clinic: World) -> None:
    page, statements = clinic.counted("Patient", [("_revinclude", "*")])
    assert (included(page), statements) == (["Encounter/e", "Observation/o"], 2)
    assert included(clinic.page("Patient", ("_revinclude", "Observation:*"))) == ["Observation/o"]
    assert included(clinic.page("Practitioner", ("_revinclude", "*"))) == ["Observation/o", "Patient/ann"]


@pytest.mark.parametrize("modifier", ["iterate", "recurse"])
def test_what_was_included_is_followed_when_asked_to(clinic: World, modifier: str) -> None:
    first = ("_include", "Observation:patient")
    organization = (f"_include:{modifier}", "Patient:organization")
    part_of = (f"_include:{modifier}", "Organization:partof")
    assert included(clinic.page("Observation", first)) == ["Patient/ann"]
    page, statements = clinic.counted("Observation", [first, organization])
    assert (included(page), statements) == (["Organization/dept", "Patient/ann"], 3)
    # The organizations are part of each other, which ends when nothing new comes.
    page, statements = clinic.counted("Observation", [first, organization, part_of])
    assert included(page) == ["Organization/dept", "Organization/top", "Patient/ann"]
    assert (statements, page.issues) == (4, [])
    page = clinic.page("Organization", ("_id", "dept"), part_of)
    assert included(page) == ["Organization/top"]
    page = clinic.page(
        "Organization", ("_revinclude", "Patient:organization"), ("_revinclude:iterate", "Encounter:subject")
    )
    assert included(page) == ["Encounter/e", "Patient/ann"]
    page = clinic.page("Practitioner", ("_revinclude:iterate", "*"), ("_include:iterate", "*"))
    everything = ["Encounter/e", "Observation/o", "Organization/dept", "Organization/top", "Patient/ann"]
    assert (included(page), page.issues) == (everything, [])


def test_includes_are_bounded_in_every_round(clinic: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(include, "MOST_INCLUDED", 3)
    everything = [("_revinclude:iterate", "*"), ("_include:iterate", "*")]
    page = clinic.page("Practitioner", *everything)
    assert len(page.included) == 3
    assert [issue.code for issue in page.issues] == ["incomplete"]
    monkeypatch.setattr(include, "MOST_INCLUDED", 1000)
    monkeypatch.setattr(include, "MOST_ROUNDS", 1)
    page = clinic.page("Practitioner", *everything)
    assert included(page) == ["Observation/o", "Patient/ann"]
    assert [issue.code for issue in page.issues] == ["incomplete"]


def supersede(world: World, resource: dict[str, Any], version: int) -> None:
    """Keep a version of a resource in the history."""
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO resource_history (tenant, type, version, last_updated, method, id, content)"
            " VALUES (%s, %s, %s, now(), 'U', %s, %s)",
            (world.tenant, type_ids()[resource["resourceType"]], version, resource["id"], ENCODE(resource)),
        )


def test_a_reference_to_a_version_includes_that_version(world: World) -> None:
    old = {"resourceType": "Patient", "id": "p", "gender": "male"}
    world.put({"resourceType": "Patient", "id": "p", "gender": "female"})
    supersede(world, old, 7)
    for id_, version in (("old", 7), ("now", 1), ("none", 8)):
        target = reference(f"Patient/p/_history/{version}")
        world.put({"resourceType": "Observation", "id": id_, "status": "final", "code": {}, "subject": target})
    world.put(
        {"resourceType": "Observation", "id": "any", "status": "final", "code": {}, "subject": reference("Patient/p")}
    )

    def versions(ids: str, grants: tuple[Grant, ...] = (Grant(),)) -> list[tuple[int, bytes]]:
        asked = [("_id", ids), ("_include", "Observation:subject")]
        page, statements = world.counted("Observation", asked, caller=world.caller(grants))
        assert statements == 1 + any(grant.resource_type != "Observation" for grant in grants)
        return sorted((match.version, match.content) for match in page.included)

    assert versions("old") == [(7, ENCODE(old))]
    assert [version for version, _ in versions("now")] == [1]
    assert versions("none") == []
    assert [version for version, _ in versions("old,any,now")] == [1, 7]
    # What a version says decides whether it may be seen, not what the resource became.
    observations = Grant("Observation")
    assert versions("old", (observations,)) == []
    assert versions("old", (observations, Grant("Patient", criteria=(("gender", "female"),)))) == []
    assert [v for v, _ in versions("old", (observations, Grant("Patient", criteria=(("gender", "male"),))))] == [7]


def test_canonical_references_are_found_by_their_url(world: World) -> None:
    for version in ("1", "2"):
        url, id_ = "http://example.org/q", f"q{version}"
        world.put({"resourceType": "Questionnaire", "id": id_, "status": "active", "url": url, "version": version})
    for id_, questionnaire in (
        ("any", "http://example.org/q"),
        ("second", "http://example.org/q|2"),
        ("no", "http://x"),
    ):
        world.put({"resourceType": "QuestionnaireResponse", "id": id_, "questionnaire": questionnaire})
    asked = ("_include", "QuestionnaireResponse:questionnaire")
    page = world.page("QuestionnaireResponse", ("_id", "any"), asked)
    assert included(page) == ["Questionnaire/q1", "Questionnaire/q2"]
    assert included(world.page("QuestionnaireResponse", ("_id", "second"), asked)) == ["Questionnaire/q2"]
    assert included(world.page("QuestionnaireResponse", ("_id", "no"), asked)) == []
    back = ("_revinclude", "QuestionnaireResponse:questionnaire")
    assert included(world.page("Questionnaire", ("_id", "q1"), back)) == [
        "QuestionnaireResponse/any", "QuestionnaireResponse/second",
    ]  # fmt: skip


def test_types_that_may_not_be_read_are_left_out_in_every_round(clinic: World) -> None:
    caller = clinic.caller((Grant("Observation"), Grant("Patient"), Grant("Organization", frozenset(("search",)))))
    asked = [("_include:iterate", "*"), ("_revinclude:iterate", "*")]
    page = clinic.page("Observation", *asked, caller=caller)
    assert included(page) == ["Patient/ann"]
    mine = (Grant("Observation"), Grant("Patient", criteria=(("gender", "male"),)))
    assert included(clinic.page("Observation", *asked, caller=clinic.caller(mine))) == []


def test_a_summary_of_texts_has_no_includes(clinic: World) -> None:
    with pytest.raises(InvalidSearch, match="_include"):
        clinic.page("Observation", ("_summary", "text"), ("_include", "*"))
