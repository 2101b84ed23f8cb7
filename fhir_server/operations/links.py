"""Entries and links of the searchsets that operations answer with, https://hl7.org/fhir/R4/bundle.html#searchset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from fhir_server.operations.contract import Invocation
from fhir_server.search.reference import local
from fhir_server.search.searchset import Match

# Inside a string a quote is preceded by a backslash, so this meets only properties.
_REFERENCE = re.compile(rb'"reference"\s*:\s*"([^"\\]+)"')


ID_TEXT = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def instant_text(when: datetime) -> str:
    """Return a FHIR instant with milliseconds, https://hl7.org/fhir/R4/datatypes.html#instant."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def entry(base_url: str, match: Match, mode: str, **search: Any) -> dict[str, Any]:
    """Return the entry of a stored resource; ``search`` holds further elements of Bundle.entry.search."""
    return {
        "fullUrl": f"{base_url}/{match.resource_type}/{match.id}",
        "resource": msgspec.Raw(match.content),
        "search": {"mode": mode, **search},
    }


def write_entries(base_url: str, found: Iterable[tuple[Match, str]]) -> Iterator[msgspec.Raw]:
    """Yield the entries of stored resources and their search modes as JSON: a page has many, and all of them look the same."""
    start = b'{"fullUrl":' + msgspec.json.encode(f"{base_url}/")[:-1]
    for match, mode in found:
        address = f"{match.resource_type}/{match.id}".encode()
        yield msgspec.Raw(
            b'%b%b","resource":%b,"search":{"mode":"%b"}}' % (start, address, match.content, mode.encode())
        )


def url_of(base_url: str, invocation: Invocation, code: str, query: Sequence[tuple[str, str]]) -> str:
    """Return the URL that calls the operation again by GET with these parameters."""
    path = "/".join(part for part in (base_url, invocation.resource_type, invocation.id, f"${code}") if part)
    return f"{path}?{urlencode(query)}" if query else path


def references_in(content: bytes, base_url: str) -> Iterator[tuple[str, str]]:
    """Yield (type, id) of every distinct reference in resources' JSON to this server, without parsing it."""
    own = f"{base_url}/"
    for target in dict.fromkeys(_REFERENCE.findall(content)):
        relative = local(target.decode().removeprefix(own))
        if relative is not None:
            resource_type, _, id_ = relative.partition("/")
            yield resource_type, id_
