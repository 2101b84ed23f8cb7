"""$graphql on the system and on an instance, https://hl7.org/fhir/R4/graphql.html.

The query comes as ``query`` in the URL, as a body of application/graphql, or as JSON with query, operationName and
variables. ``schema`` makes the schema, ``plan`` and ``run`` compile and answer queries, ``shape`` carries out directives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from conformance.decode import encode
from fhir_server.errors import InvalidRequest, NotSupported
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation
from fhir_server.operations.definitions import official

if TYPE_CHECKING:
    from fhir_server.operations.graphql.answer import Query

_QUERY_TYPE = "application/graphql"
_JSON_TYPES = frozenset(("application/json", "application/fhir+json"))


async def _run(invocation: Invocation, context: ServerContext) -> bytes:
    # Imported by the first query: the library costs time that a starting server need not spend.
    from fhir_server.operations.graphql.answer import answer  # noqa: PLC0415

    root = (invocation.resource_type, invocation.id) if invocation.resource_type and invocation.id else None
    return encode(await answer(_read(invocation), context, root))


def _read(invocation: Invocation) -> Query:
    from fhir_server.operations.graphql.answer import Query  # noqa: PLC0415

    asked: dict[str, Any] = dict(invocation.query)
    if "variables" in asked:
        asked["variables"] = _object(asked["variables"].encode(), "variables")
    if invocation.body and invocation.media_type == _QUERY_TYPE:
        asked["query"] = _text(invocation.body)
    elif invocation.body and invocation.media_type in _JSON_TYPES:
        asked |= _object(invocation.body, "the body")
    elif invocation.body:
        raise NotSupported(f"$graphql takes {_QUERY_TYPE} or application/json.", status=415)
    text, operation, variables = asked.get("query"), asked.get("operationName"), asked.get("variables") or {}
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest("$graphql needs a query.", code="required")
    if not isinstance(operation, str | None) or not isinstance(variables, dict):
        raise InvalidRequest("operationName is a string and variables is an object.", code="value")
    return Query(text, operation or None, variables)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("The query is not UTF-8.", code="value") from error


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidRequest(f"{what} must be a JSON object: {error}", code="structure") from error


GRAPHQL = BuiltIn(official("Resource-graphql"), _run, query=None, raw=True, media_type="application/json")
