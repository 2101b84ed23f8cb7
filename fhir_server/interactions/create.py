"""create and conditional create, https://hl7.org/fhir/R4/http.html#create."""

from __future__ import annotations

from fhir_server.interactions.conditional_references import take_resource
from fhir_server.interactions.conditions import condition_lock, find_one, parse_condition, take_locks
from fhir_server.interactions.context import Context
from fhir_server.interactions.prepare import require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.interactions.save import save, without_unreadable
from fhir_server.store.database import Session
from fhir_server.store.keys import new_id


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Store a new resource under a fresh id. With ``If-None-Exist`` the session must be in a transaction."""
    resource_type = str(request.target.resource_type)
    require_grant(context.caller, "create", resource_type)
    resource = await take_resource(context, session, request)
    if request.conditions.if_none_exist is not None:
        query = parse_condition(request.conditions.if_none_exist, resource_type, "If-None-Exist")
        await take_locks(session, [condition_lock(context.caller.tenant, resource_type, query)])
        found = await find_one(context, session, resource_type, query, "If-None-Exist")
        if found is not None:
            there = Answer(200, found.content, resource_type, found.id, found.version, found.last_updated)
            return without_unreadable(context, there)
    return await save(context, session, resource, new_id(), context.now, replaces=None, method="C")
