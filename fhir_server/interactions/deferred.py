"""``Prefer: respond-async``: a request becomes a background job, https://hl7.org/fhir/R4/async.html.

The result has the form of https://hl7.org/fhir/R5/async-bundle.html: a batch-response Bundle with the one response.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from conformance.decode import encode
from conformance.issues import Issue
from fhir_server.auth.caller import Caller
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions.bundle import make_bundle
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.failures import outcome
from fhir_server.interactions.request import Answer, Request
from fhir_server.operations.built_in import BuiltIn
from fhir_server.operations.registry import find
from fhir_server.store import jobs

REQUEST = "request"
"""The kind of job that runs a client's request."""

_READS = frozenset(("search-type", "search-system", "history-instance", "history-type", "history-system"))
_DEFERRABLE = _READS | {"operation", "transaction"}


@dataclass(frozen=True, slots=True)
class DeferredRequest:
    """A request as it waits: what was asked (its body is kept apart), by whom, and at which address."""

    request: Request
    caller: Caller
    base_url: str
    representation: bool


class _Head(msgspec.Struct):
    type: str | None = None


def is_deferrable(context: Context, request: Request) -> bool:
    """Tell whether a request may be answered later; of others ``respond-async`` is a preference that isn't met."""
    if request.target.code == "operation":
        target = request.target
        operation = find(context.server.operations, str(target.operation), target.resource_type, target.id)
        return operation is not None and not (isinstance(operation, BuiltIn) and operation.starts_job)
    return request.target.code in _DEFERRABLE


def _is_repeatable(context: Context, request: Request) -> bool:
    """Tell whether a request may be begun again when the process that ran it died.

    So may those that change nothing, and transactions, which commit together with their result.
    """
    target = request.target
    if target.code in _READS or target.safe:
        return True
    if target.code == "operation":
        operation = find(context.server.operations, str(target.operation), target.resource_type, target.id)
        return operation is not None and operation.definition.get("affectsState") is False
    try:
        return msgspec.json.decode(request.body or b"", type=_Head).type == "transaction"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True  # it will be refused


async def defer(context: Context, request: Request, *, representation: bool) -> Answer:
    """Store a request as a job of the caller's; 202 with the job's id."""
    deferred = DeferredRequest(replace(request, body=None), context.caller, context.base_url, representation)
    async with context.database.session() as session:
        id_ = await jobs.add_job(
            session,
            context.caller.tenant,
            context.caller.subject,
            REQUEST,
            msgspec.json.encode(deferred),
            body=request.body,
            repeatable=_is_repeatable(context, request),
            now=context.now,
        )
    return accepted(id_)


def accepted(job: str) -> Answer:
    """Answer what goes on in the background: 202."""
    return Answer(
        202, _told("The request is accepted; Content-Location says where its state can be asked for."), job=job
    )


async def status(context: Context, id_: str) -> Answer:
    """Answer for the state of one of the caller's jobs: 202 while it goes on, then 200 with its result."""
    async with context.database.session() as session:
        state = await jobs.read_job(session, context.caller.tenant, context.caller.subject, id_)
    if state is None:
        raise NotFound("There is no such background job of yours; results are kept for a day.")
    if state.status == "cancelled":
        raise Gone("The background job was cancelled.")
    if state.result is not None:
        # Who learns that reindexing is through should see it.
        context.server.tenant_parameters.expect_change()
        return Answer(200, state.result)
    return Answer(202, _told(f"The job is not finished: {state.progress}."), progress=state.progress)


async def cancel(context: Context, id_: str) -> Answer:
    """Cancel one of the caller's jobs, or forget its result: 202."""
    async with context.database.session() as session:
        if not await jobs.cancel_job(session, context.caller.tenant, context.caller.subject, id_):
            raise NotFound("There is no such background job of yours.")
    return Answer(202, _told("The background job is cancelled and its result forgotten."))


def result_bundle(context: Context, entry: dict[str, Any]) -> bytes:
    """Return the Bundle that carries the response of a finished job."""
    return make_bundle("batch-response", format_instant(context.now), [], [entry])


def _told(text: str) -> bytes:
    return encode(outcome([Issue("information", "informational", text)]))
