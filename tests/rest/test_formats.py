"""Writing answers as XML and NDJSON, https://hl7.org/fhir/R4/http.html#mime-type."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from conformance.decode import decode, encode
from conformance.issues import InvalidResource
from conformance.xml import from_xml, to_xml
from fhir_server.errors import NotSupported
from fhir_server.rest.formats import MAX_INLINE, read_xml, write_capabilities, write_lines, write_xml
from fhir_server.rest.respond import Response, write_as


def patient(names: int) -> dict[str, Any]:
    return {"resourceType": "Patient", "name": [{"family": f"Family {n}"} for n in range(names)]}


@pytest.mark.parametrize("names", [1, MAX_INLINE // 20])
def test_small_and_large_resources_are_converted_alike(names: int) -> None:
    resource = patient(names)
    document = asyncio.run(write_xml(encode(resource), pretty=False))
    assert document == to_xml(resource)
    assert decode(asyncio.run(read_xml(document))) == resource
    with pytest.raises(InvalidResource):
        asyncio.run(read_xml(document.replace(b"family", b"nope")))


def test_lines_are_the_entries_resources() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "history",
        "link": [{"relation": "self", "url": "http://x/a?b=c"}, {"relation": "next", "url": "http://x/d"}],
        "entry": [
            {"resource": patient(1)},
            {"request": {"method": "DELETE", "url": "Patient/1"}, "response": {"status": "204"}},
            {"fullUrl": "http://x/y"},
        ],
    }
    body, links = write_lines(encode(bundle))
    stored, deleted = map(json.loads, body.splitlines())
    assert stored == patient(1)
    assert deleted["issue"] == [{"severity": "information", "code": "deleted", "diagnostics": "DELETE Patient/1"}]
    assert links == [("self", "http://x/a?b=c"), ("next", "http://x/d")]
    # A resource that was stored with line breaks still takes one line.
    assert write_lines(json.dumps(bundle, indent=1).encode())[0] == body
    response = Response(200, [], encode(bundle))
    asyncio.run(write_as(response, "ndjson", pretty=True))
    assert (response.body, response.format) == (body, "ndjson")
    assert response.headers == [(b"link", b'<http://x/a?b=c>; rel="self", <http://x/d>; rel="next"')]


def test_only_bundles_have_lines() -> None:
    with pytest.raises(NotSupported):
        write_lines(encode(patient(1)))


@pytest.mark.parametrize("character", ["\ufffe", "\uffff"])
def test_what_xml_can_not_carry_is_not_acceptable(character: str) -> None:
    with pytest.raises(NotSupported, match="ask for JSON") as refused:
        asyncio.run(write_xml(encode({"resourceType": "Patient", "name": [{"text": character}]}), pretty=False))
    assert refused.value.status == 406


def test_pretty_is_layout_only() -> None:
    for format_, first in (("json", b"{\n  "), ("xml", b'<?xml version="1.0" encoding="UTF-8"?>\n<Patient')):
        response = Response(200, [], encode(patient(2)))
        asyncio.run(write_as(response, format_, pretty=True))  # type: ignore[arg-type]
        assert response.body.startswith(first)
        assert (from_xml(response.body) if format_ == "xml" else decode(response.body)) == patient(2)


@pytest.mark.parametrize("base_url", ["http://a/fhir", 'http://"&<>/fhir', "https://x.example/"])
def test_the_capability_statement_is_that_of_the_url_asked(base_url: str) -> None:
    statement = {
        "resourceType": "CapabilityStatement",
        "implementation": {"description": "d", "url": base_url},
        "url": "urn:x",
        "rest": [{"mode": "server", "documentation": base_url}],
    }
    for pretty in (False, True):
        document = asyncio.run(write_capabilities(encode(statement), base_url, pretty=pretty))
        assert document == to_xml(statement, pretty=pretty)
