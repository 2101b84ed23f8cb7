"""``praxis serve``: the parent of the database, the HTTP workers and the feed. It serves nothing itself.

Workers start before the database is up and learn its address through a pipe. One that dies is started again, with a growing
pause; on SIGTERM or Ctrl-C the workers finish what they are at, then the database stops.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType

from fhir_server.instance import opened
from fhir_server.settings import Settings

log = logging.getLogger("praxis.serve")

STOP_SECONDS = 15.0
POLL_SECONDS = 0.05
LONGEST_PAUSE = 5.0  # connections to a worker that died wait for its successor
STABLE_SECONDS = 30.0


class PortInUse(Exception):
    """The address to listen on is taken."""


def listen(host: str, port: int, *, one_of_many: bool = False) -> socket.socket:
    """Return a listening TCP socket, ``one_of_many`` on the same port; raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if one_of_many:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortInUse(f"can't listen on {host}:{port} ({error.strerror}); choose another port") from error
    listener.listen(2048)
    return listener


def listen_apart(host: str, port: int, count: int) -> list[socket.socket]:
    """Return a socket for each of some workers, all on one port; raises PortInUse.

    From one socket, whoever wakes first takes all connections that are waiting: of 32 that came together one worker got
    32 and the other none. Among several sockets Linux spreads them; elsewhere, and for one worker, it is one for all.
    """
    first = listen(host, port)
    if count == 1 or sys.platform != "linux":
        return [first] * count
    # Bound without sharing, so that a port that is taken was noticed; now together.
    port = first.getsockname()[1]
    first.close()
    return [listen(host, port, one_of_many=True) for _ in range(count)]


# Workers are forked from a process that has imported everything and does nothing else, so they start at once and share memory.
PROCESSES = multiprocessing.get_context("forkserver")


class Worker:
    """A worker process and how to start it again."""

    def __init__(self, kind: str, settings: Settings, listener: socket.socket | None) -> None:
        self.kind = kind
        self._settings = settings
        self._listener = listener
        self._address: str | None = None
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._started = 0.0
        self._pause = 0.1
        self._due = 0.0

    def start(self) -> None:
        """Start the process; it waits for the database's address unless that is known."""
        # The parent keeps its end of the pipe open for as long as it lives.
        self._pipe, theirs = PROCESSES.Pipe()
        arguments = (self.kind, self._settings, theirs, self._listener)
        self._process = PROCESSES.Process(target=run_worker, args=arguments, name=self.kind)
        self._process.start()
        theirs.close()
        self._started = time.monotonic()
        if self._address is not None:
            self.tell(self._address)

    def tell(self, address: str) -> None:
        """Tell the process where the database is."""
        self._address = address
        if self._pipe is not None:
            try:
                self._pipe.send(address)
            except OSError:
                log.warning("%s ended before it was told its database", self.kind)

    def revive(self) -> None:
        """Start the process again when it has died and its pause is over."""
        now = time.monotonic()
        if self._process is not None and not self._process.is_alive():
            self._pause = 0.1 if now - self._started > STABLE_SECONDS else min(self._pause * 2, LONGEST_PAUSE)
            code = self._process.exitcode
            log.error("%s ended with status %s; starting it again in %.1f s", self.kind, code, self._pause)
            self._process, self._due = None, now + self._pause
        if self._process is None and now >= self._due:
            self.start()

    def stop(self) -> None:
        """Ask the process to finish."""
        if self._process is not None and self._process.is_alive():
            self._process.terminate()

    def wait(self, until: float) -> None:
        """Wait for the end of the process; kill it when that takes too long."""
        if self._process is None:
            return
        self._process.join(max(0.1, until - time.monotonic()))
        if self._process.is_alive():
            log.warning("%s did not stop in time", self.kind)
            self._process.kill()
            self._process.join()


def run_worker(kind: str, settings: Settings, parent: Connection, listener: socket.socket | None) -> None:
    """Run a worker; imports its code only in the worker, so that the parent stays small."""
    from fhir_server.worker import work  # noqa: PLC0415

    work(kind, settings, parent, listener)


class _Stop(Exception):
    """SIGTERM or SIGINT arrived."""


def serve(settings: Settings, on_ready: Callable[[int, str], None]) -> None:
    """Run the server until SIGTERM or SIGINT. ``on_ready`` gets the HTTP port and the DSN once requests are answered."""
    listeners = listen_apart(settings.host, settings.port, settings.workers)
    port = listeners[0].getsockname()[1]
    settings = settings.model_copy(update={"port": port})
    PROCESSES.set_forkserver_preload(["fhir_server.preload"])
    workers = [Worker("http", settings, listener) for listener in listeners]
    if settings.mllp_port:
        workers += [Worker(kind, settings, None) for kind in ("mllp", "inbox")]

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        raise _Stop

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        for worker in workers:
            worker.start()
        with opened(settings, exclusive=True) as dsn:
            try:
                for worker in workers:
                    worker.tell(dsn)
                _wait_until_ready(workers, settings.host, port)
                # Not before: while the server starts, the processor is for what answers requests.
                workers.append(Worker("jobs", settings, None))
                workers[-1].tell(dsn)
                workers[-1].start()
                on_ready(port, dsn)
                while True:
                    time.sleep(POLL_SECONDS * 4)
                    for worker in workers:
                        worker.revive()
            finally:
                # A second signal must not interrupt the orderly end.
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                _stop_all(workers)
    except _Stop:
        pass
    finally:
        _stop_all(workers)
        for listener in listeners:
            listener.close()


def _stop_all(workers: list[Worker]) -> None:
    for worker in workers:
        worker.stop()
    until = time.monotonic() + STOP_SECONDS
    for worker in workers:
        worker.wait(until)


def _wait_until_ready(workers: list[Worker], host: str, port: int) -> None:
    """Return once a worker answers; workers that die meanwhile are started again."""
    address = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - comparing, not binding
    while True:
        try:
            # Not long: a connection that a worker took along when it died is never answered.
            with socket.create_connection((address, port), timeout=2) as probe:
                probe.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if probe.recv(12).endswith(b"200"):
                    return
        except OSError:
            log.debug("not ready yet")
        for worker in workers:
            worker.revive()
        time.sleep(POLL_SECONDS)
