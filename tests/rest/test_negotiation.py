"""Formats and preferences, https://hl7.org/fhir/R4/http.html#mime-type, and unpacking of bodies."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.decode import check
from conformance.issues import InvalidResource, Issue
from conformance.patch import InapplicablePatch, MalformedPatch
from fhir_server.errors import InvalidRequest, NotSupported, TooLarge
from fhir_server.interactions.failures import Refusals, as_fhir_error, outcome
from fhir_server.rest.body import ClientLeft, read_body
from fhir_server.rest.negotiation import (
    Preferences,
    accepts_gzip,
    check_content_type,
    check_patch_type,
    choose_format,
    parse_prefer,
)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_header_is_understood_or_refused(text: str) -> None:
    for understand in (
        check_content_type,
        check_patch_type,
        parse_prefer,
        accepts_gzip,
        lambda t: choose_format([], t),
        lambda t: choose_format([("_format", t)], ""),
    ):
        with suppress(InvalidRequest, NotSupported):
            understand(text)


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        ("", "json"), (" , ", "json"), ("*/*", "json"), ("APPLICATION/JSON", "json"), ("application/json;q=0.001", "json"),
        ("text/xml, application/*;q=0.1", "xml"), ("text/*", "json"), ("text/*, text/json;q=0", "xml"), ("*/*;q=0, text/xml", "xml"),
        ("application/fhir+json;q=0.5, application/fhir+xml;q=0.6", "xml"),
        ("application/fhir+json;q=0.6, application/fhir+xml;q=.6", "xml"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"), ("application/xml, application/json", "json"),
        ("application/xml;q=0.4, text/xml;q=0.6, application/json;q=0.5", "xml"), ("application/json;q=2, text/xml", "json"),
    ],
)  # fmt: skip
def test_the_format_with_the_best_quality_is_chosen(accept: str, format_: str) -> None:
    assert choose_format([], accept) == format_


@pytest.mark.parametrize(
    "accept",
    [
        "text/turtle", "application/json;q=0.0", "application/json; q=0", "application/json;fhirVersion=1", "json", "xml",
        "application/fhir+ndjson", "application/fhir+xml;q=0, application/fhir+ndjson",
    ],
)  # fmt: skip
def test_nothing_is_acceptable(accept: str) -> None:
    with pytest.raises(NotSupported) as refused:
        choose_format([], accept)
    assert refused.value.status == 406


def test_ndjson_is_written_only_for_who_names_it() -> None:
    assert choose_format([], "application/fhir+ndjson", lines=True) == "ndjson"
    assert choose_format([], "application/fhir+ndjson, application/json;q=0.1", lines=True) == "ndjson"
    assert choose_format([], "application/fhir+ndjson, application/json;q=0.1") == "json"
    assert choose_format([], "*/*", lines=True) == "json"
    assert choose_format([("_format", "application/fhir ndjson")], "text/xml", lines=True) == "ndjson"


def test_format_goes_before_accept() -> None:
    assert choose_format([("name", "x"), ("_format", "application/fhir xml")], "application/json") == "xml"
    assert choose_format([("_format", "xml"), ("_format", "json")], "") == "json"
    assert choose_format([("name", "x")], "text/xml") == "xml"
    for unknown in ("", "html", "ndjson"):
        with pytest.raises(NotSupported):
            choose_format([("_format", unknown)], "*/*")


def test_formats_of_bodies() -> None:
    assert check_content_type("application/fhir+xml; charset=UTF-8") == "xml"
    assert check_content_type("application/json") == "json"
    for header in (
        "application/fhir+ndjson",
        "text/plain",
        "",
        "text/xml; charset=latin1",
        "text/xml; fhirVersion=3.0",
    ):
        with pytest.raises(NotSupported) as refused:
            check_content_type(header)
        assert refused.value.status == 415
    for header in ("application/json", "application/fhir+ndjson", ""):
        with pytest.raises(NotSupported):
            check_patch_type(header)


def test_preferences() -> None:
    assert parse_prefer("") == Preferences()
    assert parse_prefer("return=minimal, handling=strict") == Preferences("minimal", True, True)
    assert parse_prefer('RETURN="OperationOutcome"; respond-async') == Preferences(
        "OperationOutcome", True, False, later=True
    )
    with pytest.raises(InvalidRequest):
        parse_prefer("return=everything")


def test_gzip_is_used_when_wanted() -> None:
    assert all(map(accepts_gzip, ("gzip", "br, gzip;q=0.5", "x-gzip")))
    assert not any(map(accepts_gzip, ("", "identity", "gzip;q=0", "gzip; q=0.000", "gzipped")))


def read(parts: list[bytes], limit: int, **headers: str) -> bytes:
    """Read a body that arrives in parts; the client leaves where the last part is missing."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": p, "more_body": True} for p in parts[:-1]]
    messages.append({"type": "http.request", "body": parts[-1]} if parts[-1] else {"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return asyncio.run(read_body(receive, {k.replace("_", "-"): v for k, v in headers.items()}, limit))


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=200), st.integers(1, 5), st.integers(1, 150))
def test_a_body_arrives_whole_or_is_too_large(body: bytes, pieces: int, limit: int) -> None:
    size = -(-len(body) // pieces)
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    packed = gzip.compress(body)
    for given_parts, headers in ((parts, {}), ([packed], {"content_encoding": "gzip"})):
        if len(body) > limit:
            with pytest.raises(TooLarge):
                read(given_parts, limit, **headers)
        elif sum(map(len, given_parts)) <= limit:
            assert read(given_parts, limit, **headers) == body


def test_long_bodies_are_announced() -> None:
    parts = [b"x" * 1_000_000] * 17
    assert len(read(parts, 20_000_000, content_length="17000000")) == 17_000_000
    assert len(read(parts[:16], 20_000_000)) == 16_000_000
    with pytest.raises(TooLarge, match="Content-Length"):
        read(parts, 20_000_000)


def test_bodies_that_can_not_be_read() -> None:
    with pytest.raises(ClientLeft):
        read([b"x", b""], 10)
    with pytest.raises(TooLarge):
        read([b"x"], 10, content_length="11")
    with pytest.raises(NotSupported):
        read([b"x"], 10, content_encoding="br")
    bomb = gzip.compress(b"\x00" * 5_000_000)
    with pytest.raises(TooLarge):
        read([bomb], len(bomb), content_encoding="gzip")
    for broken in (gzip.compress(b"x")[:-1], gzip.compress(b"x") + b"y", b"y"):
        with pytest.raises(InvalidRequest):
            read([broken], 100, content_encoding="gzip")


@settings(deadline=None)
@given(st.text(max_size=30), st.none() | st.text(min_size=1, max_size=30))
def test_an_outcome_is_valid_whatever_the_request_said(diagnostics: str, expression: str | None) -> None:
    check(outcome([Issue("error", "invalid", diagnostics, expression)]))


def test_statuses_of_refused_content() -> None:
    semantic, structural = Issue("error", "code-invalid", "x"), Issue("error", "structure", "x")
    assert as_fhir_error(InvalidResource([semantic])).status == 422
    assert as_fhir_error(InvalidResource([semantic, structural])).status == 400
    # A patch that is none is the request's fault, one that doesn't fit the resource's, whatever the issues are.
    assert as_fhir_error(MalformedPatch([semantic])).status == 400
    assert as_fhir_error(InapplicablePatch([structural])).status == 422
    defect = as_fhir_error(ValueError("secret"))
    assert defect.status == 500
    assert "secret" not in str(outcome(defect.issues))


def test_refusals_are_gathered_and_told_at_once() -> None:
    refusals = Refusals()
    for number, inner in enumerate((None, "Patient.name[0]", "Bundle.entry[7].fullUrl")):
        with refusals.at(f"Bundle.entry[{number}]"):
            raise InvalidRequest("no", expression=inner)
    with pytest.raises(InvalidRequest) as told:
        refusals.settle()
    places = [i.expression for i in told.value.issues]
    assert places == ["Bundle.entry[0]", "Bundle.entry[1].resource.name[0]", "Bundle.entry[7].fullUrl"]
