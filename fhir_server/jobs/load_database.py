"""The load target in the server's own database: resources and ledger in one transaction.

A load doesn't enforce referential integrity. Its units come in the order of files and are shared among processes, so a
resource often precedes what it refers to; two that refer to each other from different units could never be loaded; and each
batch that holds a dangling reference would be halved down to it, which is most batches of most exports.
Nor is more than structure validated: what an old system wrote is what it is, and ``$validate`` or ``praxis validate`` tells the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from conformance.decode import decode
from fhir_server.auth.caller import DEFAULT_TENANT, Caller, Grant
from fhir_server.interactions import transaction
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.jobs.load_bulk import insert
from fhir_server.jobs.load_units import Unit
from fhir_server.jobs.load_work import LoadTarget, LoadTransaction, Stored
from fhir_server.store.database import Database, Session
from fhir_server.store.ledger import LedgerEntry, claim
from fhir_server.validation.policy import WritePolicy

CALLER = Caller("praxis load", DEFAULT_TENANT, (Grant(),))


@dataclass(frozen=True, slots=True)
class DatabaseTransaction:
    """A transaction on one session."""

    context: Context
    session: Session

    async def claim(self, entries: Sequence[LedgerEntry]) -> set[bytes]:
        """Enter units in the ledger; return the digests that were not there before."""
        return await claim(self.session, self.context.caller.tenant, entries)

    async def run(self, bundle: bytes) -> None:
        """Run a transaction Bundle; raises FhirError or InvalidResource when it is refused."""
        await transaction.apply(self.context, self.session, decode(bundle, "Bundle"))


@dataclass(frozen=True, slots=True)
class DatabaseTarget:
    """A database that units are loaded into."""

    server: Server
    caller: Caller

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[LoadTransaction]:
        """Begin a transaction."""
        await self.server.tenant_parameters.prepare(self.caller.tenant)
        async with self.server.database.transaction() as session:
            yield DatabaseTransaction(Context(self.server, self.caller, "", instant()), session)

    async def insert(self, units: Sequence[Unit]) -> Stored:
        """Store in bulk those units that are new and ask nothing of what is stored; tell which are left."""
        await self.server.tenant_parameters.prepare(self.caller.tenant)
        return await insert(Context(self.server, self.caller, "", instant()), units)


@asynccontextmanager
async def open_database(dsn: str, connections: int = 3, caller: Caller = CALLER) -> AsyncIterator[LoadTarget]:
    """Open the target on a database; ``functools.partial(open_database, dsn)`` is what a Loader takes.

    Raises Unavailable when the database does not answer.
    """
    database = Database(dsn, max_connections=connections, statement_timeout=300, idle_timeout=300)
    await database.open()
    try:
        server = Server(database, b"", {}, instant(), auth=False, validation=WritePolicy("off"))
        yield DatabaseTarget(server, caller)
    finally:
        await database.close()
