"""``$expunge``: physical removal of versions and resources, on an instance, a type or the system.

R4 has no such operation; its parameters are those that other servers made customary. The definition is ours:
https://praxis.example/fhir/OperationDefinition/expunge
"""

from __future__ import annotations

from fhir_server.errors import Forbidden, InvalidRequest, NotFound
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation, Resource
from fhir_server.operations.definitions import load
from fhir_server.operations.parameters import value
from fhir_server.store.database import Session
from fhir_server.store.expunge import expunge_resources, expunge_versions, forget_loads
from fhir_server.store.read import read

DEFAULT_LIMIT = 1000
MOST = 2**31 - 1
"""What ``count`` can say; FHIR's integers have 32 bits."""


def _require_permission(invocation: Invocation, context: ServerContext) -> None:
    """Raise Forbidden unless a grant for the place allows it, one without criteria: what is gone can't be held to any."""
    where = invocation.resource_type or "*"
    if all(grant.criteria for grant in context.caller.grants_for("expunge", where)):
        raise Forbidden(f"{context.subject} may not expunge {invocation.resource_type or 'the server'}.")


async def expunge(invocation: Invocation, context: ServerContext) -> Resource:
    """Remove what the flags ask for and return the number of versions removed, as Parameters.

    Raises Forbidden without the permission, InvalidRequest when no flag is set or the limit is not positive, NotFound
    for an unknown instance.
    """
    _require_permission(invocation, context)
    parameters = invocation.parameters
    deleted = bool(value(parameters, "expungeDeletedResources"))
    previous = bool(value(parameters, "expungePreviousVersions"))
    everything = bool(value(parameters, "expungeEverything"))
    limit = value(parameters, "limit")
    if not (deleted or previous or everything):
        raise InvalidRequest(
            "Say what to remove: expungeDeletedResources, expungePreviousVersions or expungeEverything.",
            code="required",
        )
    if everything and invocation.resource_type is not None:
        raise InvalidRequest("expungeEverything is for the whole system: POST /$expunge.", code="not-supported")
    if limit is not None and limit < 1:
        raise InvalidRequest("limit must be positive.", code="value")

    async def attempt(session: Session) -> int:
        if everything:
            return await _remove_everything(session, context, limit)
        return await _remove(session, context, invocation, deleted, previous, limit or DEFAULT_LIMIT)

    count = await context.persist(attempt)
    return {"resourceType": "Parameters", "parameter": [{"name": "count", "valueInteger": min(count, MOST)}]}


async def _remove(
    session: Session, context: ServerContext, invocation: Invocation, deleted: bool, previous: bool, limit: int
) -> int:
    tenant, resource_type, id_ = context.caller.tenant, invocation.resource_type, invocation.id
    if resource_type is not None and id_ is not None and await read(session, tenant, resource_type, id_) is None:
        raise NotFound(f"{resource_type}/{id_} is not known.")
    count = 0
    if deleted:
        resources, count = await expunge_resources(session, tenant, resource_type, id_, deleted=True, limit=limit)
        limit -= resources
    if previous and limit > 0:
        count += await expunge_versions(session, tenant, resource_type, id_, limit=limit)
    return count


async def _remove_everything(session: Session, context: ServerContext, limit: int | None) -> int:
    tenant = context.caller.tenant
    _, count = await expunge_resources(session, tenant, None, None, deleted=False, limit=limit)
    await forget_loads(session, tenant)
    return count


EXPUNGE = BuiltIn(load("expunge"), expunge)
