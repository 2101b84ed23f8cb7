"""The embedded PostgreSQL as a child process that is started, watched, restarted and shut down.

It lives in the process that owns the server, `praxis serve`; worker processes get the connection string and nothing
else. https://www.postgresql.org/docs/18/server-start.html
"""

import asyncio
import logging
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, RLock, Thread
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from fhir_server.store.embedded.account import choose_server_account
from fhir_server.store.embedded.cluster import (
    SUPERUSER,
    create_data_dir,
    environment,
    launch_command,
    open_cluster,
    provide_socket_dir,
)
from fhir_server.store.embedded.configuration import compose_settings
from fhir_server.store.embedded.errors import EmbeddedPostgresError, PostgresStartFailed
from fhir_server.store.embedded.installation import find_installations, provide_installation
from fhir_server.store.embedded.lock import DirectoryLock
from fhir_server.store.embedded.processes import POLL_INTERVAL, end_leftovers, end_server, name_cluster, read_pid_file
from fhir_server.store.embedded.server_log import ServerLog

_log = logging.getLogger(__name__)

DATABASE = "praxis"
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 30.0
# A server that ran this long was healthy: its next death is a new incident and is answered at once.
_STABLE_AFTER = 60.0
_LOG_CHECK_INTERVAL = 60.0
_PROGRESS_INTERVAL = 10.0


@dataclass(frozen=True)
class Change:
    """A change in the server's condition: `ready` for connections, `lost` (a restart follows) or `stopped` for good."""

    state: Literal["ready", "lost", "stopped"]
    detail: str = ""


class EmbeddedPostgres:
    """A PostgreSQL server over `data_dir`, for as long as this is entered as a context manager, or start() to stop().

    `data_dir` is created when missing; the database itself lies in `data_dir/postgres`. `settings` are PostgreSQL
    settings that override the defaults, save those that durability and access rest on (ValueError). The server is
    restarted, with growing pauses, whenever it ends unasked; connections break then, and clients connect anew to the
    same `dsn`. An instance serves once: to start again, make another.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self._settings = dict(settings or {})
        compose_settings(self.data_dir, "", self._settings)
        self._held = ExitStack()
        # Re-entrant, because a signal handler may call stop() in the middle of stop().
        self._stop_lock = RLock()
        self._stopping = Event()
        self._wake = Event()
        self._thread: Thread | None = None
        self._condition_lock = Lock()
        self._condition = Change("stopped")
        self._listeners: list[Callable[[Change], None]] = []
        self._dsn = ""

    @property
    def dsn(self) -> str:
        """The libpq connection URI of the database `praxis`; RuntimeError before start()."""
        if not self._dsn:
            raise RuntimeError("the embedded PostgreSQL has not been started")
        return self._dsn

    @property
    def condition(self) -> Change:
        """The latest change; a server not yet started counts as stopped."""
        return self._condition

    def start(self) -> None:
        """Start the server and return once it accepts connections, creating directory and database as needed.

        A database that was not shut down is first recovered from its log, for as long as that takes. Raises
        DataDirectoryInUse, DataDirectoryVersionMismatch, DataDirectoryUnusable, PostgresNotInstalled or
        PostgresStartFailed, all of them EmbeddedPostgresError.
        """
        if self._thread or self._stopping.is_set():
            raise RuntimeError("an EmbeddedPostgres starts only once")
        try:
            command = self._prepare()
            first: Future[None] = Future()
            # The kernel ties the server to the thread that launches it, so one thread does so for the server's whole
            # life. It is a daemon lest a forgotten stop() hang the interpreter; the server then shuts down with the
            # thread.
            self._thread = Thread(target=self._supervise, args=(command, first), name="embedded-postgres", daemon=True)
            self._thread.start()
            first.result()
            _create_database(self._dsn_of("postgres"))
        except (OSError, psycopg.Error) as error:
            self.stop()
            raise EmbeddedPostgresError(f"cannot start PostgreSQL in {self.data_dir}: {_first_line(error)}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut the server down and release the directory; does nothing the second time.

        Takes milliseconds as a rule and up to half a minute at worst, so asynchronous code calls it in a thread.
        """
        self._stopping.set()
        self._wake.set()
        with self._stop_lock:
            if self._thread and self._thread.ident:
                self._thread.join()
            self._held.close()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    async def watch(self) -> AsyncIterator[Change]:
        """Yield the present condition, then each change as it happens; ends after `stopped`."""
        loop = asyncio.get_running_loop()
        changes: asyncio.Queue[Change] = asyncio.Queue()

        def deliver(change: Change) -> None:
            with suppress(RuntimeError):  # the loop has closed: nobody listens any more
                loop.call_soon_threadsafe(changes.put_nowait, change)

        with self._condition_lock:
            self._listeners.append(deliver)
            change = self._condition
        try:
            yield change
            while change.state != "stopped":
                change = await changes.get()
                yield change
        finally:
            with self._condition_lock:
                self._listeners.remove(deliver)

    def _prepare(self) -> list[str]:
        """Take the directory and bring it into shape; return the command that starts the server."""
        self._cluster = (self.data_dir / "postgres").resolve()
        account = choose_server_account(self._cluster)
        create_data_dir(self.data_dir, account)
        self._held.callback(DirectoryLock(self.data_dir).release)
        end_leftovers(self._cluster)
        installation = provide_installation(find_installations()[0], account, self.data_dir)
        open_cluster(self._cluster, installation, account)
        self._socket_dir = provide_socket_dir(self.data_dir, name_cluster(self._cluster), account)
        self._held.callback(shutil.rmtree, self._socket_dir, ignore_errors=True)
        self._server_log = ServerLog(self.data_dir / "postgres.log")
        self._dsn = self._dsn_of(DATABASE)
        settings = compose_settings(self._socket_dir, name_cluster(self._cluster), self._settings)
        arguments = ["-D", str(self._cluster), *(part for item in settings.items() for part in ("-c", "=".join(item)))]
        return launch_command(installation.program("postgres"), arguments, account, signal.SIGINT)

    def _dsn_of(self, database: str) -> str:
        """Return the connection URI of one database of this server."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._socket_dir), safe='')}&port=5432"

    def _supervise(self, command: list[str], first: "Future[None]") -> None:
        """Launch the server, and again whenever it ends, until told to stop; `first` gets the first outcome."""
        delay = _FIRST_DELAY
        while not self._stopping.is_set():
            try:
                started = self._serve(command, first)
            except Exception as error:  # whatever it is, the supervisor goes on
                if not first.done():
                    first.set_exception(error)
                    break
                if not self._stopping.is_set():
                    _log.error("PostgreSQL did not restart: %s", error)
            else:
                if time.monotonic() - started > _STABLE_AFTER:
                    delay = _FIRST_DELAY
            if self._stopping.is_set():
                break
            _log.warning("restarting PostgreSQL in %g s", delay)
            self._stopping.wait(delay)
            delay = min(delay * 2, _LONGEST_DELAY)
        if not first.done():
            first.set_exception(PostgresStartFailed("stopped before PostgreSQL was ready"))
        self._publish(Change("stopped"))

    def _serve(self, command: list[str], first: "Future[None]") -> float:
        """Run the server until it ends or is told to; return the `time.monotonic()` at which it was ready."""
        end_leftovers(self._cluster)
        for left_over in self._socket_dir.iterdir():
            left_over.unlink()
        with self._server_log.open() as output:
            # A session of its own keeps a Ctrl-C in the terminal from reaching the server before its clients are done.
            process = subprocess.Popen(  # noqa: S603 (a program of the installation, no shell)
                command,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        ended = Event()
        Thread(target=_wait_for_end, args=(process, ended, self._wake), name="postgres-end", daemon=True).start()
        try:
            self._wait_until_ready(process, ended)
            started = time.monotonic()
            _log.info("PostgreSQL is ready (process %d, %s)", process.pid, self._cluster)
            self._publish(Change("ready"))
            if not first.done():
                first.set_result(None)
            self._wait_until_over(ended)
        finally:
            if not ended.is_set():
                end_server(process.pid, ended.wait)
        if not self._stopping.is_set():
            detail = f"PostgreSQL (process {process.pid}) ended unasked, {_describe_end(process.returncode)}"
            _log.error("%s, see %s", detail, self._server_log.path)
            self._publish(Change("lost", detail))
        return started

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]", ended: Event) -> None:
        """Return when the server accepts connections; raises PostgresStartFailed when it ends, or is to end, before."""
        report_at = time.monotonic() + _PROGRESS_INTERVAL
        while not ((state := read_pid_file(self._cluster)) and state.pid == process.pid and state.ready):
            if self._stopping.is_set():
                raise PostgresStartFailed("stopped before PostgreSQL was ready")
            if ended.wait(POLL_INTERVAL):
                reason = self._server_log.last_reason() or _describe_end(process.returncode)
                raise PostgresStartFailed(f"PostgreSQL did not start in {self._cluster}: {reason}")
            if time.monotonic() > report_at:
                _log.warning("PostgreSQL is still recovering its database, see %s", self._server_log.path)
                report_at += _PROGRESS_INTERVAL

    def _wait_until_over(self, ended: Event) -> None:
        """Return when the server has ended or stop() was called, keeping the log file small meanwhile."""
        while not (ended.is_set() or self._stopping.is_set()):
            self._wake.wait(_LOG_CHECK_INTERVAL)
            self._wake.clear()
            with suppress(OSError):  # a full disk is no reason to take the server down
                self._server_log.limit_size()

    def _publish(self, change: Change) -> None:
        """Record a change and tell those who watch."""
        with self._condition_lock:
            self._condition = change
            for deliver in self._listeners:
                deliver(change)


def _wait_for_end(process: "subprocess.Popen[bytes]", ended: Event, wake: Event) -> None:
    """Wait for a process without polling, then set both events."""
    process.wait()
    ended.set()
    wake.set()


def _create_database(dsn: str) -> None:
    """Create the database `praxis` unless it exists, connected to another one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _describe_end(status: int) -> str:
    """Return how a process ended, from its exit status as subprocess gives it."""
    return f"by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return str(error).partition("\n")[0]
