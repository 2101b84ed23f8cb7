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
from fhir_server.rest.negotiation import Preferences, accepts_gzip

Headers = list[tuple[bytes, bytes]]

CONTENT_TYPE = (b"content-type", b"application/fhir+json; charset=utf-8")
CHALLENGE = b'Bearer realm="praxis"'
# Below this, compression costs more than it saves.
MIN_GZIP = 1400
WRITES = frozenset(("create", "update"))


@dataclass(slots=True)
class Response:
    """An HTTP response."""

    status: int
    headers: Headers
    body: bytes = b""


def _described(answer: Answer) -> str:
    verb = "was created" if answer.created else "is stored"
    return f"{answer.resource_type}/{answer.id} version {answer.version} {verb}."


def respond(answer: Answer, code: str, preferences: Preferences, base_url: str) -> Response:
    """Return the response for an answer to the interaction ``code``."""
    headers: Headers = []
    body = answer.content or b""
    if answer.version is not None:
        headers.append((b"etag", b'W/"%d"' % answer.version))
    if answer.last_updated is not None:
        headers.append((b"last-modified", format_datetime(answer.last_updated, usegmt=True).encode()))
    if code in WRITES:
        location = f"{base_url}/{answer.resource_type}/{answer.id}/_history/{answer.version}"
        headers.append((b"location" if answer.status == 201 else b"content-location", location.encode()))  # noqa: PLR2004
        if preferences.returns == "minimal":
            body = b""
        elif preferences.returns == "OperationOutcome":
            body = encode(outcome([Issue("information", "informational", _described(answer))]))
    return Response(answer.status, headers, body)


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


def pretty(body: bytes) -> bytes:
    """Indent JSON without touching its numbers."""
    return msgspec.json.format(body, indent=2)


async def send_response(send: Send, response: Response, *, accept_encoding: str = "", head: bool = False) -> None:
    """Send a response; ``head`` sends its headers only."""
    body, headers = response.body, response.headers
    if body:
        headers.append(CONTENT_TYPE)
        if len(body) >= MIN_GZIP:
            headers.append((b"vary", b"accept-encoding"))
            if accepts_gzip(accept_encoding):
                body = gzip.compress(body, 1)
                headers.append((b"content-encoding", b"gzip"))
    if response.status not in (204, 304):
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
