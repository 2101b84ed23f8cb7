"""Background jobs: claimed once, begun again or failed when their worker died, never done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import psycopg
import pytest

from conformance.decode import decode, encode
from fhir_server.auth.caller import DEFAULT_TENANT, Caller, Grant
from fhir_server.interactions import deferred
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.interactions.request import Request, Target
from fhir_server.interactions.run import run
from fhir_server.jobs.reindex import Position, ReindexJob
from fhir_server.jobs.requests import RequestJob
from fhir_server.jobs.runner import Runner
from fhir_server.operations.reindex import KIND, LANE, ReindexInput
from fhir_server.store.database import Database
from fhir_server.store.jobs import Job, LostJob, add_job, claim_job, extend_lease, note_progress, read_job

T = TypeVar("T")
Resource = dict[str, Any]
CALLER = Caller("tester", DEFAULT_TENANT, (Grant(),))


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Server]:
    database = Database(dsn, max_connections=6)
    await database.open()
    try:
        yield Server(database, b"key", {}, instant())
    finally:
        await database.close()


def work(dsn: str, act: Callable[[Server], Awaitable[T]]) -> T:
    """Run an act with a server of its own, on a database without jobs."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE job, indexed_parameter, search_parameter_generation")

    async def go() -> T:
        async with opened(dsn) as server:
            return await act(server)

    return asyncio.run(go())


def context_on(server: Server, caller: Caller = CALLER) -> Context:
    return Context(server, caller, "http://test/fhir", instant())


async def defer(server: Server, bundle: Resource) -> str:
    answer = await deferred.defer(
        context_on(server), Request(Target("transaction"), body=encode(bundle)), representation=False
    )
    assert answer.job is not None
    return answer.job


async def claim(server: Server, worker: str, lease: float = 60, kinds: tuple[str, ...] = (deferred.REQUEST,)) -> Job:
    async with server.database.session() as session:
        job = await claim_job(session, kinds, worker, lease)
    assert job is not None
    return job


async def result(server: Server, id_: str) -> Resource:
    async with server.database.session() as session:
        state = await read_job(session, DEFAULT_TENANT, "tester", id_)
    assert state is not None
    assert state.result is not None
    return dict(decode(state.result, "Bundle")["entry"][0])


async def put(server: Server, *ids: str) -> None:
    for id_ in ids:
        body = encode({"resourceType": "Patient", "id": id_, "name": [{"family": id_}]})
        await run(context_on(server), Request(Target("update", "Patient", id_), body=body))


def count_patients(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(*) FROM resource_patient").fetchone()
    assert row is not None
    return int(row[0])


def bundle_of(type_: str) -> Resource:
    entry = {"request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Patient"}}
    return {"resourceType": "Bundle", "type": type_, "entry": [entry]}


def test_a_transaction_whose_worker_died_is_begun_again(dsn: str) -> None:
    async def act(server: Server) -> Resource:
        id_ = await defer(server, bundle_of("transaction"))
        await claim(server, "dead", lease=0)
        assert await Runner(server, {deferred.REQUEST: RequestJob(server)}).run_one([deferred.REQUEST], asyncio.Event())
        return await result(server, id_)

    assert work(dsn, act)["response"]["status"] == "200 OK"
    assert count_patients(dsn) == 1


def test_a_batch_whose_worker_died_fails_and_says_why(dsn: str) -> None:
    async def act(server: Server) -> Resource:
        id_ = await defer(server, bundle_of("batch"))
        await claim(server, "dead", lease=0)
        assert await Runner(server, {deferred.REQUEST: RequestJob(server)}).run_one([deferred.REQUEST], asyncio.Event())
        return await result(server, id_)

    response = work(dsn, act)["response"]
    assert response["status"] == "500"
    assert response["outcome"]["issue"][0]["code"] == "incomplete"
    assert "not begun again" in response["outcome"]["issue"][0]["diagnostics"]
    assert count_patients(dsn) == 0


def test_a_worker_that_was_only_slow_does_nothing_twice(dsn: str) -> None:
    """It finds out inside its transaction, which therefore leaves nothing."""

    async def act(server: Server) -> None:
        await defer(server, bundle_of("transaction"))
        slow = await claim(server, "slow", lease=0)
        quick = await claim(server, "quick")
        assert await RequestJob(server)(quick) is None
        with pytest.raises(LostJob):
            await RequestJob(server)(slow)
        async with server.database.session() as session:
            with pytest.raises(LostJob):
                await extend_lease(session, slow, 60)

    work(dsn, act)
    assert count_patients(dsn) == 1


def test_a_cancelled_job_stops(dsn: str) -> None:
    async def act(server: Server) -> None:
        id_ = await defer(server, bundle_of("batch"))
        begun = asyncio.Event()

        async def endless(_: Job) -> bytes:
            begun.set()
            await asyncio.Event().wait()
            return b""

        runner = Runner(server, {deferred.REQUEST: endless}, lease=0.3)
        running = asyncio.create_task(runner.run_one([deferred.REQUEST], asyncio.Event()))
        await begun.wait()
        await deferred.cancel(context_on(server), id_)
        assert await running
        assert not await runner.run_one([deferred.REQUEST], asyncio.Event())

    work(dsn, act)


def test_a_job_is_given_back_when_its_process_stops(dsn: str) -> None:
    async def act(server: Server) -> Resource:
        id_ = await defer(server, bundle_of("transaction"))
        begun, stop = asyncio.Event(), asyncio.Event()

        async def endless(_: Job) -> bytes:
            begun.set()
            await asyncio.Event().wait()
            return b""

        running = asyncio.create_task(Runner(server, {deferred.REQUEST: endless}).run(stop, [deferred.REQUEST]))
        await begun.wait()
        stop.set()
        await running
        assert await Runner(server, {deferred.REQUEST: RequestJob(server)}).run_one([deferred.REQUEST], asyncio.Event())
        return await result(server, id_)

    assert work(dsn, act)["response"]["status"] == "200 OK"


def test_a_job_runs_with_the_grants_of_its_caller(dsn: str) -> None:
    async def act(server: Server) -> Resource:
        await put(server, "mine", "theirs")
        caller = Caller("tester", DEFAULT_TENANT, (Grant("Patient", frozenset(("search",)), (("_id", "mine"),)),))
        context = context_on(server, caller)
        answer = await deferred.defer(context, Request(Target("search-type", "Patient")), representation=False)
        assert await Runner(server, {deferred.REQUEST: RequestJob(server)}).run_one([deferred.REQUEST], asyncio.Event())
        return await result(server, str(answer.job))

    assert [e["resource"]["id"] for e in work(dsn, act)["resource"]["entry"]] == ["mine"]


async def add_reindex(server: Server, tenant: int = DEFAULT_TENANT) -> str:
    async with server.database.session() as session:
        input_ = msgspec.json.encode(ReindexInput(["Patient"]))
        return await add_job(session, tenant, "tester", KIND, input_, lane=LANE, repeatable=True, now=instant())


def test_jobs_of_a_lane_take_turns(dsn: str) -> None:
    """One of a tenant at a time, and none waits for another tenant's."""

    async def act(server: Server) -> None:
        first, second = await add_reindex(server), await add_reindex(server)
        other = await add_reindex(server, 7)
        assert (await claim(server, "a", kinds=(KIND,))).id == first
        assert (await claim(server, "b", kinds=(KIND,))).id == other
        async with server.database.session() as session:
            assert await claim_job(session, [KIND], "c", 60) is None
            await session.execute("UPDATE job SET status = 'finished' WHERE id = %s", (first,))
        assert (await claim(server, "c", kinds=(KIND,))).id == second

    work(dsn, act)


def test_reindexing_goes_on_where_it_was(dsn: str) -> None:
    """Each batch commits with its position, and a worker that lost the job writes no further one."""

    async def act(server: Server) -> Resource:
        await put(server, *(f"p{n:02}" for n in range(12)))
        id_ = await add_reindex(server)
        reindex = ReindexJob(server, batch=5, grace=0)
        slow = await claim(server, "slow", lease=0, kinds=(KIND,))
        position = await reindex._begin(slow)
        await reindex._step(slow, position)
        assert (position.seen, position.replaced) == (5, 5)
        job = await claim(server, "quick", kinds=(KIND,))
        assert job.position is not None
        assert msgspec.json.decode(job.position, type=Position) == position
        with pytest.raises(LostJob):
            await reindex._step(slow, position)
        async with server.database.session() as session:
            await session.execute("UPDATE job SET lease_until = clock_timestamp() WHERE id = %s", (id_,))
        assert await Runner(server, {KIND: reindex}).run_one([KIND], asyncio.Event())
        return await result(server, id_)

    assert work(dsn, act)["resource"]["issue"][0]["diagnostics"] == "Index entries made anew: Patient 12."


def test_reindexing_waits_for_transactions_that_began_before(dsn: str) -> None:
    """They may hold what was indexed by the parameters of then."""

    async def act(server: Server) -> None:
        await add_reindex(server)
        job = await claim(server, "a", kinds=(KIND,))
        async with server.database.transaction() as older:
            await older.fetch("SELECT 1")
            begin = asyncio.create_task(ReindexJob(server, grace=0)._begin(job))
            assert not (await asyncio.wait([begin], timeout=0.5))[0]
        assert (await begin).types == ["Patient"]

    work(dsn, act)


def test_progress_is_cut_to_what_a_header_may_hold(dsn: str) -> None:
    async def act(server: Server) -> None:
        id_ = await add_reindex(server)
        job = await claim(server, "a", kinds=(KIND,))
        async with server.database.session() as session:
            await note_progress(session, job, "x" * 500, b"{}")
            state = await read_job(session, DEFAULT_TENANT, "tester", id_)
        assert state is not None
        assert len(state.progress) == 100

    work(dsn, act)
