"""Whatever comes in, issues come out: mutated examples, arbitrary JSON, depth, length; and structure is what the decoder says."""

import copy
import os
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.decode import check, decode, encode, parse
from conformance.issues import InvalidResource, Issue
from conformance.validation import Validator
from tests.conformance.corpus import official_examples
from tests.conformance.validation.definitions import TEST, profile, us_core_examples, us_core_validator

Json = dict[str, Any]

MUTATIONS = int(os.environ.get("PRAXIS_MUTATIONS", "1500"))
LARGEST = 12_000
JUNK: list[Any] = [
    None, True, False, 0, -1, Decimal("3.5"), "", "x", "#", "#a", "a:b", [], {}, [[]], [None], [{}], {"a": 1}, "2020-13",
    10**400, [1, 2], {"coding": [1]}, {"coding": "x"}, {"reference": 5}, {"reference": "#"}, {"url": 5}, "Patient/1",
    {"extension": [{"url": "http://test.example/x"}]}, {"resourceType": "Patient"}, {"resourceType": []},
]  # fmt: skip
KEYS = ("extension", "modifierExtension", "id", "contained", "value", "text", "resourceType", "meta", "nonsense")


def slots(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return (container, key or index) of everything in a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, content in list(pairs):
        found.append((value, key))
        slots(content, found)
    return found


def mutate(resource: Json, chance: random.Random) -> Json:
    changed = copy.deepcopy(resource)
    places = slots(changed, [])
    for _ in range(chance.choice((1, 1, 2, 5))):
        container, key = chance.choice(places)
        other, where = chance.choice(places)
        try:
            match chance.randrange(4):
                case 0:
                    container[key] = copy.deepcopy(chance.choice(JUNK))
                case 1:
                    del container[key]
                case 2:
                    container[key] = copy.deepcopy(other[where])
                case 3 if isinstance(container, dict):
                    container[chance.choice((*KEYS, f"_{key}"))] = copy.deepcopy(chance.choice(JUNK))
        except (KeyError, IndexError):
            pass  # an earlier change took the place away
    return changed


@pytest.fixture(scope="module")
def corpus() -> list[Json]:
    examples = [parse(body) for body in official_examples().values() if len(body) < LARGEST]
    return [*examples, *(r for r in us_core_examples().values() if len(encode(r)) < LARGEST)]


def structural(resource: Any) -> list[Issue]:
    try:
        check(resource)
    except InvalidResource as refused:
        return refused.issues
    return []


def test_mutated_examples_give_issues_and_agree_with_the_decoder(corpus: list[Json]) -> None:
    chance = random.Random(4)
    found = us_core_validator()
    for _ in range(MUTATIONS):
        resource = mutate(chance.choice(corpus), chance)
        issues = found.validate(resource)
        expected = structural(resource)
        assert all(isinstance(issue, Issue) for issue in issues)
        assert issues[: len(set(expected))] == list(dict.fromkeys(expected))
        if not expected:
            assert decode(encode(resource), resource["resourceType"])


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(json_values, st.sampled_from(("Patient", "Bundle", "Observation", "Questionnaire", "StructureDefinition")))
def test_any_json_gives_issues(value: Any, resource_type: str) -> None:
    found = us_core_validator()
    assert isinstance(found.validate(value), list)
    inside = (
        value if isinstance(value, dict) else {"extension": value, "contained": value, "entry": value, "item": value}
    )
    assert isinstance(found.validate({**inside, "resourceType": resource_type}), list)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_text_gives_issues(text: bytes) -> None:
    assert us_core_validator().validate_text(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"resourceType":"Patient","extension":' + b'[{"url":"http://test.example/x","extension":' * 20_000,
        b'{"resourceType":"Patient","extension":'
        + b'[{"url":"http://test.example/x","extension":' * 200
        + b"[]"
        + b"}]" * 200
        + b"}",
        b"<Patient xmlns='http://hl7.org/fhir'>" + b"<extension url='http://test.example/x'>" * 20_000,
    ],
)
def test_deep_nesting_is_refused(text: bytes) -> None:
    issues = us_core_validator().validate_text(text)
    assert [i.severity for i in issues if i.severity in ("error", "fatal")]


def test_deep_objects_that_never_were_text_are_refused() -> None:
    inner: Json = {"url": "http://test.example/x", "valueCode": "x"}
    for _ in range(5_000):
        inner = {"url": "http://test.example/x", "extension": [inner]}
    issues = us_core_validator().validate({"resourceType": "Patient", "extension": [inner]})
    assert any("nested" in issue.diagnostics for issue in issues)


def test_long_arrays_are_walked_once() -> None:
    telecom = [{"system": "phone", "value": str(i)} for i in range(20_000)]
    issues = us_core_validator().validate({"resourceType": "Patient", "telecom": telecom})
    assert [i.severity for i in issues] == ["warning"]  # no narrative (dom-6)


def test_regular_expressions_of_profiles_are_bounded() -> None:
    """A constraint whose expression would take exponential time ends, as an issue or as an answer."""
    hostile = {"key": "t-1", "severity": "error", "human": "x", "expression": "family.matches('^(a+)+$')"}
    element = {"id": "Patient.name", "path": "Patient.name", "constraint": [hostile]}
    found = Validator(lambda _t, canonical: profile("Patient", element) if canonical == TEST + "test" else None)
    resource = {"resourceType": "Patient", "name": [{"family": "a" * 40 + "!"}]}
    issues = found.validate(resource, profiles=[TEST + "test"])
    assert [i.expression for i in issues if "(t-1)" in i.diagnostics] == ["Patient.name[0]"]
