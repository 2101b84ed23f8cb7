"""From method and path to what is asked for, https://hl7.org/fhir/R4/http.html#summary."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import FhirError, InvalidRequest, NotFound, NotSupported
from fhir_server.interactions.request import ID, MAX_PARAMETERS, Target, parse_query, parse_target


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", "Patient/1", Target("read", "Patient", "1")),
        ("HEAD", "Patient/1", Target("read", "Patient", "1")),
        ("GET", "Patient/1/", Target("read", "Patient", "1")),
        ("GET", "%50atient/%31", Target("read", "Patient", "1")),
        ("GET", "Patient/1/_history", Target("history-instance", "Patient", "1")),
        ("GET", "Patient/1/_history/2", Target("vread", "Patient", "1", 2)),
        ("POST", "Patient", Target("create", "Patient")),
        ("PUT", "Patient/1", Target("update", "Patient", "1")),
        ("PUT", "Patient", Target("update", "Patient")),
        ("PATCH", "Patient/1", Target("patch", "Patient", "1")),
        ("PATCH", "Patient", Target("patch", "Patient")),
        ("GET", "_history", Target("history-system")),
        ("GET", "Patient/_history", Target("history-type", "Patient")),
        ("DELETE", "Patient/1", Target("delete", "Patient", "1")),
        ("DELETE", "Patient", Target("delete", "Patient")),
        ("GET", "Patient", Target("search-type", "Patient")),
        ("POST", "Patient/_search", Target("search-type", "Patient")),
        ("POST", "", Target("transaction")),
        ("POST", "/", Target("transaction")),
        ("GET", "metadata", Target("capabilities")),
        ("GET", "$x", Target("operation", operation="x", safe=True)),
        ("POST", "Patient/$x", Target("operation", "Patient", operation="x")),
        ("POST", "Patient/1/$x", Target("operation", "Patient", "1", operation="x")),
    ],
)
def test_what_is_asked_for(method: str, path: str, target: Target) -> None:
    assert parse_target(method, path.removeprefix("/")) == target


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "Nonsense", NotFound),
        ("GET", "Patient/a_b", NotFound),
        ("GET", "Patient/1/2", NotFound),
        ("GET", "Patient//", NotFound),
        ("GET", "Patient/1/_history/0", NotFound),
        ("PUT", "Patient/a_b", InvalidRequest),
        ("GET", "Patient/%zz", InvalidRequest),
        ("GET", "Patient/%ff", InvalidRequest),
        ("PATCH", "Patient/a_b", NotFound),
        ("PATCH", "Patient/1/_history", NotSupported),
        ("PATCH", "Patient/_history", NotSupported),
        ("PATCH", "Patient/$x", NotSupported),
        ("PATCH", "Patient/1/$x", NotSupported),
        ("PATCH", "$x", NotSupported),
        ("PATCH", "", NotSupported),
        ("POST", "Patient/_history", NotSupported),
        ("POST", "_history", NotSupported),
        ("PUT", "metadata", NotSupported),
        ("PATCH", "Nonsense/1", NotFound),
    ],
)
def test_what_can_not_be_asked_for(method: str, path: str, error: type[FhirError]) -> None:
    with pytest.raises(error):
        parse_target(method, path)


@settings(deadline=None)
@given(st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "X"]), st.text(max_size=60))
def test_any_path_is_understood_or_refused(method: str, path: str) -> None:
    with suppress(InvalidRequest, NotFound, NotSupported):
        target = parse_target(method, path)
        assert target.id is None or ID.fullmatch(target.id)


@settings(deadline=None)
@given(st.from_regex(ID, fullmatch=True))
def test_any_id_is_read_back(id_: str) -> None:
    assert parse_target("GET", f"Basic/{id_}").id == id_


def test_queries_are_decoded() -> None:
    assert parse_query("a=b+c&d=%C3%A9&e=&f&a=%2B") == [("a", "b c"), ("d", "é"), ("e", ""), ("f", ""), ("a", "+")]


@pytest.mark.parametrize("query", ["a=%ff", "a=%00", "%00=a", "a=%", "a=%g0", "&".join(["a=1"] * (MAX_PARAMETERS + 1))])
def test_queries_that_can_not_be_decoded(query: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_query(query)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_query_is_decoded_or_refused(query: str) -> None:
    try:
        pairs = parse_query(query)
    except InvalidRequest:
        return
    assert not any("\x00" in part for pair in pairs for part in pair)
