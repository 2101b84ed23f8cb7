"""A real ``praxis serve`` for tests, started as a process and spoken to over HTTP."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

START_SECONDS = 60


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningServer:
    """A server process; a context manager that waits until it answers and stops it at the end."""

    arguments: list[str]
    environment: dict[str, str]
    port: int
    mllp_port: int
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def on_database(cls, dsn: str, *, workers: int = 1, auth: bool = False, mllp: bool = False) -> RunningServer:
        """Return a server over an existing database."""
        return cls._make({"DATABASE_URL": dsn}, [], workers=workers, auth=auth, mllp=mllp)

    @classmethod
    def on_directory(cls, data_dir: Path, *, workers: int = 1, auth: bool = False, mllp: bool = False) -> RunningServer:
        """Return a server over its own embedded PostgreSQL."""
        return cls._make({}, ["--data-dir", str(data_dir)], workers=workers, auth=auth, mllp=mllp)

    @classmethod
    def _make(
        cls, environment: dict[str, str], arguments: list[str], *, workers: int, auth: bool, mllp: bool
    ) -> RunningServer:
        port, mllp_port = free_port(), free_port() if mllp else 0
        command = [sys.executable, "-m", "fhir_server.cli", "serve", "--port", str(port), "--workers", str(workers)]
        command += ["--auth", "on" if auth else "off", "--mllp-port", str(mllp_port), *arguments]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PRAXIS_") and k != "DATABASE_URL"}
        return cls(command, {**kept, **environment}, port, mllp_port)

    @property
    def base_url(self) -> str:
        """The FHIR base."""
        return f"http://127.0.0.1:{self.port}/fhir"

    def client(self, **headers: str) -> httpx.Client:
        """Return a client whose base is the FHIR base."""
        return httpx.Client(base_url=self.base_url, timeout=60, headers=headers)

    def start(self) -> Self:
        """Start the process in a group of its own and wait until it is healthy."""
        self.process = subprocess.Popen(self.arguments, env=self.environment, start_new_session=True)
        try:
            self._wait_until_healthy(self.process)
        except BaseException:
            self.kill_group()
            raise
        return self

    def _wait_until_healthy(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if process.poll() is not None:
                raise AssertionError(f"the server ended with status {process.returncode}")
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError("the server did not become healthy")

    def kill_group(self) -> None:
        """Kill the whole process group at once, as a power cut would."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask the server to stop and return its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()
