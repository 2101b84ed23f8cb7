"""$validate, https://hl7.org/fhir/R4/resource-operation-validate.html.

The body is the resource itself, or Parameters with ``resource``, ``mode`` and ``profile``; these two may also stand in the
query. The answer is 200 with all issues, whether the resource is valid or not, as far as it could be validated at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from conformance.decode import decode
from conformance.issues import InvalidResource, Issue, operation_outcome
from conformance.structures import find_definition
from conformance.validation.reading import is_xml, read
from conformance.xml import from_xml
from fhir_server.auth.caller import Interaction
from fhir_server.errors import FhirError, InvalidRequest, NotSupported
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation, Resource
from fhir_server.operations.parameters import find_issues, from_query, value

_URL = "http://hl7.org/fhir/OperationDefinition/Resource-validate"
_DEFINITION: Resource = find_definition("OperationDefinition", _URL) or {}
_WRITES: Mapping[str, Interaction] = MappingProxyType({"create": "create", "update": "update"})
_MODES = ("create", "update", "delete", "profile")
_XML_TYPES = frozenset(("application/fhir+xml", "application/xml", "text/xml"))
_JSON_TYPES = frozenset(("application/fhir+json", "application/json", "text/json"))
_MOST_BYTES = 16_000_000


class _Parameter(msgspec.Struct):
    """A parameter, its resource left as it was sent."""

    name: str = ""
    resource: msgspec.Raw = msgspec.Raw()


class _Parameters(msgspec.Struct):
    """A body, as far as it must be known to tell whether it is the operation's Parameters."""

    resourceType: str = ""  # noqa: N815 - FHIR's name
    parameter: list[msgspec.Raw] = []


_OUTLINE = msgspec.json.Decoder(_Parameters)
_PARAMETER = msgspec.json.Decoder(_Parameter)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be validated, None if nothing was sent: a text; where that isn't at hand, a resource of sound structure."""

    content: bytes | Resource | None
    mode: str | None
    profiles: tuple[str, ...]


async def _validate(invocation: Invocation, context: ServerContext) -> Resource:
    """Return the OperationOutcome. Raises InvalidRequest for what can't be asked so."""
    asked = _read(invocation)
    _check_mode(invocation, asked)
    content = asked.content
    if asked.mode == "delete":
        issues = await _find_deletion_issues(f"{invocation.resource_type}/{invocation.id}", context)
        return _outcome(issues, f"{invocation.resource_type}/{invocation.id} can be deleted.")
    if content is None:
        content = await context.read(f"{invocation.resource_type}/{invocation.id}")
        if content is None:
            raise _not_known(invocation)
    issues = await context.find_issues(content, asked.profiles)
    issues += _find_write_issues(invocation, asked.mode, content, context)
    return _outcome(issues, "No issues were found.")


def _not_known(invocation: Invocation) -> FhirError:
    error = FhirError(f"{invocation.resource_type}/{invocation.id} is not known.", code="not-found")
    error.status = 404
    return error


def _outcome(issues: Sequence[Issue], all_well: str) -> Resource:
    return operation_outcome(issues or [Issue("information", "informational", all_well)])


def _read(invocation: Invocation) -> Asked:
    """Return what is asked for; raises InvalidRequest when the parameters aren't those of the definition."""
    body = invocation.body or b""
    parameters = list(from_query(_DEFINITION, invocation.query).get("parameter", ()))
    content: bytes | Resource | None = body if body.strip() else None
    if content is not None:
        _check_media_type(invocation.media_type)
        if len(body) > _MOST_BYTES:
            raise InvalidRequest(f"The body is longer than {_MOST_BYTES:,} bytes.", code="too-long")
        content, sent = (_from_xml if is_xml(body) else _from_json)(body, invocation)
        parameters += sent
    given: Resource = {"resourceType": "Parameters", "parameter": parameters}
    issues = find_issues(given, _DEFINITION, "in")
    if issues:
        raise InvalidRequest.of(issues)
    profile = value(given, "profile")
    return Asked(content, value(given, "mode"), () if profile is None else (profile,))


def _check_media_type(media_type: str | None) -> None:
    if media_type and media_type not in _XML_TYPES | _JSON_TYPES:
        raise NotSupported(f"$validate takes JSON or XML, not {media_type[:80]}.", status=415)


def _from_json(body: bytes, invocation: Invocation) -> tuple[bytes | None, list[Any]]:
    """Return the resource's text, lines and columns as in the body, and the other parameters."""
    try:
        outline = _OUTLINE.decode(body)
        parts = [(part, _PARAMETER.decode(part)) for part in outline.parameter]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body, []  # whatever it is, it isn't Parameters
    sent = next((bytes(p.resource) for _, p in parts if p.name == "resource" and p.resource), None)
    if outline.resourceType != "Parameters" or (invocation.resource_type == "Parameters" and sent is None):
        return body, []
    others = [bytes(part) for part, p in parts if not (p.name == "resource" and p.resource)]
    whole = b'{"resourceType":"Parameters","parameter":[%s]}' % b",".join(others)
    rest = decode(whole, "Parameters")["parameter"] if others else []
    if sum(bool(p.resource) and p.name == "resource" for _, p in parts) > 1:
        raise InvalidRequest("resource may be given 1 time.", code="structure", expression="Parameters.parameter")
    if sent is None:
        return None, rest
    before = body[: body.index(sent)].decode(errors="replace")
    return re.sub(r"[^\n]", " ", before).encode() + sent, rest


def _from_xml(body: bytes, invocation: Invocation) -> tuple[bytes | Resource | None, list[Any]]:
    """Return the resource, as text if it is the whole body, and the other parameters."""
    try:
        found = from_xml(body)
    except InvalidResource:
        return body, []
    listed = found.get("parameter", [])
    inside = [p["resource"] for p in listed if p.get("name") == "resource" and "resource" in p]
    if found.get("resourceType") != "Parameters" or (invocation.resource_type == "Parameters" and not inside):
        return body, []
    if len(inside) > 1:
        raise InvalidRequest("resource may be given 1 time.", code="structure", expression="Parameters.parameter")
    rest = [p for p in listed if not (p.get("name") == "resource" and "resource" in p)]
    return (inside[0] if inside else None), rest


def _check_mode(invocation: Invocation, asked: Asked) -> None:
    """Raise InvalidRequest where the mode, what is sent and the place don't go together."""
    mode = asked.mode
    if mode is not None and mode not in _MODES:
        raise InvalidRequest(f"mode is one of {', '.join(_MODES)}, not '{mode[:40]}'.", code="value")
    if mode in ("update", "delete") and invocation.id is None:
        raise InvalidRequest(f"The mode {mode} is about one resource: call [type]/[id]/$validate.", code="invalid")
    if mode == "create" and invocation.id is not None:
        raise InvalidRequest("The mode create is about a new resource: call [type]/$validate.", code="invalid")
    if mode == "profile" and not asked.profiles:
        raise InvalidRequest("The mode profile takes a profile.", code="required")
    if asked.content is None and (invocation.id is None or mode == "update"):
        raise InvalidRequest("There is no resource to validate in the request.", code="required")


def _find_write_issues(
    invocation: Invocation, mode: str | None, content: bytes | Resource, context: ServerContext
) -> list[Issue]:
    """Return what stands against writing this as the mode says, beyond the content itself; of any mode, a wrong type."""
    resource = read(content).resource if isinstance(content, bytes) else content
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        return []
    name = resource["resourceType"]
    if name != invocation.resource_type:
        return [Issue("error", "invalid", f"This is a {name}, the URL says {invocation.resource_type}.", name)]
    if mode == "update" and resource.get("id") != invocation.id:
        text = f"The resource's id is {resource.get('id', 'missing')!s:.64}, the URL says {invocation.id}."
        return [Issue("error", "value", text, f"{name}.id")]
    written = _WRITES.get(mode or "")
    if written is not None:
        try:
            context.check_granted(written, resource)
        except FhirError as refused:
            return refused.issues
    return []


async def _find_deletion_issues(address: str, context: ServerContext) -> list[Issue]:
    """Return what stands against deleting a stored resource."""
    resource = await context.read(address)
    if resource is None:
        return [Issue("error", "not-found", f"{address} is not known.")]
    try:
        context.check_granted("delete", resource)
        await context.check_deletable(address)
    except FhirError as refused:
        return refused.issues
    return []


VALIDATE = BuiltIn(_DEFINITION, _validate, raw=True)
