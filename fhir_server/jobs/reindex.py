"""The job that makes the index entries of stored resources anew, https://hl7.org/fhir/R4/search.html.

It is due after SearchParameters changed or the format of the index did. Batches follow the immutable keys; each is a short
transaction that also notes how far the job is, so after a crash it goes on from there. Readers never wait. A resource that
is written meanwhile is left to its writer, who indexes by the same parameters: the job begins only when every process knows
them and every transaction that began before has ended.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import msgspec

from conformance.decode import decode, encode
from conformance.definitions import resource_types
from conformance.issues import Issue
from fhir_server.auth.caller import Caller
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.interactions.deferred import result_bundle
from fhir_server.interactions.failures import outcome
from fhir_server.operations.reindex import KIND, LANE, ReindexInput
from fhir_server.search.contained import has_contained, index_contained
from fhir_server.search.index import index
from fhir_server.search.tenant_parameters import GRACE_SECONDS
from fhir_server.search.user_parameters import definition_of, types_of
from fhir_server.store import index_state, reindex
from fhir_server.store.database import Session
from fhir_server.store.jobs import Job, add_job, is_scheduled, note_progress

BATCH = 200
AUTOMATIC = "praxis"
"""The subject of jobs that the server starts by itself."""

_POLL_SECONDS = 0.2
_LOCK = 0x52454958  # any fixed number; only scheduling takes it


@dataclass(slots=True)
class Position:
    """How far a job is: the types still to do, the first of them up to ``key``.

    ``parameters`` are the SearchParameters that it covers: id, version, base.
    """

    base_url: str
    types: list[str]
    parameters: list[tuple[str, int, list[str]]]
    key: int = reindex.FIRST_KEY
    total: int = 0
    seen: int = 0
    replaced: int = 0
    finished: dict[str, int] = field(default_factory=dict)

    @property
    def progress(self) -> str:
        """What the job's owner is told."""
        if not self.types:
            return "finishing"
        return f"{self.types[0]}: {self.seen:,} of about {self.total:,}, {len(self.types) - 1} more types"


class ReindexJob:
    """Runs reindexing jobs; one of a tenant at a time, see ``LANE``."""

    def __init__(self, server: Server, *, batch: int = BATCH, grace: float = GRACE_SECONDS) -> None:
        self._server = server
        self._batch = batch
        self._grace = grace

    async def __call__(self, job: Job) -> bytes:
        """Run or go on with a job; raises LostJob, Conflict, Unavailable."""
        if job.position is None:
            position = await self._begin(job)
        else:
            position = msgspec.json.decode(job.position, type=Position)
            await self._server.tenant_parameters.refresh()
        while position.types:
            await self._server.tenant_parameters.prepare(job.tenant)
            await self._step(job, position)
        async with self._server.database.transaction() as session:
            await _settle(session)
            await index_state.count_generation(session, job.tenant)
        return _result(self._context(job), position)

    def _context(self, job: Job) -> Context:
        return Context(self._server, Caller(job.subject, job.tenant, ()), "", instant())

    async def _begin(self, job: Job) -> Position:
        """Wait until whoever writes indexes by the parameters that are there now, and return the first position."""
        wanted = msgspec.json.decode(job.input, type=ReindexInput)
        async with self._server.database.session() as session:
            stored = await index_state.read_parameters(session, job.tenant)
            waited = await index_state.seconds_since_change(session, job.tenant)
        position = Position(wanted.base_url, wanted.types or list(resource_types()), [_covered(s) for s in stored])
        await asyncio.sleep(max(0.0, self._grace - waited))
        async with self._server.database.session() as session:
            now = await reindex.read_clock(session)
            while await reindex.count_older_transactions(session, now):  # noqa: ASYNC110 - other processes' transactions
                await asyncio.sleep(_POLL_SECONDS)
            position.total = await reindex.count_resources(session, job.tenant, position.types[0])
        await self._server.tenant_parameters.refresh()
        return position

    async def _step(self, job: Job, position: Position) -> None:
        """Do the next batch, or finish a type after its last one."""
        resource_type, tenant = position.types[0], job.tenant
        parameters = self._server.tenant_parameters.of(tenant)
        async with self._server.database.session() as session:
            stored = await reindex.read_after(session, tenant, resource_type, position.key, self._batch)
            read = [
                (s, index(resource_type, decode(s.content, resource_type), tenant, parameters, position.base_url))
                for s in stored
            ]
            containing = [
                (s, index_contained(decode(s.content, resource_type), tenant, parameters, position.base_url))
                for s in stored
                if has_contained(s.content)
            ]
            async with session.transaction():
                # First of all: who has lost the job must not write.
                await note_progress(session, job, position.progress, msgspec.json.encode(position))
                replaced = await reindex.replace_entries(session, tenant, resource_type, read)
                await reindex.replace_contained_entries(session, tenant, resource_type, containing)
                after = _advance(position, stored, replaced, last=len(stored) < self._batch)
                if after.types != position.types:
                    covered = [(i, v) for i, v, base in position.parameters if resource_type in types_of(base)]
                    await index_state.mark_indexed(session, tenant, resource_type, covered)
                    if position.seen or stored:
                        await index_state.count_generation(session, tenant)
                    if after.types:
                        after.total = await reindex.count_resources(session, tenant, after.types[0])
                await note_progress(session, job, after.progress, msgspec.json.encode(after))
        for name in Position.__slots__:
            setattr(position, name, getattr(after, name))


def _covered(stored: index_state.StoredParameter) -> tuple[str, int, list[str]]:
    return stored.id, stored.version, list(definition_of(decode(stored.content, "SearchParameter")).base)


def _advance(position: Position, stored: list[reindex.StoredResource], replaced: int, *, last: bool) -> Position:
    """Return the position after a batch."""
    seen, done = position.seen + len(stored), position.replaced + replaced
    if not last:
        return replace(position, key=stored[-1].key, seen=seen, replaced=done)
    resource_type, *rest = position.types
    finished = {**position.finished, resource_type: done} if seen else position.finished
    return Position(position.base_url, rest, position.parameters, finished=finished)


def _result(context: Context, position: Position) -> bytes:
    counts = [f"{name} {count:,}" for name, count in position.finished.items()]
    text = f"Index entries made anew: {', '.join(counts) or 'none, there are no such resources'}."
    resource = outcome([Issue("information", "informational", text)])
    return result_bundle(context, {"resource": msgspec.Raw(encode(resource)), "response": {"status": "200 OK"}})


async def schedule(server: Server, base_url: str) -> int:
    """Start jobs for tenants whose entries have an older format than this version writes; return how many.

    ``base_url`` is the server's own address as clients see it, empty when it isn't set.
    """
    started = 0
    async with server.database.transaction() as session:
        await session.fetch("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        if not (await index_state.read_generations(session)).outdated:
            return 0
        for tenant in await index_state.read_tenants(session):
            types = sorted(await index_state.read_outdated(session, tenant))
            if types and not await is_scheduled(session, tenant, AUTOMATIC, KIND):
                input_ = msgspec.json.encode(ReindexInput(types, base_url))
                await add_job(session, tenant, AUTOMATIC, KIND, input_, lane=LANE, repeatable=True, now=instant())
                started += 1
        await _settle(session)
    return started


async def _settle(session: Session) -> None:
    """Note it when nothing of an older format is left."""
    if not (await index_state.read_generations(session)).outdated:
        return
    for tenant in await index_state.read_tenants(session):
        if await index_state.read_types(session, tenant, await index_state.read_outdated(session, tenant)):
            return
    await index_state.settle_format(session)
