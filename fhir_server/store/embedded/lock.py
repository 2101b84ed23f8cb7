"""The lock that lets only one supervisor use a data directory.

The kernel drops an flock when its holder dies, however it dies, so a lock file left behind never blocks anyone;
the process id inside serves the error message only. https://man7.org/linux/man-pages/man2/flock.2.html
"""

import fcntl
import os
from pathlib import Path

from fhir_server.store.embedded.account import match_owner
from fhir_server.store.embedded.errors import DataDirectoryInUse


class DirectoryLock:
    """An exclusive lock on a data directory, held from construction to `release()`.

    Raises DataDirectoryInUse when another supervisor, in this process or another, holds it.
    """

    def __init__(self, data_dir: Path) -> None:
        # Not inheritable (Python's default), so the lock does not live on in programs that the holder starts.
        self._descriptor = os.open(data_dir / "praxis.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _read_pid(self._descriptor)
            os.close(self._descriptor)
            holder = f"process {pid}" if pid else "another process"
            raise DataDirectoryInUse(
                f"data directory {data_dir} is in use by {holder}; stop that server or choose another directory", pid
            ) from None
        match_owner(self._descriptor, data_dir)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the directory back; the file stays, because unlinking it would race with the next holder."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _read_pid(descriptor: int) -> int | None:
    """Return the process id written in the lock file, or None when there is none (yet)."""
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
