"""The one way to change what is stored: writes, then holds the outcome to the server's policy on references.

https://hl7.org/fhir/R4/http.html#integrity. Interactions, operations and the HL7 v2 feed all write through this module, so
none of them can pass the policy by; a test sees to it that nothing else calls the store's writing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from conformance.decode import decode
from fhir_server.interactions.context import Context
from fhir_server.interactions.failures import Refusals
from fhir_server.interactions.integrity import check_references, check_referrers
from fhir_server.store.amend import amend
from fhir_server.store.copy import copy_new
from fhir_server.store.database import Session
from fhir_server.store.write import Change, write


async def write_changes(
    context: Context, session: Session, changes: Sequence[Change], places: Mapping[str, str] | None = None
) -> None:
    """Write all changes, each of another resource; the session must be in a transaction where there are several or a policy.

    ``places`` names, by address (``Type/id``), the Bundle's entry that a change comes from. Raises Conflict when a change meets
    another version than it expects; under enforcement Unprocessable and StillReferenced, with all that is wrong.
    """
    await write(session, context.caller.tenant, changes)
    await _hold(context, session, changes, places or {})


async def write_new(context: Context, session: Session, changes: Sequence[Change]) -> None:
    """Write many new resources, in a transaction, where their texts are in the dictionaries already (``store.texts``).

    For bulk loads, which keep no policy on references: to one that does it is refused with a ValueError. Raises Conflict when
    something is stored already under one of the ids.
    """
    if context.server.enforce_references:
        raise ValueError("a bulk load can't hold to a policy on references")
    await copy_new(session, context.caller.tenant, changes)


async def amend_current(context: Context, session: Session, change: Change) -> None:
    """Replace the current version by other content of the same version; raises as :func:`write_changes` does."""
    await amend(session, context.caller.tenant, change)
    await _hold(context, session, [change], {})


async def _hold(context: Context, session: Session, changes: Sequence[Change], places: Mapping[str, str]) -> None:
    """Raise with every reference that would lead nowhere once the changes are committed."""
    if not context.server.enforce_references:
        return
    kept, deleted = {}, []
    for change in changes:
        address = f"{change.resource_type}/{change.id}"
        if change.content is None:
            deleted.append(address)
        else:
            kept[address] = decode(change.content, change.resource_type)
    refusals = Refusals()
    for refused in (await check_references(context, session, kept), await check_referrers(context, session, deleted)):
        for address, error in refused.items():
            with refusals.at(places.get(address)):
                raise error
    refusals.settle()
