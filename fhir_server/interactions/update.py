"""update, update-as-create and conditional update, https://hl7.org/fhir/R4/http.html#update and #cond-update."""

from __future__ import annotations

from typing import Any

from conformance.decode import decode
from fhir_server.errors import InvalidRequest, PreconditionFailed
from fhir_server.interactions.conditions import (
    check_condition,
    check_preconditions,
    condition_lock,
    find_one,
    take_locks,
)
from fhir_server.interactions.context import Context
from fhir_server.interactions.create import answer_change
from fhir_server.interactions.current import check_still_there, check_writable, later, read_current
from fhir_server.interactions.prepare import prepare_write, require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.store.database import Session
from fhir_server.store.keys import new_id
from fhir_server.store.read import Version
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


def choose_id(resource: dict[str, Any], matched: str | None) -> str:
    """Return the id that a conditional update writes to: the match's, else the resource's own, else a fresh one."""
    if matched is None:
        return str(resource.get("id") or new_id())
    if resource.get("id", matched) != matched:
        raise InvalidRequest(
            f"The resource's id {resource['id']} is not that of the match, {matched}.",
            code="value",
            expression=f"{resource['resourceType']}.id",
        )
    return matched


def check_matched(resource_type: str, matched: str | None, current: Version | None) -> None:
    """Check what a conditional update is about to replace.

    Raises PreconditionFailed when the condition matched nothing and the resource's own id belongs to another resource,
    and Conflict when the match is gone meanwhile.
    """
    if matched is not None:
        check_still_there(resource_type, current)
    elif current is not None and current.content is not None:
        raise PreconditionFailed(
            f"The condition matches nothing, but {resource_type}/{current.id} exists; it is left as it is.",
            code="duplicate",
        )


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Store a new version, or the first one under the client's id; a conditional update must be in a transaction.

    Raises Conflict when another request was faster; the caller of this may then try again.
    """
    resource_type = str(request.target.resource_type)
    require_grant(context.caller, "update", resource_type)
    resource = request.resource if request.resource is not None else decode(request.body or b"", resource_type)
    if request.target.id is not None:
        id_ = request.target.id
        check_body_id(resource, id_)
        current = await read_current(context, session, resource_type, id_)
    else:
        what = "The condition of the update"
        query = check_condition(request.target.query, what)
        await take_locks(session, [condition_lock(context.caller.tenant, resource_type, query)])
        matched = await find_one(session, context.caller, resource_type, query, what)
        id_ = choose_id(resource, matched)
        current = await read_current(context, session, resource_type, id_)
        check_matched(resource_type, matched, current)
    check_writable(context, "update", resource_type, current)
    check_preconditions(request.conditions, current)
    now = later(context.now, current)
    change = prepare_write(context.caller, resource, id_, now, replaces=current, method="U")
    await write(session, context.caller.tenant, [change])
    return answer_change(change)
