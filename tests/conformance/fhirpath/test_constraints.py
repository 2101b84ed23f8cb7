"""Constraints compiled for their element: the same answers as the general engine gives, on real and on random elements."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.elements import Constrained, constrained_elements
from conformance.definitions import types
from conformance.fhirpath import ConstraintScope, FHIRPathError, Hooks, compile_constraint
from conformance.fhirpath.constraints import compile_generally
from conformance.fhirpath.model import is_primitive
from conformance.structures import find_structure, type_url
from tests.conformance.corpus import conformance_examples, official_examples
from tests.conformance.fhirpath.random_elements import random_element

LONGEST = 400_000
# R4's expressions fail on valid resources, see constraints.py
MISTAKEN = {"que-7", "tim-9"}


def outcome(check: Any, value: Any, scope: ConstraintScope, extra: Any = None) -> bool | str:
    try:
        return bool(check(value, scope, extra))
    except FHIRPathError as error:
        return str(error)


@cache
def slow(expression: str, context_type: str) -> Any:
    return compile_generally(expression, context_type)


def examples() -> list[Any]:
    found = {**official_examples(), **conformance_examples()}
    return [json.loads(body, parse_float=Decimal) for body in found.values() if len(body) < LONGEST]


def is_comparable(element: Constrained) -> bool:
    # the text of a narrative is no value for FHIRPath, but it is content, which is what ele-1 is about
    return element.key not in MISTAKEN and not (element.key == "ele-1" and element.context_type == "xhtml")


def test_official_examples_get_the_answers_of_the_general_engine() -> None:
    checked, broken = Counter[str](), Counter[str]()
    for resource in examples():
        for element in constrained_elements(resource):
            check = compile_constraint(element.expression, element.context_type)
            found = outcome(check, element.value, element.scope, element.extra)
            checked[element.key] += 1
            broken[element.key] += found is not True
            if is_comparable(element):
                reference = slow(element.expression, element.context_type)
                assert found == outcome(reference, element.value, element.scope, element.extra), element
    assert len(checked) == 177
    # dom-6 asks for a narrative and pdf-0, tst-0 for a name that starts with a capital: warnings. txt-1, txt-2: an empty div
    assert dict(+broken) == {"dom-6": 249, "pdf-0": 6, "txt-1": 4, "txt-2": 4, "tst-0": 1}


@cache
def constraints_of_types() -> tuple[tuple[str, str, str], ...]:
    """Return (key, type, expression) of every constraint that R4 puts on a complex type, backbone element or resource."""
    found: dict[tuple[str, str, str], None] = {}
    for name in types():
        if "." in name or is_primitive(name):
            continue
        structure = find_structure(type_url(name)) or {}
        for element in structure.get("snapshot", {}).get("element", []):
            for constraint in element.get("constraint", ()):
                path = element["path"]
                child = path if path in types() else _type_of(element)
                if child in types() and not is_primitive(child) and not types()[child].abstract:
                    found[constraint["key"], child, constraint["expression"]] = None
    return tuple(found)


def _type_of(element: dict[str, Any]) -> str:
    return str(element.get("type", [{}])[0].get("code", ""))


def test_every_constraint_of_r4_is_compiled() -> None:
    assert len({(key, expression) for key, _, expression in constraints_of_types()}) == 230
    for _, type_name, expression in constraints_of_types():
        compile_constraint(expression, type_name)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_random_elements_get_the_answers_of_the_general_engine(seed: int) -> None:
    for number, (key, type_name, expression) in enumerate(constraints_of_types()):
        if key in MISTAKEN or (key in {"ele-1", "dom-6"} and number % 20):
            continue
        value = random_element(type_name, expression, seed + number)
        resource = value if "resourceType" in value else {"resourceType": type_name.partition(".")[0]}
        scope = ConstraintScope(resource, resource)
        expected = outcome(slow(expression, type_name), value, scope)
        found = outcome(compile_constraint(expression, type_name), value, scope)
        assert found == expected, (key, type_name, value)


DOM_3 = next(expression for key, _, expression in constraints_of_types() if key == "dom-3")
PART = {"resourceType": "Practitioner", "id": "p"}


@pytest.mark.parametrize(
    ("content", "met"),
    [
        ({}, True),
        ({"contained": [PART]}, False),
        ({"contained": [PART], "generalPractitioner": [{"reference": "#p"}]}, True),
        ({"contained": [PART], "generalPractitioner": [{"reference": "#q"}]}, False),
        ({"contained": [PART], "gender": "#p"}, False),
        ({"contained": [PART], "language": "#p"}, False),
        ({"contained": [PART], "implicitRules": "#p"}, True),
        ({"contained": [PART], "meta": {"profile": ["#p"]}}, True),
        ({"contained": [PART], "extension": [{"url": "http://x", "valueUrl": "#p"}]}, True),
        ({"contained": [PART], "extension": [{"url": "http://x", "valueString": "#p"}]}, False),
        ({"contained": [PART], "extension": [{"url": "#p", "valueBoolean": True}]}, False),
        ({"contained": [{"resourceType": "Practitioner"}]}, True),
        ({"contained": [{"resourceType": "Account", "id": "a", "subject": [{"reference": "#"}]}]}, True),
        (
            {"contained": [{"resourceType": "Basic", "id": "a", "meta": {"profile": ["#"]}, "code": {"text": "#"}}]},
            True,
        ),
        ({"contained": [{"resourceType": "Basic", "id": "a", "code": {"text": "#"}}]}, False),
        ({"contained": [{**PART, "_id": {"extension": [{"url": "http://x"}]}}]}, False),
    ],
)
def test_contained_resources_that_nothing_refers_to_break_dom_3(content: dict[str, Any], met: bool) -> None:
    patient = {"resourceType": "Patient", **content}
    scope = ConstraintScope(patient, patient)
    assert compile_constraint(DOM_3, "Patient")(patient, scope) is met
    assert slow(DOM_3, "Patient")(patient, scope) is met


TIM_9 = next(expression for key, _, expression in constraints_of_types() if key == "tim-9")


def check(expression: str, type_name: str, value: Any, extra: Any = None) -> bool:
    resource = {"resourceType": "Patient", "id": "1"}
    return compile_constraint(expression, type_name)(value, ConstraintScope(resource, resource), extra)


@pytest.mark.parametrize(
    ("expression", "type_name", "value", "met"),
    [
        ("name.exists() or telecom.exists()", "Patient.contact", {"gender": "male"}, False),
        ("name.exists() or telecom.exists()", "Patient.contact", {"name": {"text": "x"}}, True),
        ("start <= end", "Period", {"start": "2020-01-02", "end": "2020-01-01"}, False),
        ("start <= end", "Period", {"start": "2020-01-01T00:00:00+02:00", "end": "2019-12-31T22:00:00Z"}, True),
        ("start <= end", "Period", {"start": "2020", "end": "2020-01-01"}, False),
        ("start <= end", "Period", {"start": "2020"}, True),
        ("low <= high", "Range", {"low": {"value": 3, "unit": "a"}, "high": {"value": 2, "unit": "a"}}, False),
        ("low <= high", "Range", {"low": {"value": 3, "unit": "a"}, "high": {"value": 2, "unit": "b"}}, False),
        ("value.matches('^a')", "Coding", {"code": "b"}, True),
        ("code.matches('^a')", "Coding", {"code": "b"}, False),
        ("code", "Coding", {"code": "b"}, True),
        ("$this.code = 'b'", "Coding", {"code": "c"}, False),
        ("$this = 'x'", "string", "x", True),
        ("%resource.id = '2'", "Coding", {"code": "b"}, False),
        ("%context.code = 'b'", "Coding", {"code": "c"}, False),
        ("value is Quantity", "Extension", {"url": "x", "valueAge": {"value": 1}}, True),
        ("value is Quantity", "Extension", {"url": "x", "valueString": "y"}, False),
        ("value as string = 'y'", "Extension", {"url": "x", "valueString": "y"}, True),
        ("extension('http://a').exists()", "Coding", {"extension": [{"url": "http://b"}]}, False),
        (TIM_9, "Timing.repeat", {"offset": 5, "when": ["HS", "ACM"]}, True),
        (TIM_9, "Timing.repeat", {"offset": 5, "when": ["HS", "CM"]}, False),
        (TIM_9, "Timing.repeat", {"offset": 5}, False),
        ("operator = 'exists' implies (answer is Boolean)", "Questionnaire.item.enableWhen",
         {"operator": "exists", "answerBoolean": True}, True),
    ],
)  # fmt: skip
def test_a_constraint_is_broken_when_its_expression_is_false(
    expression: str, type_name: str, value: Any, met: bool
) -> None:
    assert check(expression, type_name, value) is met


ELE_1 = "hasValue() or (children().count() > id.count())"


def test_an_element_needs_a_value_or_children() -> None:
    assert check(ELE_1, "string", "x")
    assert check(ELE_1, "string", None, {"extension": [{"url": "http://x", "valueString": "y"}]})
    assert not check(ELE_1, "string", None, {"id": "x"})
    assert check(ELE_1, "Coding", {"code": "x"})
    assert not check(ELE_1, "Coding", {"id": "x"})
    assert not check(ELE_1, "Coding", {})
    assert not check(ELE_1, "Coding", {"id": "x", "code": None, "extension": []})
    assert check(ELE_1, "xhtml", "<div/>")


def test_a_contained_resource_sees_itself_and_its_container() -> None:
    inner: dict[str, Any] = {"resourceType": "Organization", "id": "o", "name": "Inner"}
    outer: dict[str, Any] = {"resourceType": "Patient", "id": "p", "contained": [inner]}
    scope = ConstraintScope(inner, outer)
    assert compile_constraint("%resource.name = 'Inner' and %rootResource.id = 'p'", "Organization")(inner, scope)
    assert compile_constraint("%rootResource.contained.id = 'o'", "Reference")({"reference": "#o"}, scope)


def test_hooks_and_variables_reach_a_constraint() -> None:
    traced: list[tuple[str, list[Any]]] = []
    resource = {"resourceType": "Patient", "gender": "male"}
    hooks = Hooks(member_of=lambda value, url: (value, url) == ("male", "http://v"), trace=lambda *t: traced.append(t))
    scope = ConstraintScope(resource, resource, hooks=hooks, environment={"wanted": "male"})
    assert compile_constraint("gender.memberOf('http://v')", "Patient")(resource, scope)
    assert not compile_constraint("gender.memberOf('http://w')", "Patient")(resource, scope)
    assert compile_constraint("gender = %wanted", "Patient")(resource, scope)
    assert compile_constraint("gender.trace('g').exists()", "Patient")(resource, scope)
    assert traced == [("g", ["male"])]


def test_malformed_elements_are_left_to_the_general_engine() -> None:
    for value in ("text", 5, ["x"], {"system": ["a", "b"]}, {"system": {"x": 1}}):
        found = outcome(
            compile_constraint("system.exists() and code.exists()", "Coding"), value, ConstraintScope({}, {})
        )
        assert found == outcome(slow("system.exists() and code.exists()", "Coding"), value, ConstraintScope({}, {}))


@pytest.mark.parametrize("expression", ["nothing()", "name is Nonsense", "name.where(", ""])
def test_what_does_not_exist_is_refused_when_compiled(expression: str) -> None:
    with pytest.raises(FHIRPathError):
        compile_constraint(expression, "Patient")
