"""What value sets hold, list, expand to and validate is the same, however they are composed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.terminology.coding_check import ValidateCodeParameters
from conformance.terminology.engine import Terminology
from conformance.terminology.listing import list_codes
from conformance.terminology.scope import Scope
from conformance.terminology.source import Resources
from conformance.terminology.value_sets import ValueSet
from conformance.terminology.versions import fits, newest, version_key
from tests.conformance.terminology.animals import (
    ALL,
    ANIMALS,
    CODE_SYSTEM,
    SETS,
    Json,
    chosen,
    codes,
    parameter,
    value_set,
)

_FILTERS = st.sampled_from(
    [
        ("concept", "is-a", "mammal"), ("concept", "descendent-of", "bird"), ("concept", "is-not-a", "dog"),
        ("concept", "generalizes", "sphinx"), ("concept", "child-of", "mammal"), ("code", "regex", ".*o.*"),
        ("code", "in", "dog,owl,sphinx"), ("code", "not-in", "dog,owl"), ("legs", "=", "4"), ("pet", "exists", "false"),
    ]
)  # fmt: skip
_NAMED = {
    "pets": value_set("pets", chosen("pet", "=", "true")),
    "tops": value_set("tops", {"system": ANIMALS}, exclude=(chosen("parent", "exists", "true"),)),
}
_PARTS = st.one_of(
    st.just({"system": ANIMALS}),
    st.lists(_FILTERS, min_size=1, max_size=2).map(
        lambda given: {"system": ANIMALS, "filter": [{"property": p, "op": o, "value": v} for p, o, v in given]}
    ),
    st.lists(st.sampled_from([*ALL, "elf"]), min_size=1, unique=True).map(
        lambda listed: {"system": ANIMALS, "concept": [{"code": code} for code in listed]}
    ),
    st.lists(st.sampled_from(sorted(_NAMED)), min_size=1, max_size=2).map(
        lambda names: {"valueSet": [f"{SETS}/{name}" for name in names]}
    ),
    st.builds(
        lambda name, chosen: (
            {"system": ANIMALS, "valueSet": [f"{SETS}/{name}"]}
            | {"filter": [dict(zip(("property", "op", "value"), chosen, strict=True))]}
        ),
        st.sampled_from(sorted(_NAMED)),
        _FILTERS,
    ),
)
_SOURCE = Resources((CODE_SYSTEM, *_NAMED.values()))


@settings(max_examples=150, deadline=None)
@given(st.lists(_PARTS, min_size=1, max_size=3), st.lists(_PARTS, max_size=2), st.sampled_from([None, False, True]))
def test_one_meaning_of_a_value_set(include: list[Json], exclude: list[Json], inactive: bool | None) -> None:
    resource = value_set("x", *include, exclude=tuple(exclude))
    if inactive is not None:
        resource["compose"]["inactive"] = inactive
    engine = Terminology(_SOURCE)
    compiled = ValueSet(resource, Scope(_SOURCE))
    held = {code for code in ALL if compiled.holds(ANIMALS, code)}
    assert {code for _, code in list_codes(compiled)} - {"elf"} == held
    flat = codes(engine, resource, exclude_nested=True)
    assert sorted(flat) == sorted(held)
    assert sorted(codes(engine, resource)) == sorted(held)
    paged = [code for at in range(0, len(ALL), 3) for code in codes(engine, resource, offset=at, count=3)]
    assert paged == flat
    for code in ALL:
        answer = engine.validate_code(ValidateCodeParameters(value_set=resource, code=code, system=ANIMALS))
        assert parameter(answer, "result") is (code in held), code


@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.lists(st.integers(0, 40), min_size=1, max_size=4))
def test_versions_are_ordered_by_their_numbers(one: list[int], other: list[int]) -> None:
    a, b = ".".join(map(str, one)), ".".join(map(str, other))
    assert (version_key(a) < version_key(b)) is (one < other)
    assert newest([a, b]) == (a if one >= other else b)


def test_patterns_of_versions() -> None:
    assert fits("1.x.x", "1.2.0")
    assert fits("1.*", "1.2.0")
    assert fits("1.0.x", "1.0.7")
    assert not fits("1.0.x", "1.1.0")
    assert not fits("1", "1.0.0")
    assert not fits("1.x", "1")
    assert newest(["1.0.0-cibuild", "1.0.0", "0.9"]) == "1.0.0"
    assert newest(["20240101", "20230601"], "2024*") is None
