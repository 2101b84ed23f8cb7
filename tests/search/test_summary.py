"""Parts of resources, https://hl7.org/fhir/R4/search.html#summary: what is kept, and how that is told."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from conformance.decode import decode
from conformance.definitions import types
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.summary import View, make_view, parse_elements, view_of
from tests.conformance.corpus import official_examples
from tests.conformance.test_examples import REFUSED
from tests.search.world import World

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
OBSERVATION = b"""{"resourceType": "Observation", "id": "o", "meta": {"versionId": "3", "tag": [{"code": "mine"}]},
 "text": {"status": "generated", "div": "<div xmlns=\\"http://www.w3.org/1999/xhtml\\">x</div>"},
 "contained": [{"resourceType": "Patient", "id": "p"}],
 "status": "final", "_status": {"extension": [{"url": "http://x", "valueCode": "y"}]}, "code": {"text": "c"},
 "valueQuantity": {"value": 1.50, "unit": "kg", "extension": [{"url": "http://x", "valueDecimal": 2.00}]},
 "note": [{"text": "long"}], "modifierExtension": [{"url": "http://m", "valueBoolean": true}],
 "component": [{"code": {"text": "d"}, "valueQuantity": {"value": 0.10}, "interpretation": [{"text": "n"}]}],
 "subject": {"reference": "Patient/1", "identifier": {"value": "1", "assigner": {"display": "A"}}}}"""


def shown(view: View, content: bytes = OBSERVATION, **options: Any) -> dict[str, Any]:
    resource: dict[str, Any] = json.loads(view.show("Observation", content, **options), parse_float=Decimal)
    if SUBSETTED in resource["meta"].get("tag", ()):
        decode(view.show("Observation", content, **options), "Observation")
    return resource


def test_a_summary_holds_the_marked_elements_at_every_level() -> None:
    found = shown(View("true"))
    assert found["meta"] == {"versionId": "3", "tag": [{"code": "mine"}, SUBSETTED]}
    assert {"text", "contained", "note"}.isdisjoint(found)
    assert found["valueQuantity"] == {"value": Decimal("1.50"), "unit": "kg"}
    assert found["subject"] == {"reference": "Patient/1", "identifier": {"value": "1", "assigner": {"display": "A"}}}
    assert found["component"] == [{"code": {"text": "d"}, "valueQuantity": {"value": Decimal("0.10")}}]
    assert found["modifierExtension"] == [{"url": "http://m", "valueBoolean": True}]
    assert found["_status"]["extension"][0]["valueCode"] == "y"
    assert b"1.50" in View("true").show("Observation", OBSERVATION)


def test_text_and_data() -> None:
    text = shown(View("text"))
    assert set(text) == {"resourceType", "id", "meta", "text", "status", "_status", "code"}
    data = shown(View("data"))
    assert set(data) == set(json.loads(OBSERVATION)) - {"text"}
    assert data["meta"]["tag"][-1] == SUBSETTED
    assert b'"value": 1.50' in View("data").show("Observation", OBSERVATION)


def test_elements_are_beside_what_is_mandatory_or_modifies() -> None:
    always = {"resourceType", "id", "meta", "status", "_status", "code", "modifierExtension"}
    assert set(shown(View(elements=parse_elements("subject")))) == always | {"subject"}
    for named in ("value", "value[x]", "Observation.value"):
        assert set(shown(View(elements=parse_elements(named)))) == always | {"valueQuantity"}
    assert shown(View(elements=parse_elements("note")))["meta"]["tag"][-1] == SUBSETTED
    # What is included shows what was named with its type.
    assert shown(View(elements=parse_elements("note")), included=True) == shown(View())
    assert set(shown(View(elements=parse_elements("id,Observation.note")), included=True)) == always | {"note"}


def test_a_resource_without_meta_is_marked_too() -> None:
    resource = json.loads(View("true").show("Basic", b'{"resourceType":"Basic","id":"b","code":{"text":"c"}}'))
    assert resource == {"resourceType": "Basic", "id": "b", "code": {"text": "c"}, "meta": {"tag": [SUBSETTED]}}


def test_resources_inside_a_bundle_are_summarised_by_their_own_type() -> None:
    patient = b'{"resourceType":"Patient","gender":"male","maritalStatus":{"text":"M"}}'
    bundle = b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":%b}]}' % patient
    (entry,) = json.loads(View("true").show("Bundle", bundle))["entry"]
    assert entry["resource"] == {"resourceType": "Patient", "gender": "male"}


@pytest.mark.parametrize(
    "query", [[("_summary", "count")], [("_summary", "x")], [("_summary", "true"), ("_elements", "id")]]
)
def test_what_cannot_be_shown_is_refused(query: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidSearch, match=query[0][0] if len(query) == 1 else "_elements"):
        view_of(query)


def test_a_whole_view_changes_nothing() -> None:
    for query in ([], [("_summary", "false")], [("_summary", "")], [("_elements", "")], [("_format", "json")]):
        view = view_of(query)
        assert view.whole
        assert view.show("Observation", OBSERVATION) is OBSERVATION
    assert make_view(None, frozenset()).whole


def test_a_search_says_what_it_shows(world: World) -> None:
    world.put({"resourceType": "Patient", "id": "p", "gender": "male"})
    page = world.page("Patient", ("_elements", "gender"), ("_elements", "Patient.name,birthDate"))
    assert page.view.elements == {(None, "gender"), ("Patient", "name"), (None, "birthDate")}
    assert page.issues == []
    assert world.page("Patient", ("_summary", "text")).view == View("text")
    for parameters in ([("_elements", "gender"), ("_summary", "true")], [("_summary", "maybe")]):
        with pytest.raises(InvalidSearch):
            world.page("Patient", *parameters)
    page = world.page("Patient", ("_elements", "gender"), ("_summary", "count"))
    assert (page.total, page.matches) == (1, [])


def test_summaries_of_the_official_examples_are_valid() -> None:
    """Nothing mandatory is lost, at any level, and nothing that isn't marked is kept at the top."""
    seen = 0
    for name, content in official_examples().items():
        if name in REFUSED:
            continue
        resource_type = json.loads(content)["resourceType"]
        for view in (View("true"), View("text"), View("data"), View(elements=parse_elements("id"))):
            decode(view.show(resource_type, content), resource_type)
        elements = types()[resource_type].elements.values()
        marked = {name for e in elements if e.summary or e.min or e.modifier for name, _ in e.json_names}
        kept = json.loads(View("true").show(resource_type, content))
        assert {name.removeprefix("_") for name in kept} <= marked | {"resourceType", "id", "meta"}
        seen += 1
    assert seen == 713
