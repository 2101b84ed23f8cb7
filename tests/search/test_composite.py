"""Composite parameters, on PostgreSQL and in memory."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.definitions import resource_types
from fhir_server.search.composite_definition import Together, contexts
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.index import index
from fhir_server.search.registry import standard
from tests.search.test_modifiers import agree
from tests.search.world import World

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
Resource = dict[str, Any]


def concept(code: str, system: str = LOINC) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def millimetres(value: float) -> Resource:
    return {"value": value, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"}


def observation(id_: str, **elements: Any) -> Resource:
    return {"resourceType": "Observation", "id": id_, "status": "final", **elements}


OBSERVATIONS = (
    observation("pressure", code=concept("85354-9"), component=[
        {"code": concept("8480-6"), "valueQuantity": millimetres(150)},
        {"code": concept("8462-4"), "valueQuantity": millimetres(95)},
        {"code": concept("empty")},
    ]),
    observation("systolic", code=concept("8480-6"), valueQuantity=millimetres(95)),
    observation("concept", code=concept("a"), valueCodeableConcept=concept("v", "urn:v"),
                component=[{"code": concept("b"), "valueCodeableConcept": concept("w", "urn:v")},
                           {"code": concept("c", "urn:other"), "valueCodeableConcept": concept("x", "urn:v")}]),
    observation("text", code=concept("t"), valueString="Hello world, $5"),
    observation("coded-text", code=concept("t"), valueCodeableConcept={"text": "Hello there"}),
    observation("date", code=concept("d"), valueDateTime="2020-05-05"),
    observation("period", code=concept("d"), valuePeriod={"start": "2020-05-01", "end": "2020-05-31"}),
    observation("no-code", valueQuantity=millimetres(95)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("code-value-quantity", "8480-6$95", {"systolic"}),
        ("code-value-quantity", f"{LOINC}|8480-6$95|{UCUM}|mm[Hg]", {"systolic"}),
        ("code-value-quantity", f"8480-6$12.67|{UCUM}|kPa", {"systolic"}),
        ("code-value-quantity", "8480-6$gt95", set()),
        ("code-value-quantity", "85354-9$150", set()),
        ("component-code-value-quantity", "8480-6$150", {"pressure"}),
        ("component-code-value-quantity", "8480-6$95", set()),
        ("component-code-value-quantity", f"{LOINC}|8462-4$le95||mm[Hg]", {"pressure"}),
        ("component-code-value-quantity", f"{LOINC}|8462-4$gt12|{UCUM}|kPa", {"pressure"}),
        ("component-code-value-quantity", "|8462-4$95", set()),
        ("component-code-value-quantity", "urn:other|8462-4$95", set()),
        ("component-code-value-quantity", "empty$ge0", set()),
        ("component-code-value-quantity", f"{LOINC}|$95", {"pressure"}),
        ("component-code-value-quantity", f"{LOINC}|$gt150", set()),
        ("component-code-value-quantity", "urn:other|$95", set()),
        ("combo-code-value-quantity", f"{LOINC}|$lt100", {"pressure", "systolic"}),
        ("component-code-value-concept", "urn:other|$urn:v|", {"concept"}),
        ("component-code-value-concept", f"{LOINC}|$w", {"concept"}),
        ("component-code-value-concept", f"{LOINC}|$x", set()),
        ("component-code-value-concept", "c$urn:v|", {"concept"}),
        ("component-code-value-concept", "c$urn:w|", set()),
        ("component-code-value-quantity", "8480-6$95,8480-6$gt100", {"pressure"}),
        ("combo-code-value-quantity", "8480-6$gt90", {"pressure", "systolic"}),
        ("combo-code-value-quantity", "8480-6$lt100", {"systolic"}),
        ("combo-code-value-quantity", "8462-4$95", {"pressure"}),
        ("code-value-concept", "a$v", {"concept"}),
        ("code-value-concept", f"{LOINC}|a$urn:v|v", {"concept"}),
        ("code-value-concept", "a$w", set()),
        ("component-code-value-concept", "b$w", {"concept"}),
        ("component-code-value-concept", f"{LOINC}|b$urn:v|w", {"concept"}),
        ("component-code-value-concept", "b$x", set()),
        ("component-code-value-concept", "b$v", set()),
        ("component-code-value-concept", "w$b", set()),
        ("combo-code-value-concept", "a$v", {"concept"}),
        ("combo-code-value-concept", "c$urn:v|x", {"concept"}),
        ("combo-code-value-concept", "a$w", set()),
        ("code-value-string", "t$hello", {"text"}),
        ("code-value-string", r"t$hello world\, \$5", {"text"}),
        ("code-value-string", "d$hello", set()),
        ("code-value-date", "d$2020-05-05", {"date"}),
        ("code-value-date", "d$ge2020-05", {"date", "period"}),
        ("code-value-date", "d$sa2020-05-03", {"date"}),
        ("code-value-quantity:missing", "false", {"systolic"}),
        ("component-code-value-quantity:missing", "false", {"pressure"}),
        ("combo-code-value-quantity:missing", "false", {"pressure", "systolic"}),
        ("component-code-value-concept:missing", "false", {"concept"}),
        ("code-value-string:missing", "false", {"text"}),
        ("code-value-date:missing", "true", {o["id"] for o in OBSERVATIONS} - {"date", "period"}),
    ],
)  # fmt: skip
def test_parts_belong_to_the_same_element(world: World, name: str, value: str, wanted: set[str]) -> None:
    world.put(*OBSERVATIONS)
    agree(world, "Observation", name, value, wanted)


def test_contexts_of_use(world: World) -> None:
    kind = {"system": "http://terminology.hl7.org/CodeSystem/usage-context-type", "code": "age"}
    world.put(
        {"resourceType": "Questionnaire", "id": "adults", "status": "draft", "useContext": [
            {"code": kind, "valueRange": {"low": {"value": 18, "system": UCUM, "code": "a"}}},
            {"code": {"code": "focus"}, "valueCodeableConcept": concept("asthma", "urn:c")}]},
        {"resourceType": "ValueSet", "id": "babies", "status": "draft", "useContext": [
            {"code": kind, "valueQuantity": {"value": 6, "system": UCUM, "code": "mo"}}]},
    )  # fmt: skip
    agree(world, "Questionnaire", "context-type-quantity", "age$gt40", {"adults"})
    agree(world, "Questionnaire", "context-type-quantity", f"age$gt300|{UCUM}|mo", {"adults"})
    agree(world, "Questionnaire", "context-type-quantity", "focus$gt40", set())
    agree(world, "Questionnaire", "context-type-value", "focus$urn:c|asthma", {"adults"})
    agree(world, "Questionnaire", "context-type-value", "age$asthma", set())
    agree(world, "ValueSet", "context-type-quantity", f"age$0.5|{UCUM}|a", {"babies"})


def test_other_composites_of_the_specification(world: World) -> None:
    world.put(
        {"resourceType": "DocumentReference", "id": "new", "status": "current", "relatesTo": [
            {"code": "replaces", "target": {"reference": "DocumentReference/old"}},
            {"code": "appends", "target": {"reference": "DocumentReference/other"}}]},
        {"resourceType": "Group", "id": "g", "characteristic": [
            {"code": concept("smoker"), "valueBoolean": False}, {"code": concept("sex"), "valueCodeableConcept": concept("m")}]},
        {"resourceType": "MolecularSequence", "id": "m",
         "referenceSeq": {"chromosome": concept("17"), "referenceSeqId": concept("NC_1"), "windowStart": 50, "windowEnd": 90},
         "variant": [{"start": 10, "end": 12}, {"start": 100, "end": 130}, {"start": 5}]},
    )  # fmt: skip
    relation = "http://hl7.org/fhir/document-relationship-type"
    agree(world, "DocumentReference", "relationship", "replaces$DocumentReference/old", {"new"})
    agree(world, "DocumentReference", "relationship", f"{relation}|appends$other", {"new"})
    agree(world, "DocumentReference", "relationship", "replaces$DocumentReference/other", set())
    agree(world, "Group", "characteristic-value", "smoker$false", {"g"})
    agree(world, "Group", "characteristic-value", "sex$m", {"g"})
    agree(world, "Group", "characteristic-value", "smoker$m", set())
    agree(world, "Group", "characteristic-value", f"{LOINC}|$false", {"g"})
    agree(world, "Group", "characteristic-value", "smoker$http://terminology.hl7.org/CodeSystem/special-values|", {"g"})
    agree(world, "Group", "characteristic-value", "sex$http://terminology.hl7.org/CodeSystem/special-values|", set())
    agree(world, "DocumentReference", "relationship", f"{relation}|$other", {"new"})
    agree(world, "DocumentReference", "relationship", "urn:x|$other", set())
    for name, code in (("chromosome", "17"), ("referenceseqid", "NC_1")):
        agree(world, "MolecularSequence", f"{name}-variant-coordinate", f"{code}$100$130", {"m"})
        agree(world, "MolecularSequence", f"{name}-variant-coordinate", f"{code}$ge10$lt20", {"m"})
        agree(world, "MolecularSequence", f"{name}-variant-coordinate", f"{code}$lt20$gt100", set())
        agree(world, "MolecularSequence", f"{name}-variant-coordinate", "18$100$130", set())
        agree(world, "MolecularSequence", f"{name}-window-coordinate", f"{code}$50$le90", {"m"})
        agree(world, "MolecularSequence", f"{name}-window-coordinate", f"{code}$51$90", set())
        agree(world, "MolecularSequence", f"{name}-variant-coordinate:missing", "false", {"m"})


def test_every_composite_of_the_specification_can_be_used() -> None:
    found = [p for t in resource_types() for p in standard().of(t).values() if p.type == "composite"]
    assert len(found) == 72
    for parameter in found:
        branches = (parameter.definition.expression or "").split("|")
        own = [b for b in branches if b.strip().partition(".")[0] == parameter.resource_type]
        assert len(contexts(parameter, standard())) == len(own), (parameter.resource_type, parameter.code)


def test_what_regular_parameters_index_makes_no_entries() -> None:
    known = contexts(standard().of("Observation")["code-value-quantity"], standard())
    assert [type(context) for context in known] == [Together]
    entries = index("Observation", observation("x", code=concept("a"), valueQuantity=millimetres(1)), 1)
    assert len(entries.numbers) == 2  # value-quantity and combo-value-quantity
    shared = index("Observation", OBSERVATIONS[0], 1)
    # Two components under component- and combo-value-quantity, and as pairs by code, system|code and system|, for both.
    assert len(shared.numbers) == 10


@pytest.mark.parametrize("value", ["a", "a$", "$5", "a$5$6", "a$five", r"a\$5"])
def test_bad_values_are_named(world: World, value: str) -> None:
    with pytest.raises(InvalidSearch) as refused:
        world.page("Observation", ("combo-code-value-quantity", value))
    assert value in refused.value.issues[0].diagnostics
