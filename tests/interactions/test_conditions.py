"""Conditions in headers and queries, https://hl7.org/fhir/R4/http.html#concurrency."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import InvalidRequest, PreconditionFailed
from fhir_server.interactions.conditions import (
    check_preconditions,
    condition_lock,
    is_unchanged,
    parse_condition,
    parse_etags,
)
from fhir_server.interactions.request import Conditions
from fhir_server.store.read import Version


def version(number: int, content: bytes | None = b"{}") -> Version:
    """Return a stored version."""
    return Version("x", number, datetime(2020, 2, 29, 12, 0, 0, 500_000, UTC), "U", content, 1)


@pytest.mark.parametrize(
    ("text", "tags"),
    [('W/"1"', ["1"]), ('"1"', ["1"]), (' W/"1" , "2"', ["1", "2"]), ("3", ["3"]), ('W/""', [""])],
)
def test_entity_tags(text: str, tags: list[str]) -> None:
    assert parse_etags(text) == tags


@pytest.mark.parametrize("text", ["", "W/", '"', '"1" "2"', 'x"1"', '"1",', "a b", '"1"; DROP'])
def test_no_entity_tags(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_etags(text)


@pytest.mark.parametrize(
    ("conditions", "current", "holds"),
    [
        (Conditions(), None, True),
        (Conditions(if_match="*"), version(1), True),
        (Conditions(if_match="*"), None, False),
        (Conditions(if_match="*"), version(2, None), False),
        (Conditions(if_match='W/"1"'), version(1), True),
        (Conditions(if_match='W/"1"'), version(2), False),
        (Conditions(if_match='W/"1"'), None, False),
        (Conditions(if_none_match="*"), None, True),
        (Conditions(if_none_match="*"), version(2, None), True),
        (Conditions(if_none_match="*"), version(1), False),
        (Conditions(if_none_match='W/"1"'), version(1), False),
        (Conditions(if_none_match='W/"1"'), version(2), True),
    ],
)
def test_preconditions_of_writes(conditions: Conditions, current: Version | None, holds: bool) -> None:
    if holds:
        check_preconditions(conditions, current)
    else:
        with pytest.raises(PreconditionFailed):
            check_preconditions(conditions, current)


def test_a_second_is_the_precision_of_if_modified_since() -> None:
    assert is_unchanged(Conditions(if_modified_since="Sat, 29 Feb 2020 12:00:00 GMT"), version(1))
    assert not is_unchanged(Conditions(if_modified_since="Sat, 29 Feb 2020 11:59:59 GMT"), version(1))


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_condition_is_understood_or_refused(text: str) -> None:
    for conditions in (
        Conditions(if_match=text),
        Conditions(if_none_match=text),
        Conditions(if_modified_since=text),
    ):
        for act in (
            lambda c=conditions: check_preconditions(c, version(1)),
            lambda c=conditions: is_unchanged(c, version(1)),
        ):
            with suppress(InvalidRequest, PreconditionFailed):
                act()
    with suppress(InvalidRequest, PreconditionFailed):
        parse_condition(text, "Patient", "It")


def test_conditions_as_text() -> None:
    expected = [("identifier", "a|b")]
    for text in ("identifier=a|b", "?identifier=a%7Cb", "Patient?identifier=a|b", "http://x/Patient?identifier=a|b"):
        assert parse_condition(text, "Patient", "It") == expected
    assert parse_condition("identifier=a?b", "Patient", "It") == [("identifier", "a?b")]
    with pytest.raises(InvalidRequest):
        parse_condition("Observation?identifier=a", "Patient", "It")


def test_equal_conditions_take_the_same_lock() -> None:
    one = condition_lock(1, "Patient", [("a", "1"), ("b", "2")])
    assert one == condition_lock(1, "Patient", [("b", "2"), ("a", "1")])
    assert (
        len({one, condition_lock(2, "Patient", [("a", "1"), ("b", "2")]), condition_lock(1, "Basic", [("a", "1")])})
        == 3
    )
