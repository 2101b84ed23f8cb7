"""A bounded pool of processes for AI work that takes long, so that a long note never holds up anybody's read.

A process is started when it is first needed, at a lower priority than the server, and is kept; it ends with the process
that started it. Work beyond the bound is refused at once (429), work that takes too long is stopped (504), and a process
that dies costs one answer (500), not the server.
https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from fhir_server.operations.contract import OperationError

T = TypeVar("T")

PROCESSES = 1
"""For each HTTP worker. AI work of one worker takes turns; several workers have a process each."""

WAITING = 8
SECONDS = 60.0
_NICENESS = 10


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a function returned, or how it refused, or what it raised."""

    result: Any = None
    refused: tuple[int, str, str, str | None] | None = None
    error: Exception | None = None


class _Child:
    """A process that answers one question at a time."""

    def __init__(self) -> None:
        # Forked from a process that has imported this module and has no threads.
        context = multiprocessing.get_context("forkserver")
        self._pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_work, args=(theirs,), name="ai", daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> _Reply | None:
        """Return what the function returned or raised; None when the process died."""
        try:
            self._pipe.send((function, arguments))
            reply: _Reply = self._pipe.recv()
        except (EOFError, OSError):
            return None
        return reply

    def kill(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


class Pool:
    """Runs functions in other processes: ``processes`` at a time, ``waiting`` more in line, ``seconds`` each."""

    def __init__(self, processes: int = PROCESSES, waiting: int = WAITING, seconds: float = SECONDS) -> None:
        self._idle: deque[_Child | None] = deque([None] * processes)
        self._most = processes + waiting
        self._inside = 0
        self._seconds = seconds
        self._turn = asyncio.Semaphore(processes)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return ``function(*arguments)``, computed in another process; function, arguments and result must be picklable.

        What the function raises is raised here. Refuses with OperationError 429 (too many wait), 504 (too slow), 500 (process died).
        """
        if self._inside >= self._most:
            raise OperationError(
                429, "throttled", f"{self._inside} AI requests are under way here: try again in some seconds"
            )
        self._inside += 1
        try:
            async with self._turn:
                answer: T = await self._ask(function, arguments)
                return answer
        finally:
            self._inside -= 1

    async def _ask(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        child = self._idle.popleft()
        reply: _Reply | None = None
        try:
            if child is None:
                child = await asyncio.to_thread(_Child)
            async with asyncio.timeout(self._seconds):
                reply = await asyncio.to_thread(child.ask, function, arguments)
        except TimeoutError as slow:
            message = f"the model needed more than {self._seconds:g} s: send less text at once"
            raise OperationError(504, "timeout", message) from slow
        finally:
            # After a cancelled request, too, the process would go on with what nobody waits for.
            if child is not None and reply is None:
                child.kill()
                child = None
            self._idle.appendleft(child)
        if reply is None:
            raise OperationError(500, "exception", "the process of the model ended while it was at this: try again")
        if reply.refused is not None:
            raise OperationError(*reply.refused)
        if reply.error is not None:
            raise reply.error
        return reply.result

    def close(self) -> None:
        """End the processes."""
        for number, child in enumerate(self._idle):
            if child is not None:
                child.kill()
            self._idle[number] = None


def _work(pipe: Connection) -> None:
    """Answer questions until the other end of the pipe is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    while True:
        try:
            function, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send_bytes(_reply(function, arguments))


def _reply(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """Return a pickled reply; an error that can't be pickled goes by its words."""
    try:
        return pickle.dumps(_Reply(result=function(*arguments)))
    except OperationError as refused:
        said = (refused.status, refused.code, refused.diagnostics, refused.expression)
        return pickle.dumps(_Reply(refused=said))
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        except Exception:
            return pickle.dumps(_Reply(error=RuntimeError(f"{type(error).__name__}: {error}")))
        return pickle.dumps(_Reply(error=error))


@cache
def shared() -> Pool:
    """Return the pool of this process."""
    return Pool()
