"""``praxis serve``: the parent of the database, the HTTP workers and the feed. It serves nothing itself.

Workers start before the database is up and learn its address on standard input. One that dies is started again, with a growing
pause; on SIGTERM or Ctrl-C the workers finish what they are at, then the database stops.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from fhir_server.instance import opened
from fhir_server.settings import Settings

log = logging.getLogger("praxis.serve")

STOP_SECONDS = 15.0
POLL_SECONDS = 0.05
LONGEST_PAUSE = 10.0
STABLE_SECONDS = 30.0


class PortInUse(Exception):
    """The address to listen on is taken."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortInUse(f"can't listen on {host}:{port} ({error.strerror}); choose another port") from error
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


@dataclass(slots=True)
class Worker:
    """A child process and how to start it again."""

    name: str
    arguments: list[str]
    descriptors: tuple[int, ...]
    environment: dict[str, str]
    address: str | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = 0.1
    due: float = field(default=0.0)

    def start(self) -> None:
        """Start the process; it waits for the database's address unless that is known."""
        self.process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "fhir_server.worker", *self.arguments],
            stdin=subprocess.PIPE,
            pass_fds=self.descriptors,
            env=self.environment,
        )
        self.started = time.monotonic()
        if self.address is not None:
            self.tell(self.address)

    def tell(self, address: str) -> None:
        """Tell the process where the database is."""
        self.address = address
        if self.process is not None and self.process.stdin is not None:
            try:
                self.process.stdin.write(address.encode() + b"\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                log.warning("%s ended before it was told its database", self.name)

    def revive(self) -> None:
        """Start the process again when it has died and its pause is over."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            self.pause = 0.1 if now - self.started > STABLE_SECONDS else min(self.pause * 2, LONGEST_PAUSE)
            log.error(
                "%s ended with status %s; starting it again in %.1f s", self.name, self.process.returncode, self.pause
            )
            self.process, self.due = None, now + self.pause
        if self.process is None and now >= self.due:
            self.start()

    def stop(self) -> None:
        """Ask the process to finish."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, until: float) -> None:
        """Wait for the end of the process; kill it when that takes too long."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop in time", self.name)
            self.process.kill()
            self.process.wait()


class _Stop(Exception):
    """SIGTERM or SIGINT arrived."""


def _environment(settings: Settings, port: int) -> dict[str, str]:
    """Return the environment that gives a worker these settings."""
    out = dict(os.environ)
    for name, value in settings.model_dump(exclude={"database_url"}).items():
        if value is None:
            out.pop(f"PRAXIS_{name.upper()}", None)
        else:
            out[f"PRAXIS_{name.upper()}"] = str(value)
    out["PRAXIS_PORT"] = str(port)
    return out


def serve(settings: Settings, on_ready: Callable[[int, str], None]) -> None:
    """Run the server until SIGTERM or SIGINT. ``on_ready`` gets the HTTP port and the DSN once requests are answered."""
    listener = listen(settings.host, settings.port)
    port = listener.getsockname()[1]
    environment = _environment(settings, port)
    workers = [
        Worker(f"worker {n + 1}", ["http", str(listener.fileno())], (listener.fileno(),), environment)
        for n in range(settings.workers)
    ]
    if settings.mllp_port:
        workers += [Worker(kind, [kind], (), environment) for kind in ("mllp", "inbox")]

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
            with socket.create_connection((address, port), timeout=30) as probe:
                probe.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if probe.recv(12).endswith(b"200"):
                    return
        except OSError:
            log.debug("not ready yet")
        for worker in workers:
            worker.revive()
        time.sleep(POLL_SECONDS)
