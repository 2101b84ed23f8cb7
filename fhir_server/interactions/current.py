"""The version that a write replaces, and what must be true of it, https://hl7.org/fhir/R4/http.html#concurrency."""

from __future__ import annotations

from datetime import datetime

from conformance.decode import decode
from fhir_server.auth.caller import Interaction
from fhir_server.errors import Forbidden
from fhir_server.interactions.context import Context
from fhir_server.interactions.prepare import has_criteria, is_granted
from fhir_server.store.database import Session
from fhir_server.store.read import Version, lock, read


async def read_current(context: Context, session: Session, resource_type: str, id_: str) -> Version | None:
    """Return the current version; its row is locked when others are known to write it (then in a transaction)."""
    tenant = context.caller.tenant
    if context.contended:
        return (await lock(session, tenant, resource_type, [id_])).get(id_)
    return await read(session, tenant, resource_type, id_)


def check_writable(context: Context, interaction: Interaction, resource_type: str, current: Version | None) -> None:
    """Raise Forbidden unless the caller's grants cover what it is about to replace, and not only what it sends."""
    if current is None or current.content is None or not has_criteria(context.caller, interaction, resource_type):
        return
    if not is_granted(context, interaction, decode(current.content, resource_type)):
        raise Forbidden(f"{context.caller.subject} may not {interaction} {resource_type}/{current.id}.")


def later(now: datetime, *replaced: Version | None) -> datetime:
    """Return ``now``, or the latest time of the versions to replace: time never runs backwards in a history."""
    return max([now, *(v.last_updated for v in replaced if v is not None)])
