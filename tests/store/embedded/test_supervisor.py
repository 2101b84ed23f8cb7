"""Start, stop, refuse, watch and restart."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from psycopg import conninfo

from fhir_server.store.embedded import (
    DataDirectoryInUse,
    DataDirectoryUnusable,
    DataDirectoryVersionMismatch,
    EmbeddedPostgres,
    EmbeddedPostgresError,
    PostgresStartFailed,
    supervisor,
)
from fhir_server.store.embedded.installation import Installation, find_installations
from fhir_server.store.embedded.processes import find_processes, read_pid_file

ROOT = Path(__file__).resolve().parents[3]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as other users")


def ask(dsn: str, query: str) -> object:
    """Return the single value a query yields."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
    assert row
    return row[0]


def test_a_new_directory_becomes_a_database(home: Path) -> None:
    """A missing directory is created with a UTF-8 database that has checksums."""
    data_dir = home / "some" / "where"
    with EmbeddedPostgres(data_dir) as postgres:
        assert ask(postgres.dsn, "SELECT current_database()") == "praxis"
        assert ask(postgres.dsn, "SHOW server_encoding") == "UTF8"
        assert ask(postgres.dsn, "SHOW data_checksums") == "on"
        assert ask(postgres.dsn, "SELECT datlocale FROM pg_database WHERE datname = 'praxis'") == "C.UTF-8"
    assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700
    assert not list(data_dir.glob(".*"))


def test_only_a_private_unix_socket_is_open(data_dir: Path) -> None:
    """Nothing listens but a socket that only its owner reaches."""
    with EmbeddedPostgres(data_dir) as postgres:
        assert ask(postgres.dsn, "SHOW listen_addresses") == ""
        socket_dir = Path(str(conninfo.conninfo_to_dict(postgres.dsn)["host"]))
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
        assert socket_dir.stat().st_uid == (data_dir / "postgres").stat().st_uid
    assert not socket_dir.exists()


def test_durability_is_on_and_settings_are_taken(data_dir: Path) -> None:
    """Settings apply, and durability is on."""
    with EmbeddedPostgres(data_dir, settings={"work_mem": "7MB"}) as postgres:
        assert ask(postgres.dsn, "SHOW work_mem") == "7MB"
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert ask(postgres.dsn, f"SHOW {name}") == "on"


@pytest.mark.parametrize("name", ["fsync", "listen_addresses", "x; y", "synchronous_commit"])
def test_settings_that_are_not_negotiable_are_refused(home: Path, name: str) -> None:
    """What keeps data safe cannot be overridden, nor can anything be smuggled in."""
    with pytest.raises(ValueError, match=name):
        EmbeddedPostgres(home / "data", settings={name: "off"})


def test_a_setting_that_postgres_refuses_is_reported_in_one_line(data_dir: Path) -> None:
    """PostgreSQL's own reason reaches the operator."""
    with pytest.raises(PostgresStartFailed, match="work_mem") as caught:
        EmbeddedPostgres(data_dir, settings={"work_mem": "plenty"}).start()
    assert "\n" not in str(caught.value)
    with EmbeddedPostgres(data_dir) as postgres:  # the failed attempt has released the directory
        assert ask(postgres.dsn, "SELECT 1") == 1


def test_a_second_server_on_the_directory_is_refused_with_the_pid_of_the_first(data_dir: Path) -> None:
    """Two servers never share a directory."""
    program = "import sys; from pathlib import Path; from fhir_server.store.embedded import *\n"
    program += "try: EmbeddedPostgres(Path(sys.argv[1])).start()\nexcept DataDirectoryInUse as error: print(error)"
    with EmbeddedPostgres(data_dir) as postgres:
        with pytest.raises(DataDirectoryInUse) as caught:
            EmbeddedPostgres(data_dir).start()
        assert caught.value.pid == os.getpid()
        done = subprocess.run(
            [sys.executable, "-c", program, data_dir], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == str(caught.value)
        assert f"process {os.getpid()}" in done.stdout
        assert ask(postgres.dsn, "SELECT 1") == 1


def test_a_stale_lock_file_does_not_matter(data_dir: Path) -> None:
    """A lock file without its holder does not bar the start."""
    (data_dir / "praxis.lock").write_text("1\n")
    with EmbeddedPostgres(data_dir) as postgres:
        assert ask(postgres.dsn, "SELECT 1") == 1


def test_a_pid_file_whose_pid_was_used_again_does_not_matter(data_dir: Path) -> None:
    """A process that is not PostgreSQL is neither waited for nor ended."""
    cluster = data_dir / "postgres"
    # PostgreSQL itself refuses to start when this process is alive and of its own user.
    owner = cluster.stat().st_uid
    stranger = subprocess.Popen(["/bin/sleep", "60"], user=owner if os.geteuid() == 0 else None)
    try:
        (cluster / "postmaster.pid").write_text(
            f"{stranger.pid}\n{cluster}\n1700000000\n5432\n\n\n  1234 5678\nready   \n"
        )
        with EmbeddedPostgres(data_dir) as postgres:
            assert ask(postgres.dsn, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_orphaned_server_is_replaced(data_dir: Path) -> None:
    """A server without supervisor is shut down cleanly before a new one starts."""
    cluster = data_dir / "postgres"
    owner = cluster.stat()
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    postgres_program = find_installations()[0].program("postgres")
    command = [postgres_program, "-D", cluster, "-c", "listen_addresses=", "-c", f"unix_socket_directories={cluster}"]
    orphan = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd="/", **identity)  # type: ignore[call-overload]
    try:
        while not ((state := read_pid_file(cluster)) and state.ready):
            assert orphan.poll() is None
        with EmbeddedPostgres(data_dir) as postgres:
            assert ask(postgres.dsn, "SELECT 1") == 1
            assert orphan.wait() == 0
    finally:
        orphan.kill()
        orphan.wait()


def test_a_database_of_another_major_version_is_refused(home: Path) -> None:
    """The refusal names both versions and the way out."""
    cluster = home / "data" / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("15\n")
    if os.geteuid() == 0:
        os.chown(cluster, 65534, 65534)
    with pytest.raises(
        DataDirectoryVersionMismatch, match=r"PostgreSQL 15.*praxis db backup.*praxis db restore"
    ) as caught:
        EmbeddedPostgres(home / "data").start()
    assert "\n" not in str(caught.value)


def test_other_files_in_place_of_a_database_are_left_alone(home: Path) -> None:
    """Unknown files are neither used nor removed."""
    cluster = home / "data" / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "letter.txt").write_text("Dear Anna")
    if os.geteuid() == 0:
        os.chown(cluster, 65534, 65534)
    with pytest.raises(DataDirectoryUnusable, match="not a PostgreSQL data directory"):
        EmbeddedPostgres(home / "data").start()
    assert (cluster / "letter.txt").read_text() == "Dear Anna"


def test_a_half_made_database_is_made_anew(home: Path) -> None:
    """What a crash during creation left is cleared away."""
    (home / "data" / ".postgres-new-x" / "base").mkdir(parents=True)
    (home / "data" / "postgres").mkdir()
    with EmbeddedPostgres(home / "data") as postgres:
        assert ask(postgres.dsn, "SELECT 1") == 1
    assert not (home / "data" / ".postgres-new-x").exists()


@pytest.mark.parametrize("name", ["l" + "o" * 100 + "ng", 'a, "b" and späße €'])
def test_awkward_paths(home: Path, name: str) -> None:
    """Long paths and special characters work."""
    with EmbeddedPostgres(home / name) as postgres:
        assert ask(postgres.dsn, "SELECT 1") == 1
        socket_dir = Path(str(conninfo.conninfo_to_dict(postgres.dsn)["host"]))
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    assert not socket_dir.exists()


def test_watch_tells_of_death_restart_and_end(data_dir: Path) -> None:
    """Each change reaches an asynchronous observer."""

    async def observe() -> list[str]:
        postgres = EmbeddedPostgres(data_dir)
        await asyncio.to_thread(postgres.start)
        states: list[str] = []
        async for change in postgres.watch():
            states.append(change.state)
            state = read_pid_file(data_dir / "postgres")
            if states == ["ready"]:
                assert state
                os.kill(state.pid, signal.SIGKILL)
            elif change.state == "lost":
                assert "SIGKILL" in change.detail
            elif change.state == "ready":
                assert ask(postgres.dsn, "SELECT 1") == 1
                await asyncio.to_thread(postgres.stop)
        return states

    assert asyncio.run(observe()) == ["ready", "lost", "ready", "stopped"]


def test_restarts_are_tried_until_one_succeeds(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A cause that goes away in time needs nobody to restart anything; the pauses grow and every failure is logged."""
    control = data_dir / "postgres" / "global" / "pg_control"
    with EmbeddedPostgres(data_dir) as postgres:
        state = read_pid_file(data_dir / "postgres")
        assert state
        control.rename(f"{control}.away")
        os.kill(state.pid, signal.SIGKILL)
        while caplog.text.count("did not restart") < 2:
            time.sleep(0.01)
        control.with_name("pg_control.away").rename(control)
        while postgres.condition.state != "ready":
            time.sleep(0.01)
        assert ask(postgres.dsn, "SELECT 1") == 1
    delays = [record.args for record in caplog.records if "restarting" in record.message]
    assert delays[:3] == [(0.1,), (0.2,), (0.4,)]
    assert "pg_control" in caplog.text


def test_stop_during_start_ends_both(data_dir: Path) -> None:
    """A start that is not wanted any more reports so, and leaves the directory free."""
    postgres = EmbeddedPostgres(data_dir)
    outcome: list[BaseException | None] = []

    def start() -> None:
        try:
            postgres.start()
        except EmbeddedPostgresError as error:
            outcome.append(error)

    starting = Thread(target=start)
    starting.start()
    while not find_processes(data_dir / "postgres"):
        time.sleep(0.001)
    postgres.stop()
    starting.join()
    assert len(outcome) <= 1  # it may have been ready just in time
    assert not find_processes(data_dir / "postgres")
    with EmbeddedPostgres(data_dir) as another:
        assert ask(another.dsn, "SELECT 1") == 1


def test_the_server_is_in_a_session_of_its_own(data_dir: Path) -> None:
    """A Ctrl-C reaches the whole foreground group; the server must not be part of it."""
    with EmbeddedPostgres(data_dir):
        state = read_pid_file(data_dir / "postgres")
        assert state
        assert os.getsid(state.pid) == state.pid


def test_stop_leaves_nothing_running_and_may_be_repeated(data_dir: Path) -> None:
    """stop() ends all processes, at any time and any number of times."""
    postgres = EmbeddedPostgres(data_dir)
    postgres.stop()
    postgres = EmbeddedPostgres(data_dir)
    postgres.start()
    with psycopg.connect(postgres.dsn) as connection:  # a client that stays does not delay the end
        postgres.stop()
        postgres.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert not find_processes(data_dir / "postgres")
    assert postgres.condition.state == "stopped"
    with pytest.raises(RuntimeError, match="once"):
        postgres.start()


@as_root
def test_root_is_told_which_directory_bars_the_way(home: Path) -> None:
    """No directory is opened up; the message names it and the way out."""
    (home / "private").mkdir(mode=0o700)
    with pytest.raises(DataDirectoryUnusable, match=rf"cannot pass {home}/private: .*--data-dir"):
        EmbeddedPostgres(home / "private" / "data").start()


@as_root
def test_root_runs_the_server_under_an_account_that_nobody_has(data_dir: Path) -> None:
    """The server has neither root's rights nor those of another program."""
    with EmbeddedPostgres(data_dir):
        state = read_pid_file(data_dir / "postgres")
        assert state
        status = Path(f"/proc/{state.pid}/status").read_text()
    owner = (data_dir / "postgres").stat()
    assert f"Uid:\t{owner.st_uid}\t{owner.st_uid}\t{owner.st_uid}" in status
    assert f"Gid:\t{owner.st_gid}\t{owner.st_gid}\t{owner.st_gid}" in status
    assert "Groups:\t \n" in status
    assert owner.st_uid not in {0, 65534}


def run_as_nobody(program: str, *arguments: object) -> str:
    """Run a Python program as an ordinary user and return what it prints; skip without an interpreter for everybody."""
    interpreter = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not Path(interpreter).exists():
        pytest.skip(f"{interpreter} is needed to run as another user")
    prelude = "import sys; from pathlib import Path; import psycopg; from fhir_server.store.embedded import *\n"
    return subprocess.run(
        [interpreter, "-c", prelude + program, *map(str, arguments)],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@as_root
def test_an_ordinary_user_and_then_root_serve_the_same_directory(home: Path) -> None:
    """What root leaves behind in a user's directory does not lock the user out."""
    os.chown(home, 65534, 65534)
    program = "with EmbeddedPostgres(Path(sys.argv[1])) as p, psycopg.connect(p.dsn) as c:\n"
    program += " print(c.execute('SELECT current_user').fetchone()[0])"
    assert run_as_nobody(program, home / "data") == "praxis\n"
    assert (home / "data" / "postgres").stat().st_uid == 65534
    with EmbeddedPostgres(home / "data") as postgres:
        assert ask(postgres.dsn, "SELECT 1") == 1
    assert run_as_nobody(program, home / "data") == "praxis\n"


@as_root
def test_a_user_is_refused_a_directory_of_somebody_else(data_dir: Path) -> None:
    """The refusal is one line, not a traceback."""
    program = "try: EmbeddedPostgres(Path(sys.argv[1])).start()\nexcept EmbeddedPostgresError as error: print(error)"
    printed = run_as_nobody(program, data_dir)
    assert len(printed.splitlines()) == 1
    assert str(data_dir) in printed


@as_root
def test_binaries_in_a_private_home_are_copied_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment below a closed directory stays closed, and the server runs all the same."""
    original = find_installations()[0]
    private = home / "private"
    package = original.root.parent
    shutil.copytree(original.root, private / package.name / original.root.name, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), private / f"{package.name}.libs")
    private.chmod(0o700)
    hidden = Installation(private / package.name / original.root.name, original.version)
    monkeypatch.setattr(supervisor, "find_installations", lambda: (hidden,))
    outdated = home / "data" / "postgresql-17.1"
    outdated.mkdir(parents=True)
    with EmbeddedPostgres(home / "data") as postgres:
        assert ask(postgres.dsn, "SELECT 1") == 1
    copy = home / "data" / f"postgresql-{original.version}"
    made = copy.stat().st_ino
    with EmbeddedPostgres(home / "data") as postgres:
        assert ask(postgres.dsn, "SELECT 1") == 1
    assert copy.stat().st_ino == made
    assert copy.stat().st_uid == 0
    assert not outdated.exists()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
