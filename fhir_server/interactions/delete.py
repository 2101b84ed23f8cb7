"""delete and conditional delete, https://hl7.org/fhir/R4/http.html#delete; a condition may take several resources."""

from __future__ import annotations

from fhir_server.errors import NotFound
from fhir_server.interactions.commit import write_changes
from fhir_server.interactions.conditions import (
    check_condition,
    check_preconditions,
    check_unchanged,
    condition_lock,
    find_all,
    take_locks,
)
from fhir_server.interactions.context import Context
from fhir_server.interactions.current import check_writable, later, read_current
from fhir_server.interactions.prepare import prepare_delete, require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.store.database import Session
from fhir_server.store.read import lock


async def _run_conditional(context: Context, session: Session, request: Request) -> Answer:
    """Delete every match, all or none, without a match nothing: 204."""
    tenant, resource_type = context.caller.tenant, str(request.target.resource_type)
    what = "The condition of the deletion"
    query = check_condition(request.target.query, what)
    await take_locks(session, [condition_lock(tenant, resource_type, query)])
    matches = await find_all(context, session, resource_type, query, what)
    locked = await lock(session, tenant, resource_type, [m.id for m in matches]) if matches else {}
    versions = [check_unchanged(resource_type, m, locked.get(m.id)) for m in matches]
    if not versions:
        check_preconditions(request.conditions, None)
    for version in versions:
        check_writable(context, "delete", resource_type, version)
        check_preconditions(request.conditions, version)
    now = later(context.now, *versions)
    changes = [prepare_delete(resource_type, version, now) for version in versions]
    await write_changes(context, session, changes)
    if len(changes) != 1:
        return Answer(204, None, resource_type, deleted=len(changes))
    return Answer(204, None, resource_type, changes[0].id, changes[0].version, deleted=1)


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Delete a resource, keeping its history: 204, also when it is gone already; 404 when it never existed.

    A conditional deletion must be in a transaction.
    """
    resource_type, id_ = str(request.target.resource_type), request.target.id
    require_grant(context.caller, "delete", resource_type)
    if id_ is None:
        return await _run_conditional(context, session, request)
    current = await read_current(context, session, resource_type, id_)
    if current is None:
        raise NotFound(f"{resource_type}/{id_} is not known.")
    check_writable(context, "delete", resource_type, current)
    check_preconditions(request.conditions, current)
    if current.content is None:
        return Answer(204, None, resource_type, id_, current.version)
    change = prepare_delete(resource_type, current, later(context.now, current))
    await write_changes(context, session, [change])
    return Answer(204, None, resource_type, id_, change.version, deleted=1)
