"""Looking codes up, comparing them, finding them by properties, and closures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from conformance.terminology.closure import closure_map
from conformance.terminology.coding_check import ValidateCodeParameters
from conformance.terminology.errors import TerminologyError
from conformance.terminology.find_matches import FindMatchesParameters, WantedProperty
from conformance.terminology.lookup import LookupParameters, SubsumesParameters
from tests.conformance.terminology.animals import ANIMALS, Json, parameter, terminology, value_set

SUPPLEMENT: Json = {
    "resourceType": "CodeSystem", "url": "http://example.org/cs/more", "version": "2", "content": "supplement",
    "supplements": ANIMALS, "concept": [
        {"code": "dog", "designation": [{"language": "nl", "value": "Hond"}],
         "property": [{"code": "sound", "valueString": "woof"}]}],
}  # fmt: skip


def look_up(**asked: Any) -> Json:
    return terminology(SUPPLEMENT).lookup(LookupParameters(**{"system": ANIMALS, **asked}))


def parts(answer: Json, name: str) -> list[dict[str, Any]]:
    """Return the parts of the parameters of a name as dicts."""
    return [
        {p["name"]: next(v for k, v in p.items() if k != "name") for p in found["part"]}
        for found in answer["parameter"]
        if found["name"] == name
    ]


def properties(answer: Json) -> set[tuple[str, Any]]:
    return {(p["code"], str(p["value"])) for p in parts(answer, "property")}


def test_everything_about_a_code() -> None:
    answer = look_up(code="dog")
    assert (parameter(answer, "name"), parameter(answer, "display")) == ("Animals", "Dog")
    assert parameter(answer, "definition") == "Canis familiaris"
    assert {d["value"] for d in parts(answer, "designation")} == {"Dog", "Hund", "Chién"}
    assert properties(answer) == {
        ("inactive", "False"), ("parent", "mammal"), ("child", "poodle"), ("legs", "4"), ("pet", "True"),
    }  # fmt: skip
    assert properties(look_up(coding={"system": ANIMALS, "code": "sphinx"})) >= {("parent", "cat"), ("parent", "bird")}


def test_only_what_is_asked_for() -> None:
    answer = look_up(code="dog", property=("legs", "lang.de"))
    assert properties(answer) == {("legs", "4")}
    assert [d["value"] for d in parts(answer, "designation")] == ["Hund"]
    assert parameter(answer, "definition") is None
    assert parameter(look_up(code="dog", display_language="de"), "display") == "Hund"


def test_supplements_are_used_when_asked_for() -> None:
    answer = look_up(code="dog", use_supplement=("http://example.org/cs/more",))
    assert ("sound", "woof") in properties(answer)
    assert {"language": "nl", "value": "Hond", "source": "http://example.org/cs/more|2"} in parts(answer, "designation")
    with pytest.raises(TerminologyError, match="Required supplement"):
        look_up(code="dog", use_supplement=(ANIMALS,))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"code": "elf"}, 404), ({"code": "dog", "version": "9"}, 404), ({"code": "dog", "system": "http://else.org"}, 404),
        ({}, 400), ({"code": "dog", "system": None}, 400),
    ],
)  # fmt: skip
def test_what_is_not_there(asked: dict[str, Any], status: int) -> None:
    with pytest.raises(TerminologyError) as refused:
        look_up(**asked)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [
        ("dog", "dog", "equivalent"), ("mammal", "poodle", "subsumes"), ("poodle", "mammal", "subsumed-by"),
        ("dog", "cat", "not-subsumed"), ("bird", "sphinx", "subsumes"),
    ],
)  # fmt: skip
def test_subsumption(a: str, b: str, outcome: str) -> None:
    by_code = SubsumesParameters(code_a=a, code_b=b, system=ANIMALS)
    by_coding = SubsumesParameters(coding_a={"system": ANIMALS, "code": a}, coding_b={"system": ANIMALS, "code": b})
    for asked in (by_code, by_coding):
        assert parameter(terminology().subsumes(asked), "outcome") == outcome


def test_a_naming_system_tells_the_code_system_of_an_oid() -> None:
    naming = {"resourceType": "NamingSystem", "kind": "codesystem", "uniqueId": [
        {"type": "oid", "value": "1.2.3"}, {"type": "uri", "value": "http://old.org"},
        {"type": "uri", "value": ANIMALS, "preferred": True}]}  # fmt: skip
    engine = terminology(naming)
    assert parameter(engine.lookup(LookupParameters(system="urn:oid:1.2.3", code="dog")), "display") == "Dog"
    asked = ValidateCodeParameters(value_set=value_set("x", {"system": ANIMALS}), code="dog", system="urn:oid:1.2.3")
    assert parameter(engine.validate_code(asked), "result") is True
    with pytest.raises(TerminologyError, match="urn:oid:9"):
        engine.lookup(LookupParameters(system="urn:oid:9", code="dog"))


def test_what_can_not_be_compared() -> None:
    other = {"system": "http://else.org", "code": "dog"}
    for asked, status in (
        (SubsumesParameters(code_a="dog", system=ANIMALS), 400),
        (SubsumesParameters(coding_a={"system": ANIMALS, "code": "dog"}, coding_b=other), 400),
        (SubsumesParameters(code_a="dog", code_b="elf", system=ANIMALS), 404),
    ):
        with pytest.raises(TerminologyError) as refused:
            terminology().subsumes(asked)
        assert refused.value.status == status


def test_codes_are_found_by_their_properties() -> None:
    wanted = (WantedProperty("legs", "integer", 4), WantedProperty("parent", "code", "bird"))
    exact = terminology().find_matches(FindMatchesParameters(system=ANIMALS, property=wanted[:1]))
    assert [m["code"]["code"] for m in parts_of_matches(exact)] == ["dog", "cat"]
    assert terminology().find_matches(FindMatchesParameters(system=ANIMALS, property=wanted))["parameter"] == []
    close = terminology().find_matches(FindMatchesParameters(system=ANIMALS, property=wanted, exact=False))
    assert {m["code"]["code"] for m in parts_of_matches(close)} == {"dog", "cat", "owl", "sphinx"}
    assert all("unmatched" in m for m in parts_of_matches(close))
    with pytest.raises(TerminologyError, match="at least one property"):
        terminology().find_matches(FindMatchesParameters(system=ANIMALS))


def parts_of_matches(answer: Json) -> list[dict[str, Any]]:
    return parts(answer, "match")


def test_a_closure_grows_by_what_new_concepts_add() -> None:
    engine = terminology()
    first = engine.close((), [(ANIMALS, "poodle"), (ANIMALS, "mammal"), (ANIMALS, "poodle")])
    assert first == [((ANIMALS, "poodle"), (ANIMALS, "mammal"))]
    known = [(ANIMALS, "poodle"), (ANIMALS, "mammal")]
    assert set(engine.close(known, [(ANIMALS, "dog"), (ANIMALS, "mammal")])) == {
        ((ANIMALS, "poodle"), (ANIMALS, "dog")),
        ((ANIMALS, "dog"), (ANIMALS, "mammal")),
    }
    assert engine.close(known, []) == []
    with pytest.raises(TerminologyError, match="Unknown code 'elf'"):
        engine.close((), [(ANIMALS, "elf")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = closure_map("table", "2", first, now)
    assert made["group"] == [{"source": ANIMALS, "target": ANIMALS, "element": [
        {"code": "poodle", "target": [{"code": "mammal", "equivalence": "subsumes"}]}]}]  # fmt: skip
    assert "group" not in closure_map("table", "1", (), now)
