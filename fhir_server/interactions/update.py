"""update, update-as-create and conditional update, https://hl7.org/fhir/R4/http.html#update."""

from __future__ import annotations

from typing import Any

from conformance.decode import decode
from fhir_server.errors import Forbidden, InvalidRequest
from fhir_server.interactions.conditions import (
    check_condition,
    check_if_match,
    condition_lock,
    find_one,
    is_visible,
    take_locks,
)
from fhir_server.interactions.context import Context
from fhir_server.interactions.create import answer_change
from fhir_server.interactions.prepare import prepare_write, require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.store.database import Session
from fhir_server.store.keys import new_id
from fhir_server.store.read import Version, read
from fhir_server.store.write import write

def check_body_id(resource: dict[str, Any], id_: str) -> None:
    """Raise InvalidRequest unless the resource carries the id it is updated under."""
    if "id" not in resource:
        raise InvalidRequest(
            f"The resource has no id; an update of {id_} must carry it.",
            code="required",
            expression=f"{resource['resourceType']}.id",
        )
    if resource["id"] != id_:
        raise InvalidRequest(
            f"The resource's id {resource['id']} is not {id_}, the id in the URL.",
            code="value",
            expression=f"{resource['resourceType']}.id",
        )


async def resolve_condition(context: Context, session: Session, request: Request, resource: dict[str, Any]) -> str:
    """Return the id that a conditional update means: the match's, else the resource's own, else a fresh one."""
    resource_type, what = str(request.target.resource_type), "The condition of the update"
    query = check_condition(request.target.query, what)
    await take_locks(session, [condition_lock(context.caller.tenant, resource_type, query)])
    existing = await find_one(session, context.caller, resource_type, query, what)
    if existing is None:
        return str(resource.get("id") or new_id())
    if "id" in resource and resource["id"] != existing:
        raise InvalidRequest(f"The resource's id {resource['id']} is not that of the match, {existing}.", code="value")
    return existing


def check_writable(context: Context, resource_type: str, current: Version | None) -> None:
    """Raise Forbidden when the caller may not see what it is about to replace."""
    if current and current.content and not is_visible(context.caller, resource_type, current.content):
        raise Forbidden(f"{context.caller.subject} may not write {resource_type}/{current.id}.")


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Store a new version, or the first one under the client's id; a conditional update must be in a transaction.

    Raises Conflict when another request was faster; the caller of this may then try again.
    """
    resource_type = str(request.target.resource_type)
    require_grant(context.caller, "update", resource_type)
    resource = request.resource if request.resource is not None else decode(request.body or b"", resource_type)
    if request.target.id is None:
        id_ = await resolve_condition(context, session, request, resource)
    else:
        id_ = request.target.id
        check_body_id(resource, id_)
    current = await read(session, context.caller.tenant, resource_type, id_)
    check_if_match(request.conditions, current)
    check_writable(context, resource_type, current)
    change = prepare_write(context.caller, resource, id_, context.now, replaces=current, method="U")
    await write(session, context.caller.tenant, [change])
    return answer_change(change)
