"""The data directory of the embedded database: made whole or not at all, and refused when it is not ours to open.

https://www.postgresql.org/docs/18/app-initdb.html
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from fhir_server.store.embedded import launch
from fhir_server.store.embedded.account import Account, choose_initdb_account, take_ownership
from fhir_server.store.embedded.errors import (
    DataDirectoryUnusable,
    DataDirectoryVersionMismatch,
    EmbeddedPostgresError,
    PostgresStartFailed,
)
from fhir_server.store.embedded.installation import Installation

SUPERUSER = "praxis"
_SCRATCH_PREFIX = ".postgres-new-"
# The socket lies in a directory that only the owner of the data can enter, and there is no other way in: whoever gets
# as far as to ask for a password could as well read the files.
_ACCESS_RULES = "local all all trust\nlocal replication all trust\n"


def launch_command(program: Path, arguments: list[str], account: Account, death_signal: signal.Signals) -> list[str]:
    """Return the command that runs a program under `account`, bound to the life of the calling thread."""
    script = str(Path(launch.__file__).resolve())
    identity = [os.getpid(), account.uid, account.gid, int(death_signal)]
    return [sys.executable, "-I", "-S", script, *map(str, identity), str(program), *arguments]


def environment() -> dict[str, str]:
    """Return the environment for server programs: none of the caller's PG* variables, locale or library paths."""
    return {"LC_ALL": "C", "PATH": os.defpath}


def create_data_dir(data_dir: Path, account: Account) -> None:
    """Make `data_dir` and its parents if they are missing, such that `account` can pass through them.

    Raises DataDirectoryUnusable when existing directories are closed to it; none is opened here.
    """
    if not data_dir.exists():
        missing = [part for part in data_dir.parents if not part.exists()]
        for parent in reversed(missing):
            parent.mkdir()
            parent.chmod(0o755)
        data_dir.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(data_dir, 0, account.gid)
            data_dir.chmod(0o710)
    closed = account.first_closed_directory(data_dir)
    if closed:
        raise DataDirectoryUnusable(
            f"user id {account.uid}, under which PostgreSQL runs, cannot pass {closed}: "
            f"choose a --data-dir elsewhere, such as /var/lib/praxis, or `chmod o+x {closed}`"
        )


def open_cluster(cluster: Path, installation: Installation, account: Account) -> None:
    """Make sure that `cluster` is a data directory which `installation` can serve, creating it when absent or empty.

    Raises DataDirectoryVersionMismatch, DataDirectoryUnusable, PostgresStartFailed (initdb).
    """
    for half_made in cluster.parent.glob(f"{_SCRATCH_PREFIX}*"):
        shutil.rmtree(half_made, ignore_errors=True)
    if not cluster.exists() or not any(cluster.iterdir()):
        _create_cluster(cluster, installation, account)
        return
    try:
        version = (cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise DataDirectoryUnusable(
            f"{cluster} is not empty but not a PostgreSQL data directory: move it away or choose another --data-dir"
        ) from None
    if version != str(installation.major):
        raise DataDirectoryVersionMismatch(
            f"{cluster} was written by PostgreSQL {version}, this Praxis has {installation.major}: dump it with the "
            f"former Praxis (`praxis db backup`), then `praxis db restore` into a new --data-dir with this one"
        )
    cluster.chmod(0o700)


def _create_cluster(cluster: Path, installation: Installation, account: Account) -> None:
    """Run initdb beside the final place, then move the result there."""
    creator = choose_initdb_account(account)
    scratch = Path(tempfile.mkdtemp(dir=cluster.parent, prefix=_SCRATCH_PREFIX))
    try:
        if os.geteuid() == 0:
            os.chown(scratch, creator.uid, creator.gid)
        _run_initdb(scratch, installation, creator)
        (scratch / "pg_hba.conf").write_text(_ACCESS_RULES)
        if os.geteuid() == 0:
            take_ownership(scratch, account)
        sync_path(scratch / "pg_hba.conf")
        scratch.rename(cluster)
        sync_path(cluster.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_initdb(directory: Path, installation: Installation, account: Account) -> None:
    """Fill an empty directory; the locale is PostgreSQL's own, so sorting never changes with the operating system."""
    arguments = ["-D", str(directory), "-U", SUPERUSER, "--auth=trust", "--data-checksums", "--no-instructions"]
    arguments += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command = launch_command(installation.program("initdb"), arguments, account, signal.SIGKILL)
    # A program of the installation, without a shell.
    done = subprocess.run(  # noqa: S603
        command, env=environment(), capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        # initdb names the cause first and what it cleaned up last.
        raise PostgresStartFailed(f"cannot create {directory.parent}: {reason[0]}")


def sync_path(path: Path) -> None:
    """Write a file or the entries of a directory through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def provide_socket_dir(data_dir: Path, cluster_name: str, account: Account) -> Path:
    """Return an empty directory for the server's socket that only `account` (and root) can enter.

    It lies in `data_dir`, or in the directory for temporary files when the path would be too long for a socket address
    (103 bytes on macOS, 107 on Linux) or holds a character that means something else in a connection string.
    """
    place = data_dir / "socket"
    if _fits_socket_address(place):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
    else:
        place = _make_temporary_dir(cluster_name, account)
        if not _fits_socket_address(place) or account.first_closed_directory(place.parent):
            place.rmdir()
            raise EmbeddedPostgresError(
                f"neither {data_dir} nor {place.parent} can hold a socket: choose a shorter --data-dir"
            )
    if os.geteuid() == 0:
        os.chown(place, account.uid, account.gid)
    return place


def _make_temporary_dir(name: str, account: Account) -> Path:
    """Return a new private directory among the temporary files: `name`, so that none pile up, or else a random one."""
    place = Path(tempfile.gettempdir()).resolve() / name
    with suppress(FileNotFoundError):
        if place.lstat().st_uid == account.uid:
            shutil.rmtree(place)
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
        return place
    # Someone else has taken the name.
    return Path(tempfile.mkdtemp(prefix="praxis-")).resolve()


def _fits_socket_address(directory: Path) -> bool:
    """Tell whether the path of a socket in `directory` is short and plain enough."""
    longest = 103 if sys.platform == "darwin" else 107
    path = str(directory / ".s.PGSQL.5432")
    return len(os.fsencode(path)) <= longest and not any(mark in path for mark in ',"\\') and path.isprintable()
