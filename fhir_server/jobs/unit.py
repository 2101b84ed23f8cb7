"""One transaction in which a job reads, searches and writes FHIR and does its own bookkeeping.

The operations contract (``fhir_server.operations.contract.Context``) on a session that is already inside a transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from conformance.decode import check, decode
from fhir_server.interactions import transaction
from fhir_server.interactions.conditions import NO_CURSORS, condition_lock
from fhir_server.interactions.context import Context, instant
from fhir_server.interactions.read import read_reference
from fhir_server.operations.contract import Resource
from fhir_server.search.execute import search
from fhir_server.store.database import Session

MAX_MATCHES = 1000


class SessionContext:
    """The contract's Context inside one transaction. A search returns one page: at most 1,000 matches."""

    def __init__(self, context: Context, session: Session) -> None:
        self._context = context
        self._session = session

    @property
    def now(self) -> datetime:
        """The instant the transaction began."""
        return self._context.now

    @property
    def subject(self) -> str:
        """On whose behalf."""
        return self._context.caller.subject

    async def read(self, reference: str) -> Resource | None:
        """Return the current version of ``Type/id`` that the caller may see, or None."""
        return await read_reference(self._context, self._session, reference)

    async def search(
        self, resource_type: str, parameters: Sequence[tuple[str, str]], *, limit: int = MAX_MATCHES
    ) -> list[Resource]:
        """Return the matches up to ``limit``."""
        counted = [*parameters, ("_count", str(min(limit, MAX_MATCHES)))]
        caller = self._context.caller
        await self._session.plan_by_value()
        page = await search(
            self._session,
            caller,
            resource_type,
            counted,
            cursor_key=NO_CURSORS,
            strict=True,
            registry=self._context.parameters,
            base_url=self._context.base_url,
        )
        return [decode(m.content, m.resource_type) for m in page.matches]

    async def hold(self, identifiers: Sequence[tuple[str, str]]) -> None:
        """Take the locks under which conditional creates and updates by these identifiers take turns."""
        tenant = self._context.caller.tenant
        locks = {condition_lock(tenant, type_, [("identifier", token)]) for type_, token in identifiers}
        # In the one order that everybody uses, so that nobody deadlocks.
        await self._session.fetch("SELECT pg_advisory_xact_lock(k) FROM unnest(%s::int8[]) AS k", (sorted(locks),))

    async def write(self, bundle: Resource) -> Resource:
        """Run a transaction Bundle as part of this transaction."""
        check(bundle)
        answer = await transaction.run(self._context, self._session, bundle)
        return decode(answer.content or b"", "Bundle")


@dataclass(frozen=True, slots=True)
class TransactionUnit:
    """A session inside a transaction, and the context on it."""

    session: Session
    context: SessionContext


class Units:
    """Begins such transactions for one caller: ``async with units() as unit``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[TransactionUnit]:
        """Commit at the end, roll back on any exception."""
        now = Context(self._context.server, self._context.caller, self._context.base_url, instant())
        await now.server.tenant_parameters.prepare(now.caller.tenant)
        async with self._context.database.transaction() as session:
            yield TransactionUnit(session, SessionContext(now, session))
