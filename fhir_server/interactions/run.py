"""Running a request: which module answers, on what kind of session, and again when another request was faster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from conformance.decode import decode
from conformance.issues import InvalidResource, operation_outcome
from fhir_server.errors import Conflict, FhirError, InvalidRequest
from fhir_server.interactions import (
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
from fhir_server.interactions.bundle import make_bundle
from fhir_server.interactions.context import Context, format_instant, instant
from fhir_server.interactions.entries import Entry, locate, parse_entries, response_entry
from fhir_server.interactions.request import Answer, Request
from fhir_server.store.database import Session

ATTEMPTS = 6
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


async def persist(context: Context, attempt: Callable[[Context], Awaitable[Answer]]) -> Answer:
    """Run an attempt; when it meets a concurrent write, run it again, from the start, a little later."""
    for number in range(ATTEMPTS):
        try:
            return await attempt(context if number == 0 else replace(context, now=instant()))
        except Conflict:
            if number + 1 == ATTEMPTS:
                raise
            await asyncio.sleep(random.uniform(0.002, 0.01) * 2**number)  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")


async def run(context: Context, request: Request, *, representation: bool = False) -> Answer:
    """Answer one request. ``representation`` asks a Bundle's response for the resources too."""
    code = request.target.code
    if code == "transaction":
        return await run_bundle(context, request, representation=representation)
    if code == "operation":
        return await operation.run(context, request)
    if code == "capabilities":
        return capabilities.run(context)

    async def attempt(context: Context) -> Answer:
        lend = context.database.transaction if needs_transaction(request) else context.database.session
        async with lend() as session:
            return await INTERACTIONS[code](context, session, request)

    return await persist(context, attempt)


async def run_bundle(context: Context, request: Request, *, representation: bool) -> Answer:
    """Run a transaction or batch Bundle."""
    body = request.body or b""
    bundle = decode(body, "Bundle")
    if bundle["type"] == "batch":
        return await run_batch(context, bundle, representation=representation)
    if bundle["type"] != "transaction":
        raise InvalidRequest(
            f"A Bundle of type {bundle['type']} can't be processed here; send a batch or transaction.",
            code="value",
            expression="Bundle.type",
        )
    fresh: dict[str, Any] | None = bundle

    async def attempt(context: Context) -> Answer:
        nonlocal fresh
        # References are rewritten in place, so another attempt starts from the bytes again.
        parsed, fresh = fresh if fresh is not None else decode(body, "Bundle"), None
        async with context.database.transaction() as session:
            return await transaction.run(context, session, parsed, representation=representation)

    return await persist(context, attempt)


async def run_batch(context: Context, bundle: dict[str, Any], *, representation: bool) -> Answer:
    """Run a batch: each entry by itself; one that fails tells so in its place, https://hl7.org/fhir/R4/http.html#batch."""
    entries = []
    for parsed in parse_entries(bundle):
        try:
            if isinstance(parsed, FhirError):
                raise parsed
            answer = await _run_entry(context, parsed)
            is_read = parsed.request.target.code not in transaction.WRITES
            entries.append(response_entry(answer, representation=representation or is_read))
        except FhirError as error:
            outcome = operation_outcome(error.issues)
            entries.append({"response": {"status": str(error.status), "outcome": outcome}})
    return Answer(200, make_bundle("batch-response", format_instant(context.now), [], entries))


async def _run_entry(context: Context, entry: Entry) -> Answer:
    try:
        return await run(context, entry.request)
    except InvalidResource as error:
        raise locate(InvalidRequest.of(error.issues), entry.expression) from error
    except FhirError as error:
        raise locate(error, entry.expression) from error

