"""patch and conditional patch, https://hl7.org/fhir/R4/http.html#patch: JSON Patch, XML Patch and FHIRPath Patch."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from conformance.decode import check, decode, encode
from conformance.issues import InvalidResource
from conformance.patch import MEDIA_TYPES, apply_patch
from fhir_server.errors import Gone, InvalidRequest, NotFound, NotSupported, Unprocessable
from fhir_server.interactions.conditional_references import resolve_resource
from fhir_server.interactions.conditions import (
    check_condition,
    check_preconditions,
    check_unchanged,
    condition_lock,
    find_one,
    take_locks,
)
from fhir_server.interactions.context import Context
from fhir_server.interactions.current import check_writable, later, read_current
from fhir_server.interactions.prepare import has_criteria, require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.interactions.save import save, without_unreadable
from fhir_server.store.database import Session
from fhir_server.store.read import Version

FHIRPATH_PATCH = "application/fhir+json"


def patch_of(request: Request) -> tuple[bytes, str]:
    """Return a patch and its media type: the body, or what a Bundle's entry carries.

    There a FHIRPath Patch is the Parameters resource itself, and any other patch the data of a Binary.
    """
    resource = request.resource
    if resource is None:
        if not request.body:
            raise InvalidRequest("A patch needs a body.", code="required")
        return request.body, _known(request.media_type)
    match resource["resourceType"]:
        case "Parameters":
            return encode(resource), FHIRPATH_PATCH
        case "Binary":
            return b64decode(resource.get("data", "")), _known(resource["contentType"])
    raise InvalidRequest(
        f"A patch in a Bundle is a Parameters or a Binary, not a {resource['resourceType']}.", code="value"
    )


def _known(media_type: str) -> str:
    plain = media_type.partition(";")[0].strip().lower()
    if plain not in MEDIA_TYPES:
        known = ", ".join(MEDIA_TYPES)
        raise NotSupported(f"'{media_type[:80]}' is no format of patches here; send {known}.", status=415)
    return plain


def apply_to(current: Version, resource_type: str, request: Request) -> dict[str, Any]:
    """Return the patched resource, checked.

    Raises InvalidResource for a patch that is none or doesn't fit, Unprocessable when it would make the resource
    invalid or another one.
    """
    before = decode(current.content or b"", resource_type)
    after = apply_patch(before, *patch_of(request))
    if not isinstance(after, dict) or after.get("resourceType") != resource_type:
        raise Unprocessable(
            f"The patch must not change the type of the resource, {resource_type}.", expression=resource_type
        )
    try:
        check(after)
    except InvalidResource as error:
        raise Unprocessable.of(error.issues) from error
    if after.get("id") != current.id:
        raise Unprocessable(
            f"The patch must not change the id of the resource, {current.id}.", expression=f"{resource_type}.id"
        )
    return after


def check_patchable(context: Context, resource_type: str, id_: str, current: Version | None) -> Version:
    """Return the version to patch; raises NotFound or Gone when there is none, Forbidden when it is not the caller's."""
    if current is None:
        raise NotFound(f"{resource_type}/{id_} is not known.")
    if current.content is None:
        if has_criteria(context.caller, "update", resource_type):
            raise NotFound(f"{resource_type}/{id_} is not known.")
        raise Gone(f"{resource_type}/{id_} was deleted.")
    check_writable(context, "update", resource_type, current)
    return current


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Store the patched resource as a new version; a conditional patch must be in a transaction.

    Raises Conflict when another request was faster; the caller of this may then try again.
    """
    resource_type, id_ = str(request.target.resource_type), request.target.id
    require_grant(context.caller, "update", resource_type)
    if id_ is not None:
        current = check_patchable(context, resource_type, id_, await read_current(context, session, resource_type, id_))
    else:
        what = "The condition of the patch"
        query = check_condition(request.target.query, what)
        await take_locks(session, [condition_lock(context.caller.tenant, resource_type, query)])
        match = await find_one(context, session, resource_type, query, what)
        if match is None:
            raise NotFound(f"{what} matches nothing.")
        found = check_unchanged(resource_type, match, await read_current(context, session, resource_type, match.id))
        current = check_patchable(context, resource_type, match.id, found)
    check_preconditions(request.conditions, current)
    resource = apply_to(current, resource_type, request)
    await resolve_resource(context, session, resource)
    now = later(context.now, current)
    answer = await save(context, session, resource, current.id, now, replaces=current, method="U")
    return without_unreadable(context, answer)
