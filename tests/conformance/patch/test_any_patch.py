"""Whatever a patch says, it is applied or refused with issues, and the resource it is applied to stays as it is."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.decode import check, encode
from conformance.issues import InvalidResource
from conformance.patch import apply_patch
from tests.conformance.patch.test_fhirpath_patch import PATIENT, operation

KEYS = [
    "",
    "name",
    "given",
    "_given",
    "0",
    "1",
    "-",
    "extension",
    "birthDate",
    "_birthDate",
    "contained",
    "text",
    "nope",
    "~",
]
POINTERS = st.lists(st.sampled_from(KEYS), max_size=4).map(lambda keys: "".join("/" + key for key in keys))
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 1, 1.5, "x", [], {}, [None], ["x"], {"extension": []}, {"resourceType": "Basic"}]
)
JSON_OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": POINTERS},
    optional={"from": POINTERS, "value": VALUES},
)

PATHS = st.sampled_from(
    [
        "Patient",
        "Patient.name",
        "Patient.name.given",
        "Patient.name.given[1]",
        "Patient.name[0]",
        "Patient.birthDate",
        "Patient.id",
        "Patient.birthDate.extension",
        "Patient.birthDate.extension[0].value",
        "Patient.deceased",
        "Patient.contained",
        "Patient.contained[0]",
        "Patient.contact.gender",
        "Patient.contact",
        "Patient.identifier.where(value = '1')",
        "Patient.text.div",
        "Patient.name.given.extension",
        "Patient.descendants()",
        "Patient.name.given.extension.url",
        "Patient.contained[0].name",
        "Patient.name.given[1].extension('u')",
    ]
)
GIVEN = st.sampled_from(
    [
        {"valueString": "x"},
        {"valueCode": "male"},
        {"valueInteger": 1},
        {"valueHumanName": {"family": "f"}},
        {"valueDate": "2000"},
        {"part": [{"name": "gender", "valueCode": "male"}]},
        {"part": [{"name": "url", "valueUri": "w"}, {"name": "value", "valueCode": "d"}]},
        {"resource": {"resourceType": "Basic", "code": {"text": "c"}}},
        {"_valueString": {"extension": [{"url": "u", "valueCode": "c"}]}},
    ]
)
NAMES = st.sampled_from(
    [
        "name",
        "given",
        "extension",
        "url",
        "value",
        "gender",
        "deceased",
        "contained",
        "contact",
        "id",
        "birthDate",
        "div",
    ]
)
INDEXES = st.integers(-1, 3)
FHIRPATH_OPERATIONS = st.one_of(
    st.builds(lambda p, n, v: operation("add", p, name=n, value=v), PATHS, NAMES, GIVEN),
    st.builds(lambda p, i, v: operation("insert", p, index=i, value=v), PATHS, INDEXES, GIVEN),
    st.builds(lambda p: operation("delete", p), PATHS),
    st.builds(lambda p, v: operation("replace", p, value=v), PATHS, GIVEN),
    st.builds(lambda p, s, d: operation("move", p, source=s, destination=d), PATHS, INDEXES, INDEXES),
)

STEPS = st.sampled_from(
    [
        "f:Patient",
        "f:name",
        "f:given[2]",
        "*",
        "*[1]",
        "@value",
        "text()",
        "f:extension",
        "@url",
        "h:div",
        "f:contained",
        "f:birthDate",
    ]
)
SELECTORS = st.lists(STEPS, min_size=1, max_size=4).map("/".join)
CONTENTS = st.sampled_from(
    ["", "x", '<gender value="male"/>', '<f:given value="x"/>', "<!-- x -->", "<x/>", "x<name/>"]
)
XML_OPERATIONS = st.builds(
    lambda kind, selector, attribute, content: f'<{kind} sel="{selector}"{attribute}>{content}</{kind}>',
    st.sampled_from(["add", "remove", "replace"]),
    SELECTORS,
    st.sampled_from(
        ["", ' pos="before"', ' pos="after"', ' pos="prepend"', ' type="@id"', ' type="namespace::q"', ' ws="both"']
    ),
    CONTENTS,
)


def assert_applied_or_refused(body: bytes, media_type: str) -> None:
    before = copy.deepcopy(PATIENT)
    with suppress(InvalidResource):
        after: Any = apply_patch(PATIENT, body, media_type)
        assert isinstance(after, dict)
        with suppress(InvalidResource):
            check(after)
    assert before == PATIENT


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(JSON_OPERATIONS, min_size=1, max_size=5))
def test_any_json_patch(operations: list[dict[str, Any]]) -> None:
    assert_applied_or_refused(json.dumps(operations).encode(), "application/json-patch+json")


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(FHIRPATH_OPERATIONS, min_size=1, max_size=4))
def test_any_fhirpath_patch(operations: list[dict[str, Any]]) -> None:
    assert_applied_or_refused(encode({"resourceType": "Parameters", "parameter": operations}), "application/fhir+json")


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(XML_OPERATIONS, min_size=1, max_size=4))
def test_any_xml_patch(operations: list[str]) -> None:
    body = '<diff xmlns="http://hl7.org/fhir" xmlns:f="http://hl7.org/fhir">' + "".join(operations) + "</diff>"
    assert_applied_or_refused(body.encode(), "application/xml-patch+xml")
