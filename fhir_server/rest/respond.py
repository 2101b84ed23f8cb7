"""From an answer to an HTTP response: status, headers, body, compression, https://hl7.org/fhir/R4/http.html#return."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import format_datetime

import msgspec
from starlette.types import Send

from conformance.decode import encode
from conformance.issues import Issue
from fhir_server.errors import FhirError
from fhir_server.interactions.failures import outcome
from fhir_server.interactions.request import Answer
from fhir_server.rest.formats import CONTENT_TYPES, write_capabilities, write_lines, write_xml
from fhir_server.rest.negotiation import Format, Preferences, accepts_gzip

Headers = list[tuple[bytes, bytes]]

VARY = (b"vary", b"accept, accept-encoding")
CHALLENGE = b'Bearer realm="praxis"'
# Below this, compression costs more than it saves.
MIN_GZIP = 1400
WRITES = frozenset(("create", "update", "patch"))


@dataclass(slots=True)
class Response:
    """An HTTP response; the body is JSON until it is written as ``format``, and stays so with a ``media_type`` of its own."""

    status: int
    headers: Headers
    body: bytes = b""
    format: Format = "json"
    media_type: str | None = None


def _described(answer: Answer) -> str:
    verb = "was created" if answer.created else "is stored"
    return f"{answer.resource_type}/{answer.id} version {answer.version} {verb}."


def _deleted(answer: Answer) -> str:
    what = f"{answer.resource_type}/{answer.id}" if answer.id is not None else str(answer.resource_type)
    return f"{what}: {answer.deleted} resource(s) deleted."


def respond(answer: Answer, code: str, preferences: Preferences, base_url: str) -> Response:
    """Return the response for an answer to the interaction ``code``."""
    headers: Headers = []
    body = answer.content or b""
    if answer.version is not None:
        headers.append((b"etag", b'W/"%d"' % answer.version))
    if answer.last_updated is not None:
        headers.append((b"last-modified", format_datetime(answer.last_updated, usegmt=True).encode()))
    if answer.job is not None:
        headers.append((b"content-location", f"{base_url}/_async/{answer.job}".encode()))
    if answer.progress is not None:
        headers += [(b"x-progress", answer.progress.encode()), (b"retry-after", b"1")]
    if code in WRITES:
        location = f"{base_url}/{answer.resource_type}/{answer.id}/_history/{answer.version}"
        headers.append((b"location" if answer.status == 201 else b"content-location", location.encode()))  # noqa: PLR2004
        if preferences.returns == "minimal":
            body = b""
        elif preferences.returns == "OperationOutcome":
            body = encode(outcome([Issue("information", "informational", _described(answer)), *answer.issues]))
        warnings = sum(issue.severity == "warning" for issue in answer.issues)
        if warnings:
            headers.append((b"x-validation-warnings", b"%d" % warnings))
    elif code == "delete" and preferences.returns == "OperationOutcome":
        # 204 can't carry a body.
        return Response(200, headers, encode(outcome([Issue("information", "informational", _deleted(answer))])))
    return Response(answer.status, headers, body, media_type=answer.media_type)


def respond_error(error: FhirError, allow: Sequence[str] = ()) -> Response:
    """Return the response for an error; ``allow`` are the methods that its target supports, for a 405."""
    headers: Headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    if error.status == 401:  # noqa: PLR2004
        # RFC 6750: the error is named when a token was sent, and not when none was.
        known = any(issue.code == "unknown" for issue in error.issues)
        headers.append((b"www-authenticate", CHALLENGE + b', error="invalid_token"' if known else CHALLENGE))
    if error.status == 405:  # noqa: PLR2004 - RFC 9110 asks for it even where no method works
        headers.append((b"allow", ", ".join(allow).encode()))
    return Response(error.status, headers, encode(outcome(error.issues)))


async def write_as(response: Response, format_: Format, *, pretty: bool, statement_of: str | None = None) -> None:
    """Write the body in a format; ``statement_of`` is the base URL whose CapabilityStatement it is. Raises NotSupported (406)."""
    if format_ == "json":
        if pretty:
            response.body = msgspec.json.format(response.body, indent=2)
    elif format_ == "xml":
        body = response.body
        if statement_of is not None:
            response.body = await write_capabilities(body, statement_of, pretty=pretty)
        else:
            response.body = await write_xml(body, pretty=pretty)
    else:
        response.body, links = write_lines(response.body)
        told = ", ".join(f'<{url}>; rel="{relation}"' for relation, url in links)
        if told:
            response.headers.append((b"link", told.encode()))
    response.format = format_


async def send_response(send: Send, response: Response, *, accept_encoding: str = "", head: bool = False) -> None:
    """Send a response; ``head`` sends its headers only."""
    body, headers = response.body, response.headers
    if body or response.format == "ndjson":
        own = response.media_type
        headers.append((b"content-type", CONTENT_TYPES[response.format] if own is None else own.encode()))
        headers.append(VARY)
        if len(body) >= MIN_GZIP and accepts_gzip(accept_encoding):
            body = gzip.compress(body, 1)
            headers.append((b"content-encoding", b"gzip"))
    if response.status not in (204, 304):
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
