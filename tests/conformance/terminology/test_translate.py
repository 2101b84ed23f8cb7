"""Translations by concept maps."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.terminology.errors import TerminologyError
from conformance.terminology.translate import TranslateParameters
from tests.conformance.terminology.animals import Json, parameter, terminology

FROM, TO, OTHER = "http://example.org/from", "http://example.org/to", "http://example.org/other"
MAP = "http://example.org/map"


def concept_map(url: str, *elements: Json, **group: Any) -> Json:
    return {
        "resourceType": "ConceptMap", "url": url, "version": "1", "status": "active", "sourceUri": f"{FROM}/vs",
        "targetUri": f"{TO}/vs", "group": [{"source": FROM, "target": TO, "element": list(elements), **group}],
    }  # fmt: skip


def to(code: str, equivalence: str = "equivalent", **more: Any) -> Json:
    return {"code": code, "equivalence": equivalence, **more}


MAPS = (
    concept_map(
        MAP,
        {"code": "a", "target": [to("1"), to("2", "wider", display="Two")]},
        {"code": "b", "target": [to("3", dependsOn=[{"property": "http://p", "value": "x"}], product=[
            {"property": "http://q", "system": OTHER, "value": "y"}])]},
        {"code": "c", "target": [{"equivalence": "unmatched"}]},
        unmapped={"mode": "other-map", "url": f"{MAP}/rest"},
    ),
    concept_map(f"{MAP}/rest", {"code": "d", "target": [to("4")]}, unmapped={"mode": "fixed", "code": "misc"}),
    concept_map(f"{MAP}/same", {"code": "a", "target": [to("1")]}, unmapped={"mode": "provided"}),
    concept_map(f"{MAP}/loop", unmapped={"mode": "other-map", "url": f"{MAP}/loop"}),
)  # fmt: skip


def translate(**asked: Any) -> tuple[bool, list[tuple[str | None, str | None]]]:
    """Return the result and the (equivalence, code) of each match."""
    if "code" in asked:
        asked.setdefault("system", FROM)
    answer = terminology(*MAPS).translate(TranslateParameters(**asked))
    matches = []
    for match in (p["part"] for p in answer["parameter"] if p["name"] == "match"):
        values = {p["name"]: next((v for k, v in p.items() if k not in ("name", "part")), None) for p in match}
        matches.append((values.get("equivalence"), (values.get("concept") or {}).get("code")))
    return parameter(answer, "result"), matches


def test_translations_of_a_code() -> None:
    expected = (True, [("equivalent", "1"), ("wider", "2")])
    assert translate(url=MAP, code="a") == expected
    assert translate(url=MAP, coding={"system": FROM, "code": "a"}) == expected
    assert (
        translate(url=MAP, concept_map_version="1", codeable_concept={"coding": [{"system": FROM, "code": "a"}]})
        == expected
    )
    assert translate(concept_map=MAPS[0], code="a") == expected
    assert translate(concept_maps=MAPS[:1], code="a", source=f"{FROM}/vs", target=f"{TO}/vs") == expected
    assert translate(concept_maps=MAPS[:1], code="a", target=f"{OTHER}/vs") == (False, [])
    assert translate(url=MAP, code="a", target_system=OTHER) == (False, [])
    assert translate(url=MAP, code="a", system=OTHER) == (False, [])


def test_what_has_no_translation() -> None:
    assert translate(url=MAP, code="c") == (False, [("unmatched", None)])
    answer = terminology(*MAPS).translate(TranslateParameters(url=f"{MAP}/loop", code="a", system=FROM))
    assert "No translation" in parameter(answer, "message")


def test_what_a_map_does_not_list() -> None:
    assert translate(url=MAP, code="d") == (True, [("equivalent", "4")])
    assert translate(url=MAP, code="z") == (True, [("inexact", "misc")])
    assert translate(url=f"{MAP}/same", code="z") == (True, [("equal", "z")])


def test_translations_that_depend_on_more() -> None:
    assert translate(url=MAP, code="b") == (False, [])
    assert translate(url=MAP, code="b", dependency=(("http://p", {"coding": [{"code": "x"}]}),)) == (
        True,
        [("equivalent", "3")],
    )
    asked = TranslateParameters(url=MAP, code="b", system=FROM, dependency=(("http://p", {"code": "x"}),))
    (match,) = [p["part"] for p in terminology(*MAPS).translate(asked)["parameter"] if p["name"] == "match"]
    assert {"name": "product", "part": [
        {"name": "element", "valueUri": "http://q"},
        {"name": "concept", "valueCoding": {"system": OTHER, "code": "y"}}]} in match  # fmt: skip


def test_the_way_back_turns_wider_into_narrower() -> None:
    assert translate(url=MAP, code="2", system=TO, reverse=True) == (True, [("narrower", "a")])
    assert translate(url=MAP, code="a", reverse=True) == (False, [])


def test_what_makes_no_sense_is_refused() -> None:
    for asked, status in (
        ({"url": f"{MAP}/nowhere", "code": "a"}, 404),
        ({"url": MAP}, 400),
        ({"url": MAP, "coding": {"system": FROM}}, 400),
        ({"url": MAP, "code": "a", "system": None}, 400),
    ):
        with pytest.raises(TerminologyError) as refused:
            translate(**asked)
        assert refused.value.status == status
