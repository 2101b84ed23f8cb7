"""Query pairs become criteria and nothing gets lost on the way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.errors import InvalidSearch
from fhir_server.search.parse import parse, split, unescape
from fhir_server.search.query import Forward, Reverse

VALID = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


def escaped(text: str) -> str:
    return re.sub(r"([,|$\\])", r"\\\1", text)


@given(st.lists(VALID.filter(bool), min_size=1), st.sampled_from(",|$"))
def test_splitting_undoes_joining(parts: list[str], separator: str) -> None:
    joined = separator.join(escaped(part) for part in parts)
    assert [unescape(part) for part in split(joined, separator)] == parts


@given(st.lists(VALID.filter(bool), min_size=1))
def test_alternatives_survive_escaping(values: list[str]) -> None:
    (criterion,) = parse([("code", ",".join(escaped(value) for value in values))])
    assert [unescape(value) for value in criterion.values] == values


@given(VALID, VALID)
def test_anything_valid_parses(name: str, value: str) -> None:
    criteria = parse([(name, value)])
    assert len(criteria) == (value != "")
    assert all((c.name, c.value) == (name, value) for c in criteria)


@pytest.mark.parametrize("bad", ["\x00", "a\x00b", "\ud800", "x\udfff"])
def test_text_that_no_fhir_string_can_hold_is_refused(bad: str) -> None:
    for pair in ((bad, "x"), ("name", bad)):
        with pytest.raises(InvalidSearch, match="character that no FHIR string may have"):
            parse([pair])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("code", (Forward("code"),)),
        ("name:exact", (Forward("name", "exact"),)),
        ("subject:Patient.name:exact", (Forward("subject", "Patient"), Forward("name", "exact"))),
        ("a.b.c", (Forward("a"), Forward("b"), Forward("c"))),
        ("_has:Observation:patient:code", (Reverse("Observation", "patient"), Forward("code"))),
        (
            "_has:Observation:patient:_has:AuditEvent:entity:agent:missing",
            (Reverse("Observation", "patient"), Reverse("AuditEvent", "entity"), Forward("agent", "missing")),
        ),
        ("subject._has:Group:member:_id", (Forward("subject"), Reverse("Group", "member"), Forward("_id"))),
    ],
)
def test_names_become_paths(name: str, path: tuple[Forward | Reverse, ...]) -> None:
    assert parse([(name, "x")])[0].path == path
