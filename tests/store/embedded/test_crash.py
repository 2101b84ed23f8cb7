"""Whatever is killed, every acknowledged commit is there after the next start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest

from fhir_server.store.embedded import EmbeddedPostgres
from fhir_server.store.embedded.processes import find_processes, read_pid_file

_FIRST_NUMBERS = count(1_000_000, 1_000_000)


class Committer:
    """A running committer program and the numbers it has printed."""

    def __init__(self, data_dir: Path) -> None:
        command = [sys.executable, "-m", "tests.store.embedded.committer", str(data_dir), str(next(_FIRST_NUMBERS))]
        root = Path(__file__).resolve().parents[3]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, start_new_session=True)
        self.numbers: set[int] = set()

    def read(self, more: int) -> None:
        """Wait until `more` further commits have been acknowledged."""
        assert self.process.stdout
        for _ in range(more):
            self.numbers.add(int(self.process.stdout.readline()))

    def finish(self) -> None:
        """Read what the program had still printed, and wait for its end; does nothing the second time."""
        assert self.process.stdout
        if self.process.stdout.closed:
            return
        self.numbers.update(int(line) for line in self.process.stdout if line.endswith("\n"))
        self.process.wait()
        self.process.stdout.close()


@contextmanager
def committing(data_dir: Path) -> Iterator[Committer]:
    """Run a committer that has had 50 commits acknowledged; make sure that it ends."""
    committer = Committer(data_dir)
    try:
        committer.read(50)
        yield committer
    finally:
        committer.process.kill()
        committer.finish()


def postmaster_of(data_dir: Path) -> int:
    """Return the process id of the server over a data directory."""
    state = read_pid_file(data_dir / "postgres")
    assert state
    return state.pid


def assert_all_kept(data_dir: Path, committer: Committer) -> None:
    """Start a server and compare its rows with the acknowledged numbers."""
    with EmbeddedPostgres(data_dir) as postgres, psycopg.connect(postgres.dsn) as connection:
        kept = {number for (number,) in connection.execute("SELECT number FROM acknowledged")}
    assert len(committer.numbers) >= 50
    assert committer.numbers <= kept


def wait_until(condition: Callable[[], object]) -> None:
    """Wait, up to 30 seconds, for a callable to return something true."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_supervisor_killed(data_dir: Path) -> None:
    """A killed supervisor loses no commit."""
    with committing(data_dir) as committer:
        os.kill(committer.process.pid, signal.SIGKILL)
        committer.finish()
        assert_all_kept(data_dir, committer)


@pytest.mark.skipif(sys.platform != "linux", reason="only the Linux kernel ends a child with its parent")
def test_the_server_ends_with_a_killed_supervisor(data_dir: Path) -> None:
    """The server does not outlive its supervisor."""
    with committing(data_dir) as committer:
        assert find_processes(data_dir / "postgres")
        os.kill(committer.process.pid, signal.SIGKILL)
        committer.finish()
        wait_until(lambda: not find_processes(data_dir / "postgres"))


def test_postmaster_killed(data_dir: Path) -> None:
    """A killed server is back by itself, with every commit."""
    with committing(data_dir) as committer:
        before = postmaster_of(data_dir)
        os.kill(before, signal.SIGKILL)
        committer.read(5000)  # far more than a pipe holds: these were committed after the restart
        assert postmaster_of(data_dir) != before
        committer.process.terminate()
        committer.finish()
        assert committer.process.returncode == 0
        assert_all_kept(data_dir, committer)


def test_everything_killed_at_once(data_dir: Path) -> None:
    """Killing the process group and the server at once loses no commit."""
    with committing(data_dir) as committer:
        servers = find_processes(data_dir / "postgres")
        assert len(servers) > 3
        os.killpg(committer.process.pid, signal.SIGKILL)
        for pid in servers:
            with suppress(ProcessLookupError):  # the death of others may have ended it already
                os.kill(pid, signal.SIGKILL)
        committer.finish()
        assert_all_kept(data_dir, committer)


def test_sigterm_ends_supervisor_and_server_cleanly(data_dir: Path) -> None:
    """SIGTERM to the supervisor ends in a clean shutdown."""
    with committing(data_dir) as committer:
        committer.process.terminate()
        committer.finish()
        assert committer.process.returncode == 0
        assert not find_processes(data_dir / "postgres")
        assert "database system is shut down" in (data_dir / "postgres.log").read_text().splitlines()[-1]
        assert_all_kept(data_dir, committer)
