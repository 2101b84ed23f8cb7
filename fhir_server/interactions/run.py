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
    delete,
    history_instance,
    operation,
    read,
    search_type,
    transaction,
    update,
    vread,
)
from fhir_server.interactions.context import Context
from fhir_server.interactions.persist import persist
from fhir_server.interactions.request import Answer, Request
from fhir_server.store.database import Session

Run = Callable[[Context, Session, Request], Awaitable[Answer]]

INTERACTIONS: dict[str, Run] = {
    "read": read.run,
    "vread": vread.run,
    "create": create.run,
    "update": update.run,
    "delete": delete.run,
    "history-instance": history_instance.run,
    "search-type": search_type.run,
}


def needs_transaction(request: Request) -> bool:
    """Tell whether a request takes more than one statement that must stand together."""
    target = request.target
    return request.conditions.if_none_exist is not None or (target.code in ("update", "delete") and target.id is None)


async def run(context: Context, request: Request, *, representation: bool = False) -> Answer:
    """Answer one request. ``representation`` asks a Bundle's response for the resources too."""
    code = request.target.code
    if code == "transaction":
        return await _run_bundle(context, request.body or b"", representation=representation)
    if code == "operation":
        return await operation.run(context, request)
    if code == "capabilities":
        return capabilities.run(context)

    async def attempt(context: Context) -> Answer:
        if code == "search-type":
            lend = context.database.searching
        elif context.contended or needs_transaction(request):
            lend = context.database.transaction
        else:
            lend = context.database.session
        async with lend() as session:
            return await INTERACTIONS[code](context, session, request)

    return await persist(context, attempt)


async def _run_bundle(context: Context, body: bytes, *, representation: bool) -> Answer:
    """Run a transaction or batch Bundle."""
    refused: dict[int, FhirError] = {}
    try:
        bundle = decode(body, "Bundle")
    except InvalidResource as refusal:
        bundle, refused = batch.spare_entries(body, refusal)
    if bundle.get("type") == "batch":
        return await batch.run(context, bundle, refused, run, representation=representation)
    if bundle.get("type") != "transaction":
        raise InvalidRequest(
            f"A Bundle of type {bundle.get('type')} can't be processed here; send a batch or transaction.",
            code="value",
            expression="Bundle.type",
        )
    return await _run_transaction(context, body, bundle, representation=representation)


async def _run_transaction(context: Context, body: bytes, bundle: dict[str, Any], *, representation: bool) -> Answer:
    fresh: dict[str, Any] | None = bundle

    async def attempt(context: Context) -> Answer:
        nonlocal fresh
        # References are rewritten in place, so another attempt starts from the bytes again.
        parsed, fresh = fresh if fresh is not None else decode(body, "Bundle"), None
        async with context.database.transaction() as session:
            return await transaction.run(context, session, parsed, representation=representation)

    return await persist(context, attempt)
