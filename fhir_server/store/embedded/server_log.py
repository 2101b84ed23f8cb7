"""The file that PostgreSQL writes its messages to, kept small, and the reason it gave when it failed.

The server appends to one open file for its whole life, so the file is emptied in place when it grows.
https://www.postgresql.org/docs/18/runtime-config-logging.html
"""

import os
import re
import shutil
from io import FileIO
from pathlib import Path

from fhir_server.store.embedded.account import match_owner

_LARGEST = 10 * 1024 * 1024
_REASON = re.compile(r"^.*?\b(?:FATAL|PANIC|ERROR): +(.*)$", re.MULTILINE)


class ServerLog:
    """The log file at `path`, with one predecessor `path.1`; 20 MB between the two, give or take a minute's worth."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    def open(self) -> FileIO:
        """Open the file for one run of the server, to be inherited by it."""
        self.limit_size()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        match_owner(descriptor, self.path.parent)
        self._start = os.fstat(descriptor).st_size
        return FileIO(descriptor, "a")

    def limit_size(self) -> None:
        """Move the content to the predecessor if there is too much of it."""
        if self.path.exists() and self.path.stat().st_size > _LARGEST:
            former = self.path.with_name(f"{self.path.name}.1")
            shutil.copy(self.path, former)
            former.chmod(0o600)
            os.truncate(self.path, 0)
            self._start = 0

    def last_reason(self) -> str:
        """Return the last fatal message of the present run, without its prefix; the last line if none is fatal."""
        with self.path.open("rb") as file:
            file.seek(max(self._start, self.path.stat().st_size - 65536))
            text = file.read().decode(errors="replace").strip()
        reasons = _REASON.findall(text)
        return reasons[-1] if reasons else text.rpartition("\n")[2]
