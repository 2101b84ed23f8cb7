"""An embedded PostgreSQL: found in the installed wheel, kept alive by a supervisor, backed up, restored, checked.

The command line that owns the server process enters `EmbeddedPostgres` and hands its `dsn` to the workers; they
know nothing of this package. https://www.postgresql.org/docs/18/server-start.html
"""

from fhir_server.store.embedded.backup import BackupError, Finding, backup, check, restore
from fhir_server.store.embedded.errors import (
    DataDirectoryInUse,
    DataDirectoryUnusable,
    DataDirectoryVersionMismatch,
    EmbeddedPostgresError,
    PostgresNotInstalled,
    PostgresStartFailed,
)
from fhir_server.store.embedded.supervisor import Change, EmbeddedPostgres

__all__ = [
    "BackupError",
    "Change",
    "DataDirectoryInUse",
    "DataDirectoryUnusable",
    "DataDirectoryVersionMismatch",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "Finding",
    "PostgresNotInstalled",
    "PostgresStartFailed",
    "backup",
    "check",
    "restore",
]
