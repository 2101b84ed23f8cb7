"""Bytes in, checked resource out, and back: what decode, check and encode promise beyond single rules."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.decode import check, decode, encode
from conformance.issues import InvalidResource, Issue
from conformance.shape import MAX_DEPTH

OBSERVATION = b'{"resourceType":"Observation","status":"final","code":{"text":"t"},"valueQuantity":{"value":%s}}'


def observation(value: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "t"}, "valueQuantity": {"value": value}}


def issues_of(body: bytes, resource_type: str | None = None) -> list[Issue]:
    with pytest.raises(InvalidResource) as refused:
        decode(body, resource_type)
    return refused.value.issues


def nested_extensions(levels: int) -> bytes:
    """Return a Patient with extensions inside each other; each level is an array and an object."""
    body = '{"url":"u","valueInteger":1}'
    for _ in range(levels - 1):
        body = f'{{"url":"u","extension":[{body}]}}'
    return f'{{"resourceType":"Patient","extension":[{body}]}}'.encode()


LONG = "3.14159265358979323846264338327950288"


@pytest.mark.parametrize("digits", ["1.10", "0.00", "-0.0", "1E+2", "1E-7", "0.000001", "1.0E+100", LONG])
def test_decimals_keep_their_digits_through_a_round_trip(digits: str) -> None:
    body = OBSERVATION % digits.encode()
    resource = decode(body)
    assert str(resource["valueQuantity"]["value"]) == digits
    assert encode(resource) == body


@pytest.mark.parametrize(
    ("digits", "written"), [("1e-7", "1E-7"), ("1E2", "1E+2"), ("1.50e3", "1.50E+3"), ("100e-2", "1.00")]
)
def test_decimals_in_other_notation_keep_value_and_precision(digits: str, written: str) -> None:
    encoded = encode(decode(OBSERVATION % digits.encode()))
    assert encoded == OBSERVATION % written.encode()
    assert Decimal(digits).as_tuple() == Decimal(written).as_tuple()


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_any_decimal_survives(number: Decimal) -> None:
    decoded = decode(encode(observation(number)))["valueQuantity"]["value"]
    assert Decimal(decoded).as_tuple() == number.as_tuple() or (decoded == number and isinstance(decoded, int))


ENORMOUS = ["1e309", "-1e309", "1e99999999999999999999", "9" * 400, "9" * 9000]
TINY = ["1e-309", "0e-400", "0e999", "1e-99999999999999999999"]


@pytest.mark.parametrize("digits", ENORMOUS + TINY)
def test_numbers_beyond_the_supported_range_are_refused_and_never_an_exception(digits: str) -> None:
    (issue,) = issues_of(OBSERVATION % digits.encode())
    assert (issue.code, issue.expression) == ("value", "Observation.value.value")


def test_numbers_are_int_or_decimal_and_order_is_kept() -> None:
    resource = decode(b'{"valueInteger":7,"status":"final","code":{"text":"t"},"resourceType":"Observation"}')
    assert list(resource) == ["valueInteger", "status", "code", "resourceType"]
    assert type(resource["valueInteger"]) is int
    assert type(decode(OBSERVATION % b"7")["valueQuantity"]["value"]) is int
    assert type(decode(OBSERVATION % b"7.0")["valueQuantity"]["value"]) is Decimal


def test_encode_writes_no_whitespace_and_keeps_unicode() -> None:
    assert encode({"a": [1, Decimal("2.50"), None, True], "b": "é\n"}) == '{"a":[1,2.50,null,true],"b":"é\\n"}'.encode()


@pytest.mark.parametrize(
    ("body", "position"),
    [
        (b"", "line 1, column 1"),
        (b"{", "line 1, column 2"),
        (b'{\n  "resourceType": "Patient",\n  "active" true\n}', "line 3, column 12"),
        (b'{"resourceType":"Patient"} x', "line 1, column 28"),
        (b'{"resourceType":"Patient","active":NaN}', "line 1, column 36"),
        (b'{"resourceType":"Patient",\n"language":"\xff"}', "line 2, column 13"),
        ('{"language":"é","x":}'.encode(), "line 1, column 21"),
        (b'{"resourceType":"Patient","language":"\\ud800"}', "surrogate"),
        (b'\xef\xbb\xbf{"resourceType":"Patient"}', "line 1, column 1"),
        ('{"resourceType":"Patient"}'.encode("utf-16"), "line 1, column 1"),
    ],
)
def test_text_that_is_not_json_is_fatal_with_its_position(body: bytes, position: str) -> None:
    (issue,) = issues_of(body)
    assert (issue.severity, issue.code, issue.expression) == ("fatal", "structure", None)
    assert position in issue.diagnostics


def test_wrong_resource_type_is_an_issue_beside_the_others() -> None:
    assert decode(b'{"resourceType":"Patient"}', "Patient") == {"resourceType": "Patient"}
    (issue,) = issues_of(b'{"resourceType":"Patient"}', "Observation")
    assert (issue.code, issue.expression) == ("invalid", "Patient")
    both = issues_of(b'{"resourceType":"Patient","foo":1}', "Observation")
    assert [(i.code, i.expression) for i in both] == [("invalid", "Patient"), ("structure", "Patient.foo")]


@pytest.mark.parametrize(
    ("body", "expression"),
    [
        (b'{"resourceType":"Patient","active":true,"active":true}', "Patient.active"),
        (b'{"resourceType":"Patient","resourceType":"Patient"}', "Patient.resourceType"),
        (b'{"resourceType":"Patient","name":[{"family":"a"},{"family":"a","family":"b"}]}', "Patient.name[1].family"),
        (b'{"resourceType":"Patient","name":[{"text":"x"}],"name":[{"text":"a:b"}]}', "Patient.name"),
        # An escaped colon must not make up for the one that is dropped.
        (b'{"resourceType":"Patient","active":true,"active":true,"name":[{"text":"a\\u003ab"}]}', "Patient.active"),
        (
            b'{"resourceType":"Patient","active":true,"\\u0061ctive":true,"name":[{"text":"a\\u003Ab"}]}',
            "Patient.active",
        ),
    ],
)
def test_repeated_properties_are_refused(body: bytes, expression: str) -> None:
    assert [(i.code, i.expression) for i in issues_of(body)] == [("structure", expression)]


def test_escapes_and_spaces_do_not_look_like_repeated_properties() -> None:
    body = b'{ "resourceType" : "Patient" , "language" : "a\\u003ab", "name":[{"text":"\\u0000a"}]}'
    assert [i.expression for i in issues_of(body)] == ["Patient.name[0].text"]
    assert decode(body.replace(b"\\u0000", b"\\u003a"))["name"] == [{"text": ":a"}]


def test_nesting_is_bounded() -> None:
    assert decode(nested_extensions(MAX_DEPTH - 1))["resourceType"] == "Patient"
    (issue,) = issues_of(nested_extensions(MAX_DEPTH))
    assert issue.code == "structure"
    assert issue.expression == "Patient" + ".extension[0]" * MAX_DEPTH
    assert [i.code for i in issues_of(nested_extensions(5000))] == ["structure"]


@pytest.mark.parametrize("text", ["}]", '\\"}]', '\\\\\\"}]\\\\', '"}]"'.replace('"', '\\"'), "\\n}]\\n"])
def test_brackets_in_strings_do_not_hide_nesting(text: str) -> None:
    opened = text.replace("}]", "[{")
    level = f'{{"id":"{text}","url":"u","extension":['
    body = level * MAX_DEPTH + '{"url":"u","valueInteger":1}' + "]}" * MAX_DEPTH
    deep = f'{{"resourceType":"Patient","extension":[{body}],"name":[{{"text":"{opened * MAX_DEPTH}"}}]}}'
    assert [i.diagnostics for i in issues_of(deep.encode())] == [
        f"Elements are nested more than {MAX_DEPTH} levels deep"
    ]
    assert decode(f'{{"resourceType":"Patient","name":[{{"given":{["[{" * 200]!r}}}]}}'.replace("'", '"').encode())


DEEP_NAME = b'{"resourceType":"Patient","name":' + b"[" * 3000 + b"]" * 3000 + b"}"


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, DEEP_NAME])
def test_absurd_nesting_is_an_issue(body: bytes) -> None:
    assert all(i.severity in ("error", "fatal") for i in issues_of(body))


def test_check_refuses_what_json_cannot_say() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (object(), loop, Decimal("NaN"), Decimal("Infinity"), float("nan"), "\ud800", 10**5000):
        with pytest.raises(InvalidResource):
            check(observation(value))


def test_a_bundle_of_500_entries_names_the_only_bad_one() -> None:
    entries: list[dict[str, Any]] = [{"resource": {"resourceType": "Patient", "id": str(n)}} for n in range(500)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    assert len(decode(json.dumps(bundle).encode(), "Bundle")["entry"]) == 500
    entries[321]["resource"]["gender"] = "x"
    (issue,) = issues_of(json.dumps(bundle).encode())
    assert (issue.code, issue.expression) == ("code-invalid", "Bundle.entry[321].resource.gender")


def test_megabytes_of_base64_are_checked() -> None:
    data = b"QUJD" * 1_000_000
    body = b'{"resourceType":"Binary","contentType":"a/b","data":"%s"}'
    assert len(decode(body % data)["data"]) == len(data)
    assert [i.expression for i in issues_of(body % (data + b"!"))] == ["Binary.data"]
    assert [i.expression for i in issues_of(body % (b"QUJD " * 200_000 + b"Q"))] == ["Binary.data"]
