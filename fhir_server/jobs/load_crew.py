"""Who stores the batches of a load: this process, or several of its own with a few connections each."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context, parent_process
from multiprocessing.forkserver import ensure_running
from multiprocessing.queues import Queue
from queue import Empty, Full
from types import TracebackType
from typing import Protocol, Self

from fhir_server.jobs.load_units import Unit
from fhir_server.jobs.load_work import LoadTarget, OpenTarget, Store, Stored, store

Batch = Sequence[Unit]
_POLL_SECONDS = 0.2
_STOP_SECONDS = 10.0


class LoadStoppedError(Exception):
    """The load can't go on; what was stored stays, and running it again goes on from there."""


# Forked from a process that has imported everything and runs nothing, so workers start at once.
PROCESSES = get_context("forkserver")


def prepare() -> None:
    """Begin loading what workers need, so that it goes on while the caller opens its database."""
    PROCESSES.set_forkserver_preload(["fhir_server.jobs.preload"])
    ensure_running()


class Crew(Protocol):
    """Stores batches. ``submit`` waits while there is too much to do; results come back in any order."""

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; after an exception without waiting for what is under way."""

    def submit(self, batch: Batch) -> list[Stored]:
        """Hand over a batch; return the results that have come in meanwhile."""

    def finish(self) -> list[Stored]:
        """Wait until every batch handed over is done; return the results that were still out."""


class OwnProcess:
    """Stores one batch after the other in this process: for small loads, where starting processes takes longer."""

    def __init__(self, open_target: OpenTarget, store: Store = store) -> None:
        self._open_target = open_target
        self._store = store
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._runner = stack.enter_context(asyncio.Runner())
            self._opened = self._open_target()
            self._target: LoadTarget = self._runner.run(self._enter())
            stack.callback(lambda: self._runner.run(self._leave()))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def _enter(self) -> LoadTarget:
        return await self._opened.__aenter__()

    async def _leave(self) -> None:
        await self._opened.__aexit__(None, None, None)

    async def _stored(self, batch: Batch) -> Stored:
        return await self._store(self._target, batch)

    def submit(self, batch: Batch) -> list[Stored]:
        """Store the batch now."""
        return [self._runner.run(self._stored(batch))]

    def finish(self) -> list[Stored]:
        """Return nothing: every batch was done when it was handed over."""
        return []


class Processes:
    """Stores batches in ``workers`` processes with ``connections`` transactions at a time in each."""

    def __init__(self, open_target: OpenTarget, workers: int, connections: int, store: Store = store) -> None:
        # Twice what is under way: enough that no connection waits for the reader, few enough to bound memory.
        self._tasks: Queue[Batch | None] = PROCESSES.Queue(maxsize=2 * workers * connections)
        self._results: Queue[Stored | str] = PROCESSES.Queue()
        self._stops = workers * connections
        self._out = 0
        self._processes = [
            PROCESSES.Process(
                target=work,
                args=(open_target, connections, store, self._tasks, self._results),
                daemon=True,
                name=f"load-{n}",
            )
            for n in range(workers)
        ]

    def __enter__(self) -> Self:
        prepare()
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for _ in range(self._stops):
                self._tasks.put(None)
            for process in self._processes:
                process.join(_STOP_SECONDS)
        for process in self._processes:
            if process.is_alive():
                process.terminate()
            process.join()
        for queue in (self._tasks, self._results):
            queue.cancel_join_thread()
            queue.close()

    def submit(self, batch: Batch) -> list[Stored]:
        """Hand over a batch, waiting for a free place."""
        results: list[Stored] = []
        while True:
            try:
                self._tasks.put(batch, timeout=_POLL_SECONDS)
            except Full:
                results += self._collect(wait=False)
                self._check()
            else:
                self._out += 1
                return results + self._collect(wait=False)

    def finish(self) -> list[Stored]:
        """Wait for all results."""
        results: list[Stored] = []
        while self._out:
            results += self._collect(wait=True)
            self._check()
        return results

    def _collect(self, *, wait: bool) -> list[Stored]:
        results: list[Stored] = []
        while self._out:
            try:
                result = (
                    self._results.get(timeout=_POLL_SECONDS) if wait and not results else self._results.get_nowait()
                )
            except Empty:
                break
            if isinstance(result, str):
                raise LoadStoppedError(result)
            self._out -= 1
            results.append(result)
        return results

    def _check(self) -> None:
        for process in self._processes:
            if not process.is_alive():
                self._collect(wait=True)  # a reason that it sent before it ended says more
                raise LoadStoppedError(f"a worker process ended unexpectedly with exit code {process.exitcode}")


def work(
    open_target: OpenTarget,
    connections: int,
    store: Store,
    tasks: Queue[Batch | None],
    results: Queue[Stored | str],
) -> None:
    """Store batches until None comes: the body of a worker process."""
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what follows
    # Parsed Bundles are trees, freed by reference counts: looking for cycles took a quarter of a worker's time.
    gc.freeze()
    gc.set_threshold(500_000, 10, 100)
    try:
        asyncio.run(_work(open_target, connections, store, tasks, results))
    except Exception as error:  # whatever it is, the parent must hear of it
        results.put(f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:
    """End this process at once when its parent dies, which otherwise would wait for batches forever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


async def _work(
    open_target: OpenTarget,
    connections: int,
    store: Store,
    tasks: Queue[Batch | None],
    results: Queue[Stored | str],
) -> None:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(connections) as threads:

        async def serve(target: LoadTarget) -> None:
            while (batch := await loop.run_in_executor(threads, tasks.get)) is not None:
                results.put(await store(target, batch))

        async with open_target() as target:
            await asyncio.gather(*(serve(target) for _ in range(connections)))
