"""PostgreSQL processes left over from a supervisor that was killed: recognise them for certain, then end them.

A process id in a file proves nothing, since ids are used again; a process counts only if it looks like PostgreSQL and
works in this very data directory. https://www.postgresql.org/docs/18/server-shutdown.html
"""

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fhir_server.store.embedded.errors import EmbeddedPostgresError

_log = logging.getLogger(__name__)
_PROC = Path("/proc")
POLL_INTERVAL = 0.005
FAST_SHUTDOWN_TIMEOUT = 20.0
IMMEDIATE_SHUTDOWN_TIMEOUT = 5.0
_WORKER_EXIT_TIMEOUT = 2.0


@dataclass(frozen=True)
class PidFile:
    """What a server says about itself in `postmaster.pid`."""

    pid: int
    ready: bool


def read_pid_file(cluster: Path) -> PidFile | None:
    """Return what `postmaster.pid` says; None when it is absent or not completely written."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    with suppress(ValueError, IndexError):
        # A single-user server writes its process id negated.
        return PidFile(abs(int(lines[0])), ready=len(lines) > 7 and lines[7].strip() == "ready")  # noqa: PLR2004
    return None


def name_cluster(cluster: Path) -> str:
    """Return the name for the server over the data directory `cluster` to bear, which tells it from any other."""
    return f"praxis-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:12]}"


def find_processes(cluster: Path) -> set[int]:
    """Return the ids of the running PostgreSQL processes that serve the data directory `cluster`.

    Recognised by their working directory where it may be read (in a container root may not), else by the path in the
    server's arguments or by the cluster's name, which a server shows in the process titles of its workers.
    """
    found, cluster_name = set(), name_cluster(cluster)
    for pid, command in _list_commands():
        is_postgres = command.startswith("postgres") or "/postgres -D " in command
        if is_postgres and (_works_in(pid, cluster) or cluster_name in command or f"-D {cluster} " in f"{command} "):
            found.add(pid)
    return found


def end_leftovers(cluster: Path) -> None:
    """End every server process on `cluster`, gently at first, and clear a pid file that would bar the next start.

    The caller holds the lock on the data directory, so whatever still runs there has lost its supervisor. Raises
    EmbeddedPostgresError when something cannot be ended.
    """
    running = find_processes(cluster)
    recorded = read_pid_file(cluster)
    if recorded and recorded.pid in running:
        _log.warning("ending process %d, a PostgreSQL left over on %s", recorded.pid, cluster)
        end_server(recorded.pid, lambda timeout: _wait_until_gone({recorded.pid}, timeout))
        running = find_processes(cluster)
    # Workers notice the death of their server once they next wait for something; those that compute do not wait.
    if running and not _wait_until_gone(running, _WORKER_EXIT_TIMEOUT):
        for pid in (running := find_processes(cluster)):
            _send(pid, signal.SIGKILL)
        if not _wait_until_gone(running, IMMEDIATE_SHUTDOWN_TIMEOUT):
            raise EmbeddedPostgresError(f"processes {sorted(running)} still use {cluster} and cannot be ended")
    # PostgreSQL would refuse to start if an unrelated process now had the recorded id.
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def end_server(pid: int, wait: Callable[[float], bool]) -> None:
    """Shut the server process `pid` down: fast, then immediately, then by force; all three keep what is committed.

    `wait(seconds)` waits for its end and tells whether it came.
    """
    for number, timeout in ((signal.SIGINT, FAST_SHUTDOWN_TIMEOUT), (signal.SIGQUIT, IMMEDIATE_SHUTDOWN_TIMEOUT)):
        _send(pid, number)
        if wait(timeout):
            return
        _log.error("PostgreSQL (process %d) did not end within %g s of %s", pid, timeout, number.name)
    _send(pid, signal.SIGKILL)
    if not wait(IMMEDIATE_SHUTDOWN_TIMEOUT):
        raise EmbeddedPostgresError(f"PostgreSQL (process {pid}) cannot be ended")


def _send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_until_gone(pids: set[int], timeout: float) -> bool:
    """Wait up to `timeout` seconds for the processes, not our children, to end; tell whether they did."""
    deadline = time.monotonic() + timeout
    while any(map(_is_alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL)
    return True


def _is_alive(pid: int) -> bool:
    """Tell whether a process exists and is more than an exit status that nobody has fetched."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError, IndexError):
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return True


def _works_in(pid: int, directory: Path) -> bool:
    """Tell whether a process is known to have `directory` as its working directory."""
    with suppress(OSError):
        return (_PROC / str(pid) / "cwd").readlink() == directory
    return False


def _list_commands() -> Iterator[tuple[int, str]]:
    """Yield the id and command line of each process, its arguments joined by spaces."""
    if (_PROC / "self" / "cmdline").exists():
        for entry in _PROC.iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    command = (entry / "cmdline").read_bytes().decode(errors="replace")
                    yield int(entry.name), command.rstrip("\0").replace("\0", " ")
        return
    ps = shutil.which("ps", path="/bin:/usr/bin")
    if ps:
        # The system's own ps, with fixed arguments.
        arguments = [ps, "-axww", "-o", "pid=,command="]
        listing = subprocess.run(arguments, capture_output=True, text=True, check=True)  # noqa: S603
        for line in listing.stdout.splitlines():
            pid, _, command = line.strip().partition(" ")
            yield int(pid), command.strip()
