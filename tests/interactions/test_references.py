"""References inside a transaction follow the entries they point to."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.interactions.references import is_conditional, references_of, replacer, rewrite

URN = "urn:uuid:3bdbcd3e-0000-4000-8000-000000000001"
BASE = "http://elsewhere.example/fhir"
ADDRESSES = {URN: "Patient/p", f"{BASE}/Patient/1": "Patient/q", "Patient?identifier=1": "Patient/r"}


@pytest.mark.parametrize(
    ("full_url", "reference", "expected"),
    [
        (None, URN, "Patient/p"),
        (None, f"{URN}#part", "Patient/p#part"),
        (None, f"{BASE}/Patient/1", "Patient/q"),
        (None, "Patient/1", None),
        (f"{BASE}/Observation/9", "Patient/1", "Patient/q"),
        (f"{BASE}/Observation/9", "Patient/1#x", "Patient/q#x"),
        ("http://other.example/Observation/9", "Patient/1", None),
        (URN, "Patient/1", None),
        (None, "Patient?identifier=1", "Patient/r"),
        (None, "#part", None),
        (None, "#", None),
        (None, "", None),
        (None, "urn:uuid:unknown#x", None),
    ],
)
def test_what_a_reference_becomes(full_url: str | None, reference: str, expected: str | None) -> None:
    assert replacer(ADDRESSES, full_url)(reference) == expected


def rewritten(value: Any) -> Any:
    """Return a copy with references replaced."""
    out = copy.deepcopy(value)
    rewrite(out, replacer(ADDRESSES, None))
    return out


def test_links_of_every_kind_are_replaced_and_text_is_not() -> None:
    before = {
        "subject": {"reference": URN, "display": URN},
        "contained": [{"basedOn": [{"reference": URN}]}],
        "extension": [
            {"url": "http://x", "valueReference": {"reference": URN}},
            {"url": "http://x", "valueCanonical": URN},
        ],
        "instantiatesUri": [URN, "http://other", None],
        "attachment": {"url": URN},
        "identifier": [{"value": URN}],
        "note": [{"text": URN}],
        "text": {"div": f"<div><a href='{URN}'>{URN}</a><img src=\"{URN}\"/></div>"},
    }
    after = rewritten(before)
    assert after == {
        "subject": {"reference": "Patient/p", "display": URN},
        "contained": [{"basedOn": [{"reference": "Patient/p"}]}],
        "extension": [
            {"url": "http://x", "valueReference": {"reference": "Patient/p"}},
            {"url": "http://x", "valueCanonical": "Patient/p"},
        ],
        "instantiatesUri": ["Patient/p", "http://other", None],
        "attachment": {"url": "Patient/p"},
        "identifier": [{"value": URN}],
        "note": [{"text": URN}],
        "text": {"div": f"<div><a href='Patient/p'>{URN}</a><img src=\"Patient/p\"/></div>"},
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(URN),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["reference", "subject", "valueUri", "div", "text", "profile"]), inner, max_size=4
        )
    ),
    max_leaves=30,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["subject", "reference", "extension"]), JSON))
def test_afterwards_no_reference_points_to_a_full_url(value: dict[str, Any]) -> None:
    after = rewritten(value)
    assert URN not in list(references_of(after))
    assert [r for r in references_of(value) if r != URN] == [r for r in references_of(after) if r != "Patient/p"]
    # Nothing else changes: undoing the replacement gives what was there.
    assert json.loads(json.dumps(after).replace("Patient/p", URN)) == value


def test_conditional_references() -> None:
    assert is_conditional("Patient?identifier=1")
    assert not any(map(is_conditional, ("Patient/1", "Nonsense?x=1", "?x=1", "http://x/Patient?x=1", "Patient")))
