"""The FHIR endpoint: one ASGI application below the FHIR base, https://hl7.org/fhir/R4/http.html.

A request's life: target → caller → body → interaction → response. Plain ASGI, without a framework's per-request cost;
what is offered is described by the CapabilityStatement, not by function signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from fhir_server.auth.authenticate import Authenticate
from fhir_server.errors import FhirError, InvalidRequest, NotFound, NotSupported
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.interactions.deferred import defer, is_deferrable
from fhir_server.interactions.failures import as_fhir_error
from fhir_server.interactions.request import SEARCHES, Conditions, Request, Target, parse_query, parse_target
from fhir_server.interactions.run import run
from fhir_server.operations.built_in import BuiltIn
from fhir_server.operations.registry import find
from fhir_server.rest import negotiation
from fhir_server.rest.body import ClientLeft, read_body
from fhir_server.rest.formats import read_xml
from fhir_server.rest.respond import Response, respond, respond_error, send_response, write_as

BODY_METHODS = frozenset(("POST", "PUT", "PATCH"))
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
METHOD_NOT_ALLOWED = 405
# The interactions that answer with a Bundle, or may do so, whose resources can be written one by one.
LINES = SEARCHES | {"history-instance", "history-type", "history-system", "operation"}
MAX_PATH = 8_000


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers by lower-case name; repeated ones are joined as HTTP says."""
    out: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        text = value.decode("latin-1")
        out[key] = f"{out[key]},{text}" if key in out else text
    return out


def _is_pretty(query: Sequence[tuple[str, str]]) -> bool:
    return any(name == "_pretty" and value == "true" for name, value in query)


class FhirEndpoint:
    """The ASGI application that answers below ``base_path`` (``/fhir``)."""

    def __init__(
        self, server: Server, authenticate: Authenticate, *, base_path: str, base_url: str | None, max_body: int
    ) -> None:
        self._server = server
        self._authenticate = authenticate
        self._prefix = base_path.rstrip("/")
        self._base_url = base_url
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = _headers(scope)
        query: list[tuple[str, str]] = []
        try:
            query = self._query(scope)
            response = await self._answer(scope, headers, query, receive)
        except ClientLeft:
            return
        except Exception as error:  # the edge: everything becomes an OperationOutcome
            response = respond_error(as_fhir_error(error), self._allowed(scope, error))
            await self._write_error(response, headers, query)
        await send_response(
            send, response, accept_encoding=headers.get("accept-encoding", ""), head=scope["method"] == "HEAD"
        )

    def _query(self, scope: Scope) -> list[tuple[str, str]]:
        raw = scope["query_string"]
        if not raw:
            return []
        try:
            return parse_query(raw.decode("ascii"))
        except UnicodeDecodeError as error:
            raise InvalidRequest("The query string must be percent-encoded.", code="value") from error

    def _path(self, scope: Scope) -> str:
        """Return the path below the base as sent: an escaped slash is part of a segment."""
        path: str = scope["raw_path"].decode("latin-1") if scope.get("raw_path") else scope["path"]
        if len(path) > MAX_PATH:
            raise InvalidRequest("The path is too long.", code="too-long")
        if not path.startswith(self._prefix):
            raise NotFound("The FHIR base must not be percent-encoded.")
        return path[len(self._prefix) :].lstrip("/")

    def _allowed(self, scope: Scope, error: Exception) -> list[str]:
        """Return the methods that the target of a 405 takes."""
        if not isinstance(error, NotSupported) or error.status != METHOD_NOT_ALLOWED:
            return []
        allowed = []
        for method in METHODS:
            try:
                target = parse_target(method, self._path(scope))
            except FhirError:
                continue
            if target.code != "operation" or method == "POST":
                allowed.append(method)
        return allowed

    def _url(self, scope: Scope, headers: dict[str, str]) -> str:
        if self._base_url is not None:
            return self._base_url
        host = headers.get("host") or "{}:{}".format(*scope["server"])
        return f"{scope['scheme']}://{host}{self._prefix}"

    async def _answer(
        self, scope: Scope, headers: dict[str, str], query: list[tuple[str, str]], receive: Receive
    ) -> Response:
        method: str = scope["method"]
        target = parse_target(method, self._path(scope), query)
        accept, lines = headers.get("accept", ""), target.code in LINES
        format_ = negotiation.choose_format(query, accept, lines=lines)
        preferences = negotiation.parse_prefer(headers.get("prefer", ""))
        # The CapabilityStatement is how a client finds out how to log in, so it needs no credential.
        public = target.code == "capabilities"
        caller = await self._authenticate.anyone() if public else await self._authenticate(headers.get("authorization"))
        body = await read_body(receive, headers, self._max_body) if method in BODY_METHODS else None
        if body and target.code in SEARCHES:
            # The form joins the query, which also says how the answer is written.
            query += self._form(headers.get("content-type", ""), body)
            format_ = negotiation.choose_format(query, accept, lines=lines)
            body = None
        elif body and self._takes_raw(target):
            pass  # the operation knows what it takes
        elif body and target.code == "patch":
            negotiation.check_patch_type(headers.get("content-type", ""))
        elif body and negotiation.check_content_type(headers.get("content-type", "")) == "xml":
            body = await read_xml(body)
        request = self._request(target, headers, body, preferences)
        base_url = self._url(scope, headers)
        context = Context(self._server, caller, base_url, instant())
        representation = preferences.explicit and preferences.returns == "representation"
        if preferences.later and is_deferrable(context, request):
            answer = await defer(context, request, representation=representation)
        else:
            answer = await run(context, request, representation=representation)
        response = respond(answer, target.code, preferences, base_url)
        if response.body and (query or format_ != "json") and response.media_type is None:
            try:
                await write_as(response, format_, pretty=_is_pretty(query), statement_of=base_url if public else None)
            except NotSupported:
                # What was done is done: a write that can't be told in this format is told in JSON.
                if method in BODY_METHODS and target.code not in SEARCHES:
                    return response
                raise
        return response

    def _takes_raw(self, target: Target) -> bool:
        if target.operation is None:
            return False
        operation = find(self._server.operations, target.operation, target.resource_type, target.id)
        return isinstance(operation, BuiltIn) and operation.raw

    async def _write_error(self, response: Response, headers: dict[str, str], query: Sequence[tuple[str, str]]) -> None:
        """Write an OperationOutcome as XML where XML was asked for, else as JSON."""
        with suppress(NotSupported):
            format_ = negotiation.choose_format(query, headers.get("accept", ""))
            await write_as(response, format_, pretty=_is_pretty(query))

    def _request(
        self, target: Target, headers: dict[str, str], body: bytes | None, preferences: negotiation.Preferences
    ) -> Request:
        return Request(
            target,
            Conditions(
                if_match=headers.get("if-match"),
                if_none_match=headers.get("if-none-match"),
                if_modified_since=headers.get("if-modified-since"),
                if_none_exist=headers.get("if-none-exist"),
            ),
            body=body,
            strict=preferences.strict,
            media_type=negotiation.media_type(headers.get("content-type", "")),
        )

    def _form(self, content_type: str, body: bytes) -> list[tuple[str, str]]:
        if negotiation.media_type(content_type) != negotiation.FORM:
            raise NotSupported(f"A search by POST carries its parameters as {negotiation.FORM}.", status=415)
        try:
            return parse_query(body.decode("ascii"))
        except UnicodeDecodeError as error:
            raise InvalidRequest("The form must be percent-encoded.", code="value") from error
