"""Writing an answer in the format the client asked for, and reading XML, https://hl7.org/fhir/R4/http.html#mime-type.

Everything inside the server is JSON. So JSON passes as it is, and the other formats are made and read here, at the edge.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import lru_cache
from xml.sax.saxutils import escape

import msgspec

from conformance.decode import encode
from conformance.issues import Issue
from conformance.xml import NotInXml, from_xml, to_xml
from fhir_server.errors import InvalidRequest, NotSupported
from fhir_server.interactions.failures import outcome
from fhir_server.rest.negotiation import Format

CONTENT_TYPES: dict[Format, bytes] = {
    "json": b"application/fhir+json; charset=utf-8",
    "xml": b"application/fhir+xml; charset=utf-8",
    "ndjson": b"application/fhir+ndjson; charset=utf-8",
}
# Beyond this many bytes, converting takes so long that other requests should not wait for it.
MAX_INLINE = 200_000

# Stands for the server's URL in a CapabilityStatement that is kept.
_ANYWHERE = "urn:praxis:base"

_PLAIN = msgspec.json.Decoder(float_hook=Decimal)


class _Link(msgspec.Struct):
    relation: str
    url: str


class _Request(msgspec.Struct):
    method: str
    url: str


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw()
    request: _Request | None = None


class _Bundle(msgspec.Struct, tag_field="resourceType", tag="Bundle"):
    link: list[_Link] = []
    entry: list[_Entry] = []


_BUNDLE = msgspec.json.Decoder(_Bundle)


async def read_xml(body: bytes) -> bytes:
    """Return the JSON of a resource in XML. Raises InvalidResource with all issues."""
    if len(body) > MAX_INLINE:
        return await asyncio.to_thread(_xml_to_json, body)
    return _xml_to_json(body)


def _xml_to_json(body: bytes) -> bytes:
    try:
        return encode(from_xml(body))
    except RecursionError as error:
        raise InvalidRequest("The resource is nested too deeply.", code="structure") from error


async def write_xml(body: bytes, *, pretty: bool) -> bytes:
    """Return the XML of a resource in JSON. Raises NotSupported (406) for what XML can't carry."""
    try:
        if len(body) > MAX_INLINE:
            return await asyncio.to_thread(_json_to_xml, body, pretty)
        return _json_to_xml(body, pretty)
    except NotInXml as error:
        raise NotSupported(f"{error}; ask for JSON.", status=406) from error


def _json_to_xml(body: bytes, pretty: bool) -> bytes:
    return to_xml(_PLAIN.decode(body), pretty=pretty)


async def write_capabilities(body: bytes, base_url: str, *, pretty: bool) -> bytes:
    """Return the XML of the CapabilityStatement as seen at ``base_url``.

    It is large, and anybody may ask for it under any host name. So it is converted once, without the URL.
    """
    told = b'"url":' + encode(base_url)
    anywhere = body.replace(told, b'"url":' + encode(_ANYWHERE), 1)
    converted = await asyncio.to_thread(_capabilities_to_xml, anywhere, pretty)
    return converted.replace(_ANYWHERE.encode(), escape(base_url, {'"': "&quot;"}).encode(), 1)


@lru_cache(maxsize=4)
def _capabilities_to_xml(body: bytes, pretty: bool) -> bytes:
    return _json_to_xml(body, pretty)


def write_lines(body: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """Return a Bundle's resources as NDJSON, and its links as (relation, URL).

    A deletion, which a history tells by an entry without a resource, is told by an OperationOutcome in its place.
    Raises NotSupported (406) for anything but a Bundle.
    """
    try:
        bundle = _BUNDLE.decode(body)
    except msgspec.ValidationError as error:
        raise NotSupported("Only a Bundle can be written as NDJSON; ask for json or xml.", status=406) from error
    lines = [line for entry in bundle.entry if (line := _line(entry)) is not None]
    return b"".join(line + b"\n" for line in lines), [(link.relation, link.url) for link in bundle.link]


def _line(entry: _Entry) -> bytes | None:
    content = bytes(entry.resource)
    if content:
        return msgspec.json.format(content, indent=-1) if b"\n" in content else content
    if entry.request is None:
        return None
    told = f"{entry.request.method} {entry.request.url}"
    return encode(outcome([Issue("information", "deleted", told)]))
