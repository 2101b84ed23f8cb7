"""delete and conditional delete of one resource, https://hl7.org/fhir/R4/http.html#delete."""

from __future__ import annotations

from fhir_server.errors import NotFound
from fhir_server.interactions.conditions import (
    check_condition,
    check_preconditions,
    condition_lock,
    find_one,
    take_locks,
)
from fhir_server.interactions.context import Context
from fhir_server.interactions.current import check_still_there, check_writable, later, read_current
from fhir_server.interactions.prepare import prepare_delete, require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.store.database import Session
from fhir_server.store.write import write


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Delete a resource, keeping its history: 204, also when it is gone already; 404 when it never existed."""
    tenant, resource_type = context.caller.tenant, str(request.target.resource_type)
    require_grant(context.caller, "delete", resource_type)
    id_ = request.target.id
    if id_ is None:
        what = "The condition of the deletion"
        query = check_condition(request.target.query, what)
        await take_locks(session, [condition_lock(tenant, resource_type, query)])
        id_ = await find_one(session, context.caller, resource_type, query, what)
        if id_ is None:
            return Answer(204, resource_type=resource_type)
    current = await read_current(context, session, resource_type, id_)
    if request.target.id is None:
        check_still_there(resource_type, current)
    if current is None:
        raise NotFound(f"{resource_type}/{id_} is not known.")
    check_writable(context, "delete", resource_type, current)
    check_preconditions(request.conditions, current)
    if current.content is None:
        return Answer(204, None, resource_type, id_, current.version)
    change = prepare_delete(resource_type, current, later(context.now, current))
    await write(session, tenant, [change])
    return Answer(204, None, resource_type, id_, change.version)
