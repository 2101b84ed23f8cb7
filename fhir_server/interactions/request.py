"""A FHIR request and its answer, free of HTTP: what a route and a Bundle entry have in common.

https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

from conformance.definitions import compartments, resource_types
from conformance.issues import Issue
from fhir_server.auth.caller import Interaction
from fhir_server.errors import InvalidRequest, NotFound, NotSupported

Code = Literal[
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "history-system",
    "create",
    "search-type",
    "search-system",
    "search-compartment",
    "transaction",
    "capabilities",
    "operation",
    "job-status",
    "job-cancel",
]

WRITES: Mapping[str, Interaction] = {"create": "create", "update": "update", "patch": "update", "delete": "delete"}
"""The interactions that change a resource, with the permission each takes."""

SEARCHES = frozenset(("search-type", "search-system", "search-compartment"))
"""The interactions that answer with a searchset, and take their parameters as a form, too."""

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
VERSION_ID = re.compile(r"[1-9][0-9]{0,8}")
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
MAX_PARAMETERS = 200


@dataclass(frozen=True, slots=True)
class Target:
    """What a method and URL ask for. Conditional update, patch and delete have a ``query`` and no ``id``.

    ``safe`` tells of an operation that it was called by a method that must change nothing (GET, HEAD). ``searched`` is
    the type to search in the compartment of the resource that is named, ``*`` for all that can be in it.
    """

    code: Code
    resource_type: str | None = None
    id: str | None = None
    version_id: int | None = None
    operation: str | None = None
    query: Sequence[tuple[str, str]] = ()
    safe: bool = False
    searched: str | None = None


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

    ``content`` is JSON bytes or None; ``version`` and ``last_updated`` describe it where it is a resource. ``deleted``
    is the number of resources that a deletion took. ``job`` is the id of the background job that the request became,
    ``progress`` how far one is. ``media_type`` is what the content is where that is no FHIR resource. ``issues`` are what
    was found about a resource that was written all the same.
    """

    status: int
    content: bytes | None = None
    resource_type: str | None = None
    id: str | None = None
    version: int | None = None
    last_updated: datetime | None = None
    created: bool = False
    deleted: int = 0
    job: str | None = None
    progress: str | None = None
    media_type: str | None = None
    issues: Sequence[Issue] = ()


@dataclass(slots=True)
class Request:
    """One FHIR request: target, conditions and the resource as bytes (HTTP) or parsed (a Bundle's entry).

    ``media_type`` is the body's, without parameters; only a patch looks at it.
    """

    target: Target
    conditions: Conditions = Conditions()
    body: bytes | None = None
    resource: dict[str, Any] | None = None
    strict: bool = False
    media_type: str = ""


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


def _compartment(method: str, segments: Sequence[str], query: Sequence[tuple[str, str]]) -> Target:
    """Return the search inside a compartment. Raises NotFound where R4 defines none, NotSupported (405)."""
    name, id_, searched, *form = segments
    if _check_type(name) not in compartments():
        raise NotFound(f"There is no compartment of {name}; R4 has those of {', '.join(sorted(compartments()))}.")
    if searched != "*":
        _check_type(searched)
    if method not in (("GET", "POST") if form else ("GET",)):
        raise NotSupported(f"{method} is not supported on /{'/'.join(segments)[:120]}.")
    return Target("search-compartment", name, check_id(id_), query=query, searched=searched)


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
        case ("GET", []) | ("GET" | "POST", ["_search"]):  # some clients send GET there, too
            return Target("search-system", query=query)
        case "GET", ["metadata"]:
            return Target("capabilities", query=query)
        case "GET", ["_history"]:
            return Target("history-system", query=query)
        case _, ["metadata" | "_history" | "_search" as segment]:
            raise NotSupported(f"{method} is not supported on /{segment}.")
        case "GET", ["_async", id_]:
            return Target("job-status", id=check_id(id_), query=query)
        case "DELETE", ["_async", id_]:
            return Target("job-cancel", id=check_id(id_), query=query)
        case _, ["_async", _]:
            raise NotSupported(f"{method} is not supported on the status of a background job.")
        case "GET" | "POST", [operation] if operation.startswith("$"):
            return Target("operation", operation=operation[1:], query=query, safe=safe)
        case "GET" | "POST", [name, operation] if operation.startswith("$"):
            return Target("operation", _check_type(name), operation=operation[1:], query=query, safe=safe)
        case "GET" | "POST", [name, id_, operation] if operation.startswith("$"):
            return Target(
                "operation", _check_type(name), check_id(id_), operation=operation[1:], query=query, safe=safe
            )
        case "GET" | "POST", [name, id_, "_history", version, operation] if operation.startswith("$"):
            if not VERSION_ID.fullmatch(version):
                raise NotFound(f"'{version[:64]}' is not a version of this server.")
            return Target(
                "operation", _check_type(name), check_id(id_), int(version), operation[1:], query=query, safe=safe
            )
        case "GET", [name]:
            return Target("search-type", _check_type(name), query=query)
        case "GET" | "POST", [name, "_search"]:
            return Target("search-type", _check_type(name), query=query)
        case "POST", [name]:
            return Target("create", _check_type(name), query=query)
        case "PUT", [name]:
            return Target("update", _check_type(name), query=query)
        case "PATCH", [name] if not name.startswith("$"):
            return Target("patch", _check_type(name), query=query)
        case "DELETE", [name]:
            return Target("delete", _check_type(name), query=query)
        case "GET", [name, "_history"]:
            return Target("history-type", _check_type(name), query=query)
        case _, [name, "_history" | "_search" as segment]:
            raise NotSupported(f"{method} is not supported on /{_check_type(name)}/{segment}.")
        case "GET", [name, id_]:
            return Target("read", _check_type(name), check_id(id_), query=query)
        case "PUT", [name, id_]:
            if not ID.fullmatch(id_):
                raise InvalidRequest(f"'{id_[:80]}' can't be an id (1-64 of A-Z, a-z, 0-9, '-', '.').", code="value")
            return Target("update", _check_type(name), id_, query=query)
        case "PATCH", [name, id_] if not id_.startswith("$"):
            return Target("patch", _check_type(name), check_id(id_), query=query)
        case "DELETE", [name, id_]:
            return Target("delete", _check_type(name), check_id(id_), query=query)
        case "GET", [name, id_, "_history"]:
            return Target("history-instance", _check_type(name), check_id(id_), query=query)
        case "GET", [name, id_, "_history", version]:
            if not VERSION_ID.fullmatch(version):
                raise NotFound(f"'{version[:64]}' is not a version of this server.")
            return Target("vread", _check_type(name), check_id(id_), int(version), query=query)
        case _, [_, _, searched] | [_, _, searched, "_search"] if not searched.startswith(("$", "_")):
            return _compartment(method, segments, query)
        case _, [] | [_] | [_, _] | [_, _, "_history"] | [_, _, "_history", _]:
            if segments and not segments[0].startswith("$"):
                _check_type(segments[0])
            raise NotSupported(f"{method} is not supported on /{'/'.join(segments)[:120]}.")
        case _, [name, _, operation] if operation.startswith("$"):
            raise NotSupported(f"{method} is not supported on /{_check_type(name)}/[id]/{operation[:80]}.")
    raise NotFound(f"There is nothing at /{'/'.join(segments)[:120]}.")
