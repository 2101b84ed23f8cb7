"""Observation/$lastn, https://hl7.org/fhir/R4/observation-operation-lastn.html."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operations.conftest import Clinic, Resource, names, observation


def _coded(id_: str, when: str | None, *codes: str, text: str | None = None, patient: str = "p") -> Resource:
    concept: dict[str, Any] = {}
    if codes:
        concept["coding"] = [{"system": "http://s", "code": code} for code in codes]
    if text:
        concept["text"] = text
    category = [{"coding": [{"code": "vital-signs"}]}]
    return observation(id_, patient, when=when, category=category) | {"code": concept}


def _last(clinic: Clinic, query: str = "patient=Patient/p&category=vital-signs") -> list[str]:
    return [name.removeprefix("Observation/") for name in names(clinic.fetch(f"Observation/$lastn?{query}"))]


@pytest.fixture
def vitals(clinic: Clinic) -> Clinic:
    clinic.put(
        _coded("a1", "2020-01-01", "a"),
        _coded("a2", "2020-01-02", "a"),
        _coded("a3", "2020-01-03", "a"),
        _coded("b1", "2020-02-01", "b"),
        _coded("t1", "2020-03-01", text="Text"),
        _coded("t2", "2020-03-02", text="text"),
        _coded("n1", None, "n"),
        _coded("other", "2021-01-01", "a", patient="q"),
    )
    return clinic


def test_the_newest_of_each_code(vitals: Clinic) -> None:
    assert _last(vitals) == ["t2", "t1", "b1", "a3", "n1"]
    assert _last(vitals, "patient=Patient/p&category=vital-signs&max=2") == ["t2", "t1", "b1", "a3", "a2", "n1"]
    assert _last(vitals, "subject=Patient/p&code=a&max=9") == ["a3", "a2", "a1"]
    assert _last(vitals, "patient=Patient/p&code=a&date=lt2020-01-03") == ["a2"]
    assert _last(vitals, "patient=Patient/nobody&code=a") == []


def test_translations_join_groups(vitals: Clinic) -> None:
    vitals.put(_coded("ab", "2019-01-01", "a", "b"))
    assert _last(vitals) == ["t2", "t1", "b1", "n1"]
    vitals.put(_coded("ab", "2019-01-01", "c"))


def test_ties_are_all_returned(vitals: Clinic) -> None:
    vitals.put(_coded("a4", "2020-01-03", "a"))
    assert sorted(_last(vitals, "patient=Patient/p&code=a")) == ["a3", "a4"]
    assert sorted(_last(vitals, "patient=Patient/p&code=a&max=1")) == ["a3", "a4"]
    assert len(_last(vitals, "patient=Patient/p&code=a&max=2")) == 2
    vitals.put(_coded("a4", "2019-01-03", "a"))


def test_by_post(vitals: Clinic) -> None:
    found = vitals.call(
        "Observation/$lastn",
        {"name": "patient", "valueString": "Patient/p"},
        {"name": "code", "valueString": "http://s|a"},
        {"name": "max", "valuePositiveInt": 2},
    )
    assert names(found) == ["Observation/a3", "Observation/a2"]
    assert found["total"] == 2


def test_what_is_refused_or_told(vitals: Clinic) -> None:
    for query in ("category=vital-signs", "patient=p", "patient=p&code=a&_sort=date", "patient=p&code=a&_count=1"):
        assert vitals.refusal("GET", f"Observation/$lastn?{query}").status == 400, query
    told = vitals.fetch("Observation/$lastn?patient=p&code=a&nonsense=1")["entry"]
    assert [e["search"]["mode"] for e in told] == ["match", "outcome"]
    assert told[-1]["resource"]["issue"][0]["code"] == "not-supported"
