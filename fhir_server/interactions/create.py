"""create and conditional create, https://hl7.org/fhir/R4/http.html#create."""

from __future__ import annotations

from conformance.decode import decode
from fhir_server.interactions.conditions import condition_lock, find_one, parse_condition, take_locks
from fhir_server.interactions.context import Context
from fhir_server.interactions.prepare import prepare_write, require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.store.database import Session
from fhir_server.store.keys import new_id
from fhir_server.store.read import read
from fhir_server.store.write import Change, write


def answer_change(change: Change) -> Answer:
    """Answer a write: 201 for a new resource (or one brought back to life), 200 for a new version."""
    created = change.expected_version is None or change.revives
    return Answer(
        201 if created else 200,
        change.content,
        change.resource_type,
        change.id,
        change.version,
        change.last_updated,
        created=created,
    )


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Store a new resource under a fresh id. With ``If-None-Exist`` the session must be in a transaction."""
    resource_type = str(request.target.resource_type)
    require_grant(context.caller, "create", resource_type)
    resource = request.resource if request.resource is not None else decode(request.body or b"", resource_type)
    if request.conditions.if_none_exist is not None:
        query = parse_condition(request.conditions.if_none_exist, resource_type, "If-None-Exist")
        await take_locks(session, [condition_lock(context.caller.tenant, resource_type, query)])
        existing = await find_one(session, context.caller, resource_type, query, "If-None-Exist")
        if existing is not None:
            found = await read(session, context.caller.tenant, resource_type, existing)
            if found is not None and found.content is not None:
                return Answer(200, found.content, resource_type, existing, found.version, found.last_updated)
    change = prepare_write(context.caller, resource, new_id(), context.now, replaces=None, method="C")
    await write(session, context.caller.tenant, [change])
    return answer_change(change)
