"""What shapes the result: counts, totals, includes, and what is said about parameters that can't be used."""

from __future__ import annotations

import pytest

from fhir_server.search import include
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.execute import SearchPage
from tests.search.world import World


@pytest.fixture
def ward(world: World) -> World:
    """Three patients with a doctor, one with two Observations."""
    world.put({"resourceType": "Practitioner", "id": "doc"})
    for number in range(3):
        doctor = [{"reference": "Practitioner/doc"}, {"reference": "Organization/none"}]
        world.put({"resourceType": "Patient", "id": f"p{number}", "gender": "male", "generalPractitioner": doctor})
    for number in range(2):
        observation = {"resourceType": "Observation", "id": f"o{number}", "status": "final"}
        related = {"subject": {"reference": "Patient/p0"}, "hasMember": [{"reference": f"Observation/o{1 - number}"}]}
        world.put(observation | related)
    return world


def test_a_page_takes_one_statement_and_one_more_for_each_extra(ward: World) -> None:
    include_, revinclude = ("_include", "Patient:general-practitioner"), ("_revinclude", "Observation:patient")
    assert ward.counted("Patient", [("gender", "male")])[1] == 1
    assert ward.counted("Patient", [include_, revinclude])[1] == 2
    assert ward.counted("Patient", [include_, revinclude, ("_total", "accurate")])[1] == 2
    assert ward.counted("Patient", [("_summary", "count")])[1] == 1
    assert ward.counted("Patient", [("gender", "female"), include_])[1] == 1


def test_count_and_total(ward: World) -> None:
    page = ward.page("Patient", ("_count", "2"), ("_total", "accurate"))
    assert (len(page.matches), page.total, page.next_cursor is None) == (2, 3, False)
    assert ward.page("Patient", ("_count", "3")).next_cursor is None
    assert ward.page("Patient").total is None
    assert ward.page("Patient", ("_total", "none")).total is None
    assert ward.page("Patient", ("_total", "estimate")).total == 3
    for counting in (("_summary", "count"), ("_count", "0")):
        page = ward.page("Patient", counting, ("gender", "male"))
        assert (page.matches, page.total, page.next_cursor) == ([], 3, None)
    assert len(ward.page("Patient", ("_count", "999999")).matches) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_count", "-1"), ("_count", "ten"), ("_count", "1.5"), ("_count", "²"), ("_count", "9" * 30),
        ("_total", "maybe"), ("_summary", "perhaps"), ("_include", "subject"), ("_include", "Nothing:subject"),
        ("_revinclude", "Observation:subject:Nothing"), ("_contained", "maybe"), ("_containedType", "maybe"),
    ],
)  # fmt: skip
def test_bad_result_parameters_are_refused(ward: World, name: str, value: str) -> None:
    with pytest.raises(InvalidSearch) as refused:
        ward.page("Observation", (name, value))
    assert name in refused.value.issues[0].diagnostics
    assert value in refused.value.issues[0].diagnostics


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("nonsense", "x", "nonsense"), ("subject.nonsense", "x", "subject.nonsense"),
        ("status:exact", "x", ":exact"), ("date:not", "2020", ":not"),
        ("_sort", "nonsense", "nonsense"), ("_sort", "_score", "_score"), ("_sort", "_text", "_text"),
        ("_sort", "code-value-quantity", "code-value-quantity"), ("_sort", ",".join(["status"] * 11), "10"),
        ("_include:recursive", "Observation:subject", "recursive"), ("_count:exact", "1", "exact"),
        ("_include", "Patient:organization", "no effect"), ("_include", "Observation:code", "code"),
        ("_revinclude", "Encounter:subject:Patient", "no effect"), ("_elements", "status,nonsense", "nonsense"),
        ("_type", "Observation", "_type"),
        ("_query", "named", "_query"), ("_score", "1", "_score"),
        ("_nonsense", "1", "_nonsense"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_and_refused_when_strict(ward: World, name: str, value: str, told: str) -> None:
    page = ward.page("Observation", ("status", "final"), (name, value))
    assert [m.id for m in page.matches] == ["o1", "o0"]
    (issue,) = page.issues
    assert (issue.severity, issue.code) == ("warning", "not-supported")
    assert told in issue.diagnostics
    assert page.used == [("status", "final")]
    with pytest.raises(InvalidSearch) as refused:
        ward.page("Observation", ("status", "final"), (name, value), strict=True)
    assert [(i.severity, i.code) for i in refused.value.issues] == [("error", "not-supported")]


def test_used_parameters_keep_their_order_and_spelling(ward: World) -> None:
    given = [
        ("gender", "male,female"),
        ("_count", "2"),
        ("_sort", "-_id"),
        ("_include", "Patient:general-practitioner"),
    ]
    assert ward.page("Patient", *given).used == given
    assert ward.page("Patient", ("gender", ""), ("active:not", "false")).used == [("active:not", "false")]


def test_includes(ward: World) -> None:
    page = ward.page("Patient", ("_include", "Patient:general-practitioner"))
    assert [(m.resource_type, m.id) for m in page.included] == [("Practitioner", "doc")]
    assert ward.page("Patient", ("_include", "Patient:general-practitioner:Organization")).included == []
    page = ward.page("Patient", ("_id", "p0,p1"), ("_revinclude", "Observation:subject"))
    assert {(m.resource_type, m.id) for m in page.included} == {("Observation", "o0"), ("Observation", "o1")}
    page = ward.page(
        "Observation", ("_id", "o0"), ("_include", "Observation:has-member"), ("_include", "Observation:patient")
    )
    assert {m.id for m in page.included} == {"o1", "p0"}
    # What is a match already isn't sent twice, and both ways to the same resource give it once.
    page = ward.page("Observation", ("_include", "Observation:has-member"), ("_revinclude", "Observation:has-member"))
    assert (len(page.matches), page.included) == (2, [])


def test_included_resources_are_bounded(ward: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(include, "MOST_INCLUDED", 1)
    page = ward.page("Patient", ("_revinclude", "Observation:subject"))
    assert len(page.included) == 1
    assert [issue.code for issue in page.issues] == ["incomplete"]


HOSTILE = [
    "'; DROP TABLE resource; --",
    "%s",
    "%(v0)s",
    "\\",
    "' OR '1'='1",
    "{1,2}",
    "NULL",
    "1)) OR ((1=1",
    "$1",
    "🦄",
    ",",
    "|",
    "a|b|c|d",
]


def answer(ward: World, name: str, value: str) -> SearchPage | None:
    """Return a page, or None when the search is refused as it should be."""
    try:
        return ward.page("Patient", (name, value))
    except InvalidSearch:
        return None


@pytest.mark.parametrize("value", HOSTILE)
def test_sql_in_parameters_is_only_text(ward: World, value: str) -> None:
    names = ["identifier", "gender", "name", "name:exact", "birthdate", "general-practitioner", "_id", "_lastUpdated"]
    names += [
        "_profile",
        "_tag",
        "_sort",
        "_count",
        "_include",
        "_revinclude",
        "_cursor",
        "_total",
        "gender:not",
        value,
    ]
    for name in names:
        found = answer(ward, name, value)
        assert found is None or found.issues or len(found.matches) == 3 * (name == "gender:not"), name
    assert len(ward.ids("Patient")) == 3
