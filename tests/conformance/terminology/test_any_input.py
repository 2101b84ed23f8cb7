"""Whatever is asked, in whatever combination, gets an answer or a precise refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.terminology import parameters
from conformance.terminology.engine import Terminology
from conformance.terminology.errors import TerminologyError
from conformance.terminology.source import Resources
from tests.conformance.terminology.animals import ANIMALS, CODE_SYSTEM, SETS, Json, chosen, value_set
from tests.conformance.terminology.test_translate import FROM, MAP, MAPS

ENGINE = Terminology(Resources((CODE_SYSTEM, *MAPS, value_set("pets", chosen("pet", "=", "true")))))
OPERATIONS: list[tuple[Callable[[Json], tuple[Any, list[str]]], Callable[[Any], Json]]] = [
    (parameters.read_expand, ENGINE.expand),
    (parameters.read_validate_code, ENGINE.validate_code),
    (parameters.read_validate_code_in_system, ENGINE.validate_code_in_system),
    (parameters.read_lookup, ENGINE.lookup),
    (parameters.read_subsumes, ENGINE.subsumes),
    (parameters.read_translate, ENGINE.translate),
    (parameters.read_find_matches, ENGINE.find_matches),
]
_TEXTS = st.sampled_from(
    [
        "", "|", "a|b|c", "#", "#x", ANIMALS, f"{ANIMALS}|1.0.0", f"{ANIMALS}|1.x", f"{SETS}/pets", "dog", "DOG", "mammal", "*",
        "de", "de;q=x,en", "(", "1.x", "urn:oid:1", "http://unitsofmeasure.org", "mg", "is-a", "concept", "parent", "code",
        "regex", "=", "exists", "true", "legs", "4", MAP, FROM, "a",
    ]
)  # fmt: skip


def _any_of(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=parts)


_CODING = _any_of(system=_TEXTS, code=_TEXTS, version=_TEXTS, display=_TEXTS)
_PARTS = st.lists(
    _any_of(
        system=_TEXTS,
        version=_TEXTS,
        valueSet=st.lists(_TEXTS, max_size=2),
        concept=st.lists(_CODING, max_size=2),
        filter=st.lists(_any_of(property=_TEXTS, op=_TEXTS, value=_TEXTS), max_size=2),
    ),
    max_size=2,
)
_VALUE_SET = _any_of(
    url=_TEXTS,
    language=_TEXTS,
    compose=_any_of(include=_PARTS, exclude=_PARTS, inactive=st.booleans()),
    expansion=_any_of(total=st.integers(0, 3), contains=st.lists(_CODING, max_size=2)),
)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "valueString": _TEXTS,
    "valueInteger": st.integers(-2, 9),
    "valueBoolean": st.booleans(),
    "valueCoding": _CODING,
    "valueCodeableConcept": _any_of(coding=st.lists(_CODING, max_size=2)),
    "resource": _VALUE_SET,
}
_NAMES = {
    "valueString": (
        "url", "code", "system", "systemVersion", "version", "display", "displayLanguage", "filter", "property", "useSupplement",
        "system-version", "force-system-version", "check-system-version", "exclude-system", "designation", "codeA", "codeB",
        "source", "target", "targetsystem", "valueSetVersion",
    ),
    "valueInteger": ("offset", "count"),
    "valueBoolean": (
        "activeOnly", "excludeNested", "abstract", "inferSystem", "lenient-display-validation", "valueset-membership-only",
        "exact", "reverse", "includeDesignations", "includeDefinition", "excludeNotForUI",
    ),
    "valueCoding": ("coding", "codingA", "codingB"),
    "valueCodeableConcept": ("codeableConcept",),
    "resource": ("valueSet",),
}  # fmt: skip
_FITTING = st.sampled_from([(name, element) for element, names in _NAMES.items() for name in names])
_ODD = st.tuples(_FITTING.map(lambda pair: pair[0]), st.sampled_from(sorted(_VALUES)))
_PROPERTY = st.builds(
    lambda code, value: {
        "name": "property",
        "part": [{"name": "code", "valueCode": code}, {"name": "value", "valueCode": value}],
    },
    _TEXTS,
    _TEXTS,
)
_PARAMETER = st.one_of(
    *[
        pair.flatmap(lambda p: _VALUES[p[1]].map(lambda value: {"name": p[0], p[1]: value}))
        for pair in (_FITTING, _FITTING, _FITTING, _ODD)
    ],
    _PROPERTY,
)


_DOG = {"system": ANIMALS, "code": "dog"}
_GOOD: list[list[Json]] = [
    [],
    [{"name": "coding", "valueCoding": _DOG}],
    [{"name": "coding", "valueCoding": _DOG}],
    [{"name": "coding", "valueCoding": _DOG}],
    [{"name": "codingA", "valueCoding": _DOG}, {"name": "codingB", "valueCoding": {"system": ANIMALS, "code": "cat"}}],
    [{"name": "url", "valueUri": MAP}, {"name": "coding", "valueCoding": {"system": FROM, "code": "a"}}],
    [{"name": "system", "valueUri": ANIMALS}],
]
"""What makes sense for each of the operations, save for a value set."""


@pytest.mark.parametrize("number", range(len(OPERATIONS)), ids=lambda n: str(OPERATIONS[n][0].__name__))
@settings(max_examples=300, deadline=None)
@given(others=st.lists(_PARAMETER, max_size=4), value_set=_VALUE_SET, sense=st.booleans())
def test_an_answer_or_a_refusal(number: int, others: list[Json], value_set: Json, sense: bool) -> None:
    read, operate = OPERATIONS[number]
    start = [*_GOOD[number], *([{"name": "valueSet", "resource": value_set}] if number <= 1 else [])]
    asking = [*(start if sense else ()), *others]
    try:
        asked, unknown = read({"parameter": asking})
        answer = operate(asked)
    except TerminologyError as error:
        # Nothing here is the server's fault.
        refused = error
    else:
        assert set(unknown) <= {parameter["name"] for parameter in asking}
        assert answer["resourceType"] in ("Parameters", "ValueSet")
        return
    assert 400 <= refused.status < 500
    assert refused.outcome["issue"][0]["details"]["text"]
