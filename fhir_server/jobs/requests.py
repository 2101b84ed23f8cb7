"""The job that runs a client's request, https://hl7.org/fhir/R4/async.html, with the caller's own grants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from fhir_server.errors import FhirError, TooLarge
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.interactions.deferred import DeferredRequest, result_bundle
from fhir_server.interactions.entries import answer_entry
from fhir_server.interactions.failures import as_fhir_error, outcome
from fhir_server.interactions.request import Answer
from fhir_server.interactions.run import run
from fhir_server.store.database import Session
from fhir_server.store.jobs import Job, finish_job

MOST_BYTES = 64_000_000
"""The largest result that is kept."""

_SERVER_BUSY = (409, 503)
_DEFERRED = msgspec.json.Decoder(DeferredRequest)


class RequestJob:
    """Runs requests that were deferred. ``server`` is what they would have been answered by."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, job: Job) -> bytes | None:
        """Run the request; returns the result, or None when it was kept already, in the request's own transaction.

        Raises Conflict, Unavailable and LostJob.
        """
        deferred = _DEFERRED.decode(job.input)
        deferred.request.body = job.body
        context = Context(self._server, deferred.caller, deferred.base_url, instant())
        settled = False

        async def settle(session: Session, answer: Answer) -> None:
            nonlocal settled
            await finish_job(session, job, _bundle(context, answer))
            settled = True

        try:
            answer = await run(context, deferred.request, representation=deferred.representation, settle=settle)
            return None if settled else _bundle(context, answer)
        except Exception as error:  # what a client would have been told, whatever it is
            refused = as_fhir_error(error)
            if refused.status in _SERVER_BUSY:
                raise refused from error
            return failed(context, refused)


def failed(context: Context, error: FhirError) -> bytes:
    """Return the result of a job that ended in an error."""
    response = {"status": str(error.status), "outcome": outcome(error.issues)}
    return result_bundle(context, {"response": response})


def _bundle(context: Context, answer: Answer) -> bytes:
    result = result_bundle(context, answer_entry(answer, shown=True))
    if len(result) > MOST_BYTES:
        raise TooLarge(f"The result has more than {MOST_BYTES:,} bytes; ask for less at once.")
    return result


Work = Callable[[Job], Awaitable[bytes | None]]
"""Does a job and returns its result, or None when it has kept that itself."""
