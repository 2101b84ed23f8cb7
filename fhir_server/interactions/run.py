"""Running a request: which module answers, and on what kind of session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from conformance.decode import decode
from conformance.issues import InvalidResource
from fhir_server.errors import FhirError, InvalidRequest
from fhir_server.interactions import (
    batch,
    capabilities,
    create,
    deferred,
    delete,
    history,
    operation,
    patch,
    read,
    search_compartment,
    search_system,
    search_type,
    terminology_capabilities,
    transaction,
    update,
    vread,
)
from fhir_server.interactions.conditional_references import may_have_conditions
from fhir_server.interactions.context import Context
from fhir_server.interactions.persist import persist
from fhir_server.interactions.request import SEARCHES, WRITES, Answer, Request
from fhir_server.store.database import Session
from fhir_server.store.packages import COUNTED_TYPES

Run = Callable[[Context, Session, Request], Awaitable[Answer]]

Settle = Callable[[Session, Answer], Awaitable[None]]
"""Does what must commit together with a transaction's changes."""

INTERACTIONS: dict[str, Run] = {
    "read": read.run,
    "vread": vread.run,
    "create": create.run,
    "update": update.run,
    "patch": patch.run,
    "delete": delete.run,
    "history-instance": history.run,
    "history-type": history.run,
    "history-system": history.run,
    "search-type": search_type.run,
    "search-system": search_system.run,
    "search-compartment": search_compartment.run,
}


def needs_transaction(context: Context, request: Request) -> bool:
    """Tell whether a request takes more than one statement that must stand together."""
    target = request.target
    if target.code not in WRITES:
        return False
    return (
        context.contended
        or context.server.enforce_references
        or request.conditions.if_none_exist is not None
        or (target.id is None and target.code != "create")
        or may_have_conditions(request)
    )


async def run(
    context: Context, request: Request, *, representation: bool = False, settle: Settle | None = None
) -> Answer:
    """Answer one request. ``representation`` asks a Bundle's response for the resources too.

    ``settle`` is called with the answer of a transaction before it commits, and on its session.
    """
    tenant_parameters = context.server.tenant_parameters
    if not tenant_parameters.is_ready(context.caller.tenant):
        await tenant_parameters.prepare(context.caller.tenant)
    writes = tenant_parameters.writes
    answer = await _dispatch(context, request, representation=representation, settle=settle)
    if tenant_parameters.writes != writes or (
        request.target.code == "delete" and request.target.resource_type in COUNTED_TYPES
    ):
        tenant_parameters.expect_change()
    return answer


async def _dispatch(context: Context, request: Request, *, representation: bool, settle: Settle | None) -> Answer:
    code = request.target.code
    if code == "transaction":
        return await _run_bundle(context, request, representation=representation, settle=settle)
    if code == "operation":
        return await operation.run(context, request)
    if code == "capabilities":
        if ("mode", "terminology") in request.target.query:
            return await terminology_capabilities.run(context)
        return await capabilities.run(context)
    if code == "job-status":
        return await deferred.status(context, str(request.target.id))
    if code == "job-cancel":
        return await deferred.cancel(context, str(request.target.id))

    async def attempt(context: Context) -> Answer:
        if code in SEARCHES:
            lend = context.database.searching
        elif needs_transaction(context, request):
            lend = context.database.transaction
        else:
            lend = context.database.session
        async with lend() as session:
            return await INTERACTIONS[code](context, session, request)

    return await persist(context, attempt)


async def _run_bundle(context: Context, request: Request, *, representation: bool, settle: Settle | None) -> Answer:
    """Run a transaction or batch Bundle."""
    body, strict = request.body or b"", request.strict
    refused: dict[int, FhirError] = {}
    try:
        bundle = decode(body, "Bundle")
    except InvalidResource as refusal:
        bundle, refused = batch.spare_entries(body, refusal)
    if bundle.get("type") == "batch":
        return await batch.run(context, bundle, refused, run, representation=representation, strict=strict)
    if bundle.get("type") != "transaction":
        raise InvalidRequest(
            f"A Bundle of type {bundle.get('type')} can't be processed here; send a batch or transaction.",
            code="value",
            expression="Bundle.type",
        )
    return await _run_transaction(context, body, bundle, representation=representation, strict=strict, settle=settle)


async def _run_transaction(
    context: Context,
    body: bytes,
    bundle: dict[str, Any],
    *,
    representation: bool,
    strict: bool,
    settle: Settle | None,
) -> Answer:
    fresh: dict[str, Any] | None = bundle

    async def attempt(context: Context) -> Answer:
        nonlocal fresh
        # References are rewritten in place, so another attempt starts from the bytes again.
        parsed, fresh = fresh if fresh is not None else decode(body, "Bundle"), None
        async with context.database.transaction() as session:
            answer = await transaction.run(context, session, parsed, representation=representation, strict=strict)
            if settle is not None:
                await settle(session, answer)
            return answer

    return await persist(context, attempt)
