"""$reindex: makes index entries of stored resources anew, so that they are found by SearchParameters that came later.

An operation of this server's own; it goes on in the background, https://hl7.org/fhir/R4/async.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from conformance.definitions import resource_types
from fhir_server.errors import InvalidRequest
from fhir_server.operations.built_in import BuiltIn, ServerContext, Started
from fhir_server.operations.contract import Invocation
from fhir_server.operations.definitions import load
from fhir_server.operations.parameters import values
from fhir_server.store.database import Session
from fhir_server.store.jobs import add_job

KIND = "reindex"
LANE = "reindex"
"""Jobs of a tenant's lane run one after the other."""


@dataclass(frozen=True, slots=True)
class ReindexInput:
    """The resource types to reindex; none stands for all. References below ``base_url`` are the server's own."""

    types: list[str] = field(default_factory=list)
    base_url: str = ""


async def add_reindexing(
    session: Session, tenant: int, subject: str, types: Sequence[str], base_url: str, now: datetime
) -> str:
    """Store the job that reindexes some types, all if there are none, and return its id.

    Raises InvalidRequest for an unknown type, Unavailable when too many jobs wait.
    """
    known = frozenset(resource_types())
    for number, name in enumerate(types):
        if name not in known:
            raise InvalidRequest(
                f"'{name[:64]}' is not a FHIR R4 resource type.",
                code="value",
                expression=f"Parameters.parameter.where(name = 'type')[{number}]",
            )
    input_ = msgspec.json.encode(ReindexInput(list(dict.fromkeys(types)), base_url))
    return await add_job(session, tenant, subject, KIND, input_, lane=LANE, repeatable=True, now=now)


async def _reindex(invocation: Invocation, context: ServerContext) -> Started:
    """Start the job."""
    types = [invocation.resource_type] if invocation.resource_type else values(invocation.parameters, "type")
    caller = context.caller
    async with context.session() as session:
        return Started(
            await add_reindexing(session, caller.tenant, caller.subject, types, context.base_url, context.now)
        )


REINDEX = BuiltIn(load("reindex"), _reindex, starts_job=True)
