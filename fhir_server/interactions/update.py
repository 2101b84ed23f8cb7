"""update, update-as-create and conditional update, https://hl7.org/fhir/R4/http.html#update and #cond-update."""

from __future__ import annotations

from typing import Any

from fhir_server.errors import InvalidRequest, PreconditionFailed
from fhir_server.interactions.conditional_references import take_resource
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
from fhir_server.interactions.prepare import require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.interactions.save import save
from fhir_server.search.execute import Match
from fhir_server.store.database import Session
from fhir_server.store.keys import new_id
from fhir_server.store.read import Version


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


def check_matched(resource_type: str, matched: Match | None, current: Version | None) -> None:
    """Check what a conditional update is about to replace.

    Raises PreconditionFailed when the condition matched nothing and the resource's own id belongs to another resource,
    and Conflict when the match was changed meanwhile.
    """
    if matched is not None:
        check_unchanged(resource_type, matched, current)
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
    resource = await take_resource(context, session, request)
    if request.target.id is not None:
        id_ = request.target.id
        check_body_id(resource, id_)
        current = await read_current(context, session, resource_type, id_)
    else:
        what = "The condition of the update"
        query = check_condition(request.target.query, what)
        await take_locks(session, [condition_lock(context.caller.tenant, resource_type, query)])
        match = await find_one(context, session, resource_type, query, what)
        id_ = choose_id(resource, None if match is None else match.id)
        current = await read_current(context, session, resource_type, id_)
        check_matched(resource_type, match, current)
    check_writable(context, "update", resource_type, current)
    check_preconditions(request.conditions, current)
    return await save(context, session, resource, id_, later(context.now, current), replaces=current, method="U")
