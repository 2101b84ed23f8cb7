"""A FHIR request and its answer, free of HTTP: what a route and a Bundle entry have in common.

https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

from conformance.definitions import resource_types
from fhir_server.errors import InvalidRequest, NotFound, NotSupported

Code = Literal[
    "read",
    "vread",
    "update",
    "delete",
    "history-instance",
    "create",
    "search-type",
    "transaction",
    "capabilities",
    "operation",
]

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
VERSION_ID = re.compile(r"[1-9][0-9]{0,8}")
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
MAX_PARAMETERS = 200


@dataclass(frozen=True, slots=True)
class Target:
    """What a method and URL ask for. Conditional update and delete have a ``query`` and no ``id``.

    ``safe`` tells of an operation that it was called by a method that must change nothing (GET, HEAD).
    """

    code: Code
    resource_type: str | None = None
    id: str | None = None
    version_id: int | None = None
    operation: str | None = None
    query: Sequence[tuple[str, str]] = ()
    safe: bool = False


@dataclass(frozen=True, slots=True)
class Conditions:
    """The request's conditions, as header text or entry.request values, https://hl7.org/fhir/R4/http.html#concurrency."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_none_exist: str | None = None


@dataclass(slots=True)
class Answer:
    """An interaction's result.

    ``content`` is JSON bytes or None; ``version`` and ``last_updated`` describe it where it is a resource.
    """

    status: int
    content: bytes | None = None
    resource_type: str | None = None
    id: str | None = None
    version: int | None = None
    last_updated: datetime | None = None
    created: bool = False


@dataclass(slots=True)
class Request:
    """One FHIR request: target, conditions and the resource as bytes (HTTP) or parsed (a Bundle's entry)."""

    target: Target
    conditions: Conditions = Conditions()
    body: bytes | None = None
    resource: dict[str, Any] | None = None
    strict: bool = False


@cache
def _types() -> frozenset[str]:
    return frozenset(resource_types())


def parse_query(query: str) -> list[tuple[str, str]]:
    """Decode a query string.

    Raises InvalidRequest when it is not percent-encoded UTF-8, holds a NUL or too many parameters.
    """
    if "%" in query:
        _check_escapes(query)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError as error:
        raise InvalidRequest("The query string is not valid UTF-8.", code="value") from error
    except ValueError as error:
        raise InvalidRequest(
            f"The query string has more than {MAX_PARAMETERS} parameters.", code="too-costly"
        ) from error
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise InvalidRequest("The query string holds a NUL character.", code="value")
    return pairs


def _check_escapes(text: str) -> None:
    bad = BAD_ESCAPE.search(text)
    if bad is not None:
        raise InvalidRequest(f"'{text[bad.start() :][:3]}' is no percent-encoded character.", code="value")


def _check_type(name: str) -> str:
    if name not in _types():
        raise NotFound(f"'{name[:64]}' is not a FHIR R4 resource type.", code="not-supported")
    return name


def check_id(text: str) -> str:
    """Return a logical id, or raise NotFound: nothing can be stored under a malformed one."""
    if not ID.fullmatch(text):
        raise NotFound(f"'{text[:80]}' is not a FHIR id (1-64 of A-Z, a-z, 0-9, '-', '.').", code="value")
    return text


def _segments(path: str) -> list[str]:
    if "%" in path:
        _check_escapes(path)
        try:
            segments = [unquote(s, errors="strict") for s in path.split("/")]
        except UnicodeDecodeError as error:
            raise InvalidRequest("The path is not valid UTF-8.", code="value") from error
    else:
        segments = path.split("/")
    if segments[-1] == "":
        segments.pop()
    return segments


def parse_target(method: str, path: str, query: Sequence[tuple[str, str]] = ()) -> Target:
    """Return what ``method`` on ``path`` (below the FHIR base, without a leading slash) asks for.

    Raises InvalidRequest for bad percent-encoding, NotFound for unknown types and shapes, NotSupported (405) for a
    known shape with another method.
    """
    segments = _segments(path)
    if method == "HEAD":
        method = "GET"
    safe = method == "GET"
    match method, segments:
        case "POST", []:
            return Target("transaction")
        case "GET", ["metadata"]:
            return Target("capabilities", query=query)
        case _, ["metadata" | "_history" | "_search" as segment]:
            raise NotSupported(f"{method} is not supported on /{segment}.")
        case "GET" | "POST", [operation] if operation.startswith("$"):
            return Target("operation", operation=operation[1:], query=query, safe=safe)
        case "GET" | "POST", [name, operation] if operation.startswith("$"):
            return Target("operation", _check_type(name), operation=operation[1:], query=query, safe=safe)
        case "GET" | "POST", [name, id_, operation] if operation.startswith("$"):
            return Target(
                "operation", _check_type(name), check_id(id_), operation=operation[1:], query=query, safe=safe
            )
        case "GET", [name]:
            return Target("search-type", _check_type(name), query=query)
        case "POST", [name, "_search"]:
            return Target("search-type", _check_type(name), query=query)
        case "POST", [name]:
            return Target("create", _check_type(name), query=query)
        case "PUT", [name]:
            return Target("update", _check_type(name), query=query)
        case "DELETE", [name]:
            return Target("delete", _check_type(name), query=query)
        case _, [name, "_history" | "_search" as segment]:
            raise NotSupported(f"{method} is not supported on /{_check_type(name)}/{segment}.")
        case "GET", [name, id_]:
            return Target("read", _check_type(name), check_id(id_), query=query)
        case "PUT", [name, id_]:
            if not ID.fullmatch(id_):
                raise InvalidRequest(f"'{id_[:80]}' can't be an id (1-64 of A-Z, a-z, 0-9, '-', '.').", code="value")
            return Target("update", _check_type(name), id_, query=query)
        case "DELETE", [name, id_]:
            return Target("delete", _check_type(name), check_id(id_), query=query)
        case "GET", [name, id_, "_history"]:
            return Target("history-instance", _check_type(name), check_id(id_), query=query)
        case "GET", [name, id_, "_history", version]:
            if not VERSION_ID.fullmatch(version):
                raise NotFound(f"'{version[:64]}' is not a version of this server.")
            return Target("vread", _check_type(name), check_id(id_), int(version), query=query)
        case _, [] | [_] | [_, _] | [_, _, "_history"] | [_, _, "_history", _]:
            if segments and not segments[0].startswith("$"):
                _check_type(segments[0])
            raise NotSupported(f"{method} is not supported on /{'/'.join(segments)[:120]}.")
    raise NotFound(f"There is nothing at /{'/'.join(segments)[:120]}.")
