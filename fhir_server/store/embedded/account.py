"""Which user id PostgreSQL runs under.

PostgreSQL refuses to run as root, and rightly: started by root, it runs under a numeric user id that nobody logs in
with and no other program uses, so no operating-system user has to be created. Started by anyone else, it runs as that
user. https://www.postgresql.org/docs/18/postgres-user.html
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fhir_server.store.embedded.errors import DataDirectoryUnusable, EmbeddedPostgresError

# A stretch of ids that systemd's allocation table (https://systemd.io/UIDS-GIDS/) leaves unassigned and that also
# exists in a container with the usual 65,536 mapped ids. Sharing `nobody` would let every other daemon running as
# nobody read patient data.
_UNASSIGNED_IDS = range(60932, 61184)


@dataclass(frozen=True)
class Account:
    """A numeric user and group id."""

    uid: int
    gid: int

    def allows(self, path: Path, needed: int) -> bool:
        """Tell whether the permission bits of `path` grant `needed` (a sum of 4 read, 2 write, 1 search) to it."""
        status = path.stat()
        if status.st_uid == self.uid:
            granted = status.st_mode >> 6
        elif status.st_gid == self.gid:
            granted = status.st_mode >> 3
        else:
            granted = status.st_mode
        return granted & needed == needed

    def first_closed_directory(self, path: Path) -> Path | None:
        """Return the outermost directory on the way to, and including, `path` that this account cannot pass, if any."""
        return next((part for part in (*reversed(path.parents), path) if not self.allows(part, 1)), None)


def current_account() -> Account:
    """Return the account of this process."""
    return Account(os.geteuid(), os.getegid())


def choose_server_account(cluster: Path) -> Account:
    """Return the account the server over the data directory `cluster` runs under.

    That is this process's own unless it is root's. For root it is the owner of an existing cluster or of the directory
    prepared for it, or else, when that is root too, an id that no user has. Raises DataDirectoryUnusable when the
    cluster belongs to someone this process cannot act as.
    """
    mine = current_account()
    if mine.uid != 0:
        if cluster.exists() and (owner := cluster.stat().st_uid) != mine.uid:
            raise DataDirectoryUnusable(
                f"{cluster} belongs to user id {owner}, this process runs as {mine.uid}: "
                "start Praxis as that user or as root"
            )
        return mine
    is_filled = cluster.is_dir() and any(cluster.iterdir())
    place = cluster if is_filled else cluster.parent
    if place.exists() and (status := place.stat()).st_uid != 0:
        return Account(status.st_uid, status.st_gid)
    free = _unassigned_account()
    if is_filled:
        raise DataDirectoryUnusable(
            f"{cluster} belongs to root, as whom PostgreSQL does not run: `chown -R {free.uid}:{free.gid} {cluster}`"
        )
    return free


def choose_initdb_account(server: Account) -> Account:
    """Return the account to run initdb under, which, unlike the server, insists on a user id with a name.

    The server's own id when it has a name, else root lends `nobody` the server's group. Raises EmbeddedPostgresError
    when this process is neither root nor named.
    """
    if _has_name(server.uid):
        return server
    if os.geteuid() != 0:
        raise EmbeddedPostgresError(
            f"user id {server.uid} has no name in /etc/passwd, which initdb needs once to create the database: "
            f"add a line for it, or run Praxis as a named user or as root"
        )
    named = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    if not named:
        raise EmbeddedPostgresError("initdb needs a named user other than root, and /etc/passwd has none: add `nobody`")
    # Its own group would do, but the server's keeps other processes of the same user from tracing this one.
    lender = next((entry for entry in named if entry.pw_name == "nobody"), named[0])
    return Account(lender.pw_uid, server.gid)


def take_ownership(tree: Path, account: Account) -> None:
    """Give `tree` and all in it to `account`."""
    for path in _walk(tree):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def match_owner(descriptor: int, directory: Path) -> None:
    """Give an open file to the owner of `directory`, so that a user can open it after root has worked there."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def make_public(tree: Path) -> None:
    """Let everybody read `tree`, and execute what its owner may execute."""
    for path in _walk(tree):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if mode & stat.S_IXUSR else 0o644)


def _walk(tree: Path) -> Iterator[Path]:
    """Yield `tree` and every path below it."""
    yield tree
    yield from tree.rglob("*")


def _unassigned_account() -> Account:
    """Return the first id of the reserved stretch that names neither a user nor a group on this machine."""
    for number in _UNASSIGNED_IDS:
        if not _has_name(number) and not _is_group(number):
            return Account(number, number)
    raise EmbeddedPostgresError(
        f"no free user id between {_UNASSIGNED_IDS[0]} and {_UNASSIGNED_IDS[-1]} to run PostgreSQL under: "
        f"start Praxis as an ordinary user"
    )


def _has_name(uid: int) -> bool:
    """Tell whether the user database knows `uid`."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _is_group(gid: int) -> bool:
    """Tell whether the group database knows `gid`."""
    try:
        grp.getgrgid(gid)
    except KeyError:
        return False
    return True
