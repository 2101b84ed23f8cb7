"""A server of our own for the measurements: how fast it is ready, and how much memory its workers take."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from bench.http_client import Base, parse_base

READY_SECONDS = 120.0
STOP_SECONDS = 30.0


class StartError(Exception):
    """The server did not become ready."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started server. ``ready_after`` is in seconds from the command to the first answer."""

    base: Base
    base_url: str
    mllp_port: int
    data_dir: Path
    ready_after: float
    pid: int


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serving(data_dir: Path, workers: int = 2) -> Iterator[Running]:
    """Run ``praxis serve`` without authorization on a data directory; stops it at the end. Raises StartError."""
    port, mllp_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}/fhir"
    base = parse_base(url)
    praxis = Path(sys.executable).with_name("praxis")
    options = {"host": "127.0.0.1", "port": port, "workers": workers, "mllp-port": mllp_port, "auth": "off"}
    command = [str(praxis), "serve", "--data-dir", str(data_dir), *(f"--{n}={v}" for n, v in options.items())]
    log = data_dir.with_suffix(".log")
    started = time.perf_counter()
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)  # noqa: S603
    try:
        while not _answers(base):
            if process.poll() is not None:
                raise StartError(f"praxis serve ended with status {process.returncode}: {log.read_text()[-2000:]}")
            if time.perf_counter() - started > READY_SECONDS:
                raise StartError(f"no answer from {url} in {READY_SECONDS:.0f} s: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield Running(base, url, mllp_port, data_dir, time.perf_counter() - started, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(base: Base) -> bool:
    # Synchronous and without an event loop: asking must not take the processor from the server that is starting.
    line = HTTPConnection(base.host, base.port, timeout=READY_SECONDS)
    try:
        line.request("GET", f"{base.path}/Patient?_count=1")
        return line.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        line.close()


def worker_memory(pid: int) -> list[float]:
    """Return the resident memory in MB of each Python process below ``pid`` (Linux), largest first."""
    parents, resident = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
                program = (entry / "cmdline").read_bytes().split(b"\0")[0]
            except OSError:  # it ended meanwhile
                continue
            fields = dict(re.findall(r"^(PPid|VmRSS):\s+(\d+)", status, re.MULTILINE))
            parents[int(entry.name)] = int(fields["PPid"])
            if b"python" in program:
                resident[int(entry.name)] = int(fields.get("VmRSS", 0)) / 1024
    return sorted((size for process, size in resident.items() if _is_below(process, pid, parents)), reverse=True)


def _is_below(process: int, ancestor: int, parents: dict[int, int]) -> bool:
    while process in parents:
        process = parents[process]
        if process == ancestor:
            return True
    return False
