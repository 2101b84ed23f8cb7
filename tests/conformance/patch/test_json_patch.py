"""JSON Patch beyond the official cases, https://www.rfc-editor.org/rfc/rfc6902."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest

from conformance.patch import InapplicablePatch, MalformedPatch, apply_patch

MEDIA_TYPE = "application/json-patch+json"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "name": [{"family": "Okafor", "given": ["Ada", "B"]}],
    "multipleBirthInteger": 1,
    "active": True,
    "extension": [{"url": "u", "valueDecimal": Decimal("1.10")}],
}


def patched(*operations: dict[str, Any], resource: dict[str, Any] = PATIENT) -> dict[str, Any]:
    before = copy.deepcopy(resource)
    try:
        return apply_patch(resource, json.dumps(operations).encode(), MEDIA_TYPE + "; charset=utf-8")
    finally:
        assert resource == before


def test_decimals_keep_their_digits() -> None:
    body = (
        b'[{"op":"add","path":"/extension/-","value":{"url":"v","valueDecimal":2.50}},'
        b'{"op":"test","path":"/extension/0/valueDecimal","value":1.1}]'
    )
    after = apply_patch(PATIENT, body, MEDIA_TYPE)
    assert [str(e["valueDecimal"]) for e in after["extension"]] == ["1.10", "2.50"]


def test_copies_and_values_are_not_shared() -> None:
    after = patched(
        {"op": "copy", "from": "/name/0", "path": "/name/1"},
        {"op": "replace", "path": "/name/1/given/0", "value": "Eve"},
        {"op": "move", "from": "/name/0/given/1", "path": "/name/0/given/0"},
    )
    assert [name["given"] for name in after["name"]] == [["B", "Ada"], ["Eve", "B"]]


@pytest.mark.parametrize(
    ("operation", "place"),
    [
        ({"op": "remove", "path": "/gender"}, "Patient"),
        ({"op": "remove", "path": "/name/1"}, "Patient.name"),
        ({"op": "replace", "path": "/name/0/given/2", "value": "x"}, "Patient.name[0].given"),
        ({"op": "replace", "path": "/name/-", "value": {}}, "Patient.name"),
        ({"op": "add", "path": "/name/2", "value": {}}, "Patient.name"),
        ({"op": "add", "path": "/name/00", "value": {}}, "Patient.name"),
        ({"op": "add", "path": "/name/-1", "value": {}}, "Patient.name"),
        ({"op": "add", "path": "/name/1e0", "value": {}}, "Patient.name"),
        ({"op": "add", "path": "/name/" + "9" * 5000, "value": {}}, "Patient.name"),
        ({"op": "add", "path": "/active/x", "value": 1}, "Patient.active"),
        ({"op": "move", "from": "/name", "path": "/name/0"}, "Patient.name"),
        ({"op": "move", "from": "/nope", "path": "/nope"}, "Patient"),
        ({"op": "copy", "from": "/nope", "path": "/name"}, "Patient"),
        ({"op": "test", "path": "/active", "value": 1}, "Patient.active"),
        ({"op": "test", "path": "/multipleBirthInteger", "value": True}, "Patient.multipleBirthInteger"),
        ({"op": "test", "path": "/name/0/given", "value": ["Ada"]}, "Patient.name[0].given"),
        ({"op": "test", "path": "/name/0", "value": {"family": "Okafor"}}, "Patient.name[0]"),
        ({"op": "test", "path": "/nope", "value": None}, "Patient"),
        ({"op": "remove", "path": ""}, None),
        ({"op": "replace", "path": "", "value": 1}, None),
    ],
)
def test_what_does_not_fit_the_resource(operation: dict[str, Any], place: str | None) -> None:
    with pytest.raises(InapplicablePatch) as refused:
        patched(operation)
    assert [issue.expression for issue in refused.value.issues] == [place]


def test_tests_compare_by_value() -> None:
    patched(
        {"op": "test", "path": "/multipleBirthInteger", "value": 1.0},
        {"op": "test", "path": "/name/0", "value": {"given": ["Ada", "B"], "family": "Okafor"}},
        {"op": "test", "path": "", "value": {**PATIENT, "extension": [{"url": "u", "valueDecimal": 1.1}]}},
    )


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"{}", b"null", b"[1]", b"[[]]", b'[{}]', b'[{"op":"nope","path":""}]', b'[{"op":1,"path":""}]',
        b'[{"op":"add","path":"/a"}]', b'[{"op":"add","value":1}]', b'[{"op":"add","path":"a","value":1}]',
        b'[{"op":"add","path":"/~2","value":1}]', b'[{"op":"add","path":1,"value":1}]', b'[{"op":"move","path":"/a"}]',
        b'[{"op":"copy","path":"/a","from":"b"}]', b'[{"op":"test","path":"/a"}]',
        b'[{"op":"add","op":"remove","path":"/a","value":1}]', b'[{"op":"add","path":"/a","value":{"b":1,"b":2}}]',
        b"[" * 100_000, b'[{"op":"add","path":"/a","value":' + b"[" * 900 + b"]" * 900 + b"}]",
        b'[{"op":"test","path":"","value":NaN}]', b"[" + b'{"op":"test","path":"","value":1},' * 10_000 + b"1]",
    ],
)  # fmt: skip
def test_what_is_no_patch(body: bytes) -> None:
    with pytest.raises(MalformedPatch) as refused:
        apply_patch(PATIENT, body, MEDIA_TYPE)
    assert refused.value.issues


def test_all_faults_of_a_patch_are_told_at_once() -> None:
    with pytest.raises(MalformedPatch) as refused:
        apply_patch(PATIENT, b'[{"op":"add"},{"op":"remove","path":"/active"},{"op":"nope"}]', MEDIA_TYPE)
    assert [issue.diagnostics.split(":")[0] for issue in refused.value.issues] == ["Operation 0 (add)"] * 2 + [
        "Operation 2"
    ]


def test_copies_of_copies_are_bounded() -> None:
    doubling = [{"op": "copy", "from": "/name", "path": "/name/-"}] * 200
    with pytest.raises(InapplicablePatch, match="copies more than"):
        patched(*doubling)


def test_unknown_media_types_are_refused() -> None:
    with pytest.raises(MalformedPatch, match="no format of patches"):
        apply_patch(PATIENT, b"[]", "application/json")
