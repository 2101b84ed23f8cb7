"""The pool of processes: answers, refusals, crashes, time limits and cancelled requests."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

import pytest

from ai.pool import Pool
from fhir_server.operations.contract import OperationError


def refuse() -> None:
    raise OperationError(413, "too-long", "too much", "Parameters.parameter")


def fail() -> None:
    raise ValueError("as it happens")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Awkward(Exception):
    """An error that can't be unpickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} {second}")


def fail_awkwardly() -> None:
    raise Awkward(1, 2)


def run(story: Callable[[Pool], Awaitable[None]], **limits: float) -> None:
    async def tell() -> None:
        pool = Pool(**limits)  # type: ignore[arg-type]
        try:
            await story(pool)
        finally:
            pool.close()

    asyncio.run(tell())


def test_answers_come_from_one_other_process_that_is_kept() -> None:
    async def story(pool: Pool) -> None:
        first = await pool.run(os.getpid)
        assert first != os.getpid()
        assert await pool.run(os.getpid) == first
        assert await pool.run(os.nice, 0) >= 10

    run(story)


def test_refusals_and_errors_arrive_as_they_were_raised() -> None:
    async def story(pool: Pool) -> None:
        with pytest.raises(OperationError) as refused:
            await pool.run(refuse)
        assert (refused.value.status, refused.value.code, refused.value.expression) == (
            413,
            "too-long",
            "Parameters.parameter",
        )
        with pytest.raises(ValueError, match="as it happens"):
            await pool.run(fail)
        with pytest.raises(RuntimeError, match="Awkward: 1 2"):
            await pool.run(fail_awkwardly)

    run(story)


def test_a_process_that_dies_costs_one_answer() -> None:
    async def story(pool: Pool) -> None:
        with pytest.raises(OperationError) as died:
            await pool.run(die)
        assert died.value.status == 500
        assert await pool.run(abs, -3) == 3

    run(story)


def test_what_takes_too_long_is_stopped() -> None:
    async def story(pool: Pool) -> None:
        first = await pool.run(os.getpid)
        with pytest.raises(OperationError) as slow:
            await pool.run(time.sleep, 60)
        assert (slow.value.status, slow.value.code) == (504, "timeout")
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert await pool.run(abs, -3) == 3

    run(story, seconds=5)


def test_more_than_may_wait_are_refused_at_once() -> None:
    async def story(pool: Pool) -> None:
        begun = [asyncio.create_task(pool.run(time.sleep, 1)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OperationError) as full:
            await pool.run(abs, -3)
        assert (full.value.status, full.value.code) == (429, "throttled")
        await asyncio.gather(*begun)
        assert await pool.run(abs, -3) == 3

    run(story, processes=1, waiting=2)


def test_a_cancelled_request_stops_its_work() -> None:
    async def story(pool: Pool) -> None:
        first = await pool.run(os.getpid)
        waiting = asyncio.create_task(pool.run(time.sleep, 60))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await pool.run(os.getpid) != first

    run(story)
