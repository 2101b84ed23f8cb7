"""The fast models and the thorough walk agree: on examples with random damage, one accepts what the other accepts."""

import copy
import json
from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.decode import decode, encode
from conformance.issues import InvalidResource
from conformance.shape import property_names
from conformance.walk import walk
from tests.conformance.corpus import official_examples

LARGEST = 6000
ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 10**30, 10**400,
    Decimal("1.0"), Decimal("1e-7"), Decimal("1E-309"), Decimal("1E+309"), Decimal("0E-400"),
    "", " ", "a", " a", "a b", "a  b", "final", "active", "x\u0000y", "x\fy", "x\ty", "\u00a0", "a\u00a0b",
    "http://example.org/a", "2023-02-29", "2024-02-29", "2023", "2023-13", "2023-01-01T10:00:00Z",
    "2023-01-01T10:00:00", "24:00:00", "10:00:00", "urn:oid:1.2.3", "YWJj", "YWI=", "YWJ", "E-999",
    "a\\b", "{}", "[]", "\u0661",
    [], {}, [None], [{}], ["a", None], {"id": "a"}, {"id": ""}, {"id": 1}, {"extension": []},
    {"extension": [{"url": "http://example.org/e", "valueCode": "c"}]}, {"extension": [{"url": "http://example.org/e"}]},
    {"extension": [{"url": "e", "valueCode": "c", "_valueCode": {"id": "x"}, "valueString": "s"}]},
    {"extension": [{"url": "e", "_valueCode": {"extension": [{"url": "f", "valueUri": "s"}]}}]},
    {"extension": [{"id": "i", "url": "e"}]}, {"extension": [{"id": "i", "url": "e", "valueString": "s"}]},
    {"extension": [{"url": "e", "valueString": "s", "extension": [{"url": "f", "valueUri": "s"}]}]},
    [{"extension": [{"url": "http://example.org/e", "valueCode": "c"}]}, None], {"resourceType": "Patient"},
    {"resourceType": "Patient", "contained": [{"resourceType": "Basic", "code": {"text": "c"}}]},
    {"resourceType": "Nope"},
    [{"resourceType": "Observation", "status": "final", "code": {"text": "t"}}], {"coding": [{"code": "a"}]},
]  # fmt: skip


ODD_TEXTS = [
    b"", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\xff", b"null", b"1e999", b"\\ud800", b"\\u003a", b"NaN",
    b'"a":1,',
]  # fmt: skip


@cache
def small_examples() -> list[dict[str, Any]]:
    """Return the examples that are quick to damage and to check, parsed."""
    bodies = official_examples().values()
    return [json.loads(body, parse_float=Decimal) for body in bodies if len(body) <= LARGEST]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every value inside."""
    out: list[tuple[Any, Any]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        out.append((value, key))
        out += places(item)
    return out


def damage(data: st.DataObject, resource: dict[str, Any]) -> None:
    """Change one place of the resource."""
    # The type itself is left alone: without it there is nothing more to compare.
    spots = [spot for spot in places(resource) if spot[1] != "resourceType"]
    if not spots:
        return
    container, key = data.draw(st.sampled_from(spots))
    kind = data.draw(st.sampled_from(["delete", "replace", "wrap", "add", "sibling", "move", "pad"]))
    value = container[key]
    if kind == "delete":
        del container[key]
    elif kind == "replace":
        container[key] = copy.deepcopy(data.draw(st.sampled_from(ODD_VALUES)))
    elif kind == "wrap":
        container[key] = value[0] if isinstance(value, list) and value else [value]
    elif kind == "pad" and isinstance(value, list):
        value.insert(data.draw(st.integers(0, len(value))), copy.deepcopy(data.draw(st.sampled_from(ODD_VALUES))))
    elif isinstance(container, dict):
        if kind == "sibling":
            container["_" + str(key)] = copy.deepcopy(data.draw(st.sampled_from(ODD_VALUES)))
        elif kind == "add":
            owner = resource["resourceType"] if container is resource else "Extension"
            names = sorted(property_names(owner))
            container[data.draw(st.sampled_from(names))] = copy.deepcopy(data.draw(st.sampled_from(ODD_VALUES)))
        elif kind == "move":
            other, name = data.draw(st.sampled_from(places(resource)))
            container[key] = copy.deepcopy(other[name])


def assert_verdicts_agree(body: bytes) -> None:
    """Assert that what decode accepts has no issue, and that what it refuses has one from the walk."""
    try:
        issues, resource = [], decode(body)
    except InvalidResource as e:
        issues, resource = e.issues, None
    # decode says this when the models refuse and the walk finds nothing.
    assert not [i for i in issues if i.diagnostics.startswith("The resource was refused")], body
    assert issues if resource is None else walk(resource) == [], body


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_models_and_walk_agree_on_damaged_examples(data: st.DataObject) -> None:
    resource = copy.deepcopy(data.draw(st.sampled_from(small_examples())))
    for _ in range(data.draw(st.integers(1, 3))):
        damage(data, resource)
    assert_verdicts_agree(encode(resource))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_text_gets_an_outcome_and_never_another_exception(data: st.DataObject) -> None:
    body = bytearray(encode(data.draw(st.sampled_from(small_examples()))))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(body)))
        stop = data.draw(st.integers(start, min(start + 5, len(body))))
        body[start:stop] = data.draw(st.sampled_from(ODD_TEXTS))
    assert_verdicts_agree(bytes(body))
