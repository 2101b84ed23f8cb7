"""read, https://hl7.org/fhir/R4/http.html#read and #cread (conditional read)."""

from __future__ import annotations

from typing import Any

from conformance.decode import decode
from conformance.definitions import resource_types
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions import conditions
from fhir_server.interactions.context import Context
from fhir_server.interactions.official import find_official
from fhir_server.interactions.prepare import has_criteria, require_grant
from fhir_server.interactions.request import ID, Answer, Request
from fhir_server.search.summary import view_of
from fhir_server.store.database import Session
from fhir_server.store.read import Version, read


def answer_version(context: Context, request: Request, found: Version | None) -> Answer:
    """Answer with a stored version: 200, 304, 404 or 410."""
    resource_type, id_ = str(request.target.resource_type), str(request.target.id)
    if found is None:
        raise NotFound(f"{resource_type}/{id_} is not known.")
    if found.content is None:
        if has_criteria(context.caller, "read", resource_type):
            # What was deleted may have been another's; that it existed is not the caller's business.
            raise NotFound(f"{resource_type}/{id_} is not known.")
        raise Gone(f"{resource_type}/{id_} was deleted.")
    if not conditions.is_visible(context, resource_type, found.content):
        raise NotFound(f"{resource_type}/{id_} is not known.")
    view = view_of(request.target.query)
    unchanged = conditions.is_unchanged(request.conditions, found)
    return Answer(
        304 if unchanged else 200,
        None if unchanged else view.show(resource_type, found.content),
        resource_type,
        id_,
        found.version,
        found.last_updated,
    )


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Return the current version; outside of a transaction, reads of other requests may come by the same statement."""
    resource_type, id_ = str(request.target.resource_type), str(request.target.id)
    require_grant(context.caller, "read", resource_type)
    tenant = context.caller.tenant
    if session.in_transaction:
        found = await read(session, tenant, resource_type, id_)
    else:
        found = await context.server.reads.read(tenant, resource_type, id_)
    return answer_version(context, request, found or await find_official(context, resource_type, id_))


async def read_reference(context: Context, session: Session, reference: str) -> dict[str, Any] | None:
    """Return the current version of ``Type/id`` that the caller may see, or None; so for any other kind of reference."""
    resource_type, _, id_ = reference.partition("/")
    if resource_type not in resource_types() or not ID.fullmatch(id_):
        return None
    require_grant(context.caller, "read", resource_type)
    found = await read(session, context.caller.tenant, resource_type, id_)
    if found is None or found.content is None:
        return None
    if not conditions.is_visible(context, resource_type, found.content):
        return None
    return decode(found.content, resource_type)
