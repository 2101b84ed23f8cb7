"""vread, https://hl7.org/fhir/R4/http.html#vread."""

from __future__ import annotations

from fhir_server.interactions.context import Context
from fhir_server.interactions.official import find_official
from fhir_server.interactions.prepare import require_grant
from fhir_server.interactions.read import answer_version
from fhir_server.interactions.request import Answer, Request
from fhir_server.store.database import Session
from fhir_server.store.read import vread


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Return one version, current or past."""
    target = request.target
    resource_type, id_ = str(target.resource_type), str(target.id)
    require_grant(context.caller, "read", resource_type)
    found = await vread(session, context.caller.tenant, resource_type, id_, target.version_id or 0)
    if found is None and target.version_id == 1:
        found = await find_official(context, resource_type, id_)
    return answer_version(context, request, found)
