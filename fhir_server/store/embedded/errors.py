"""What can go wrong with the embedded database, each as one line that tells the operator what to do.

These arise at start-up or on the command line, before any HTTP request, and so carry no status.
"""


class EmbeddedPostgresError(Exception):
    """The embedded database cannot be used; `str()` is one line for the operator."""


class PostgresNotInstalled(EmbeddedPostgresError):
    """No usable PostgreSQL binaries were found."""


class DataDirectoryInUse(EmbeddedPostgresError):
    """Another running server holds the data directory; `pid` is its process id, None when it could not be read."""

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class DataDirectoryVersionMismatch(EmbeddedPostgresError):
    """The data directory was written by another major version of PostgreSQL."""


class DataDirectoryUnusable(EmbeddedPostgresError):
    """The data directory has the wrong owner, permissions or content."""


class PostgresStartFailed(EmbeddedPostgresError):
    """PostgreSQL ended, or was told to stop, before it accepted connections."""
