"""Opening an installation's database: the one ``DATABASE_URL`` names, the embedded one, or one that ``praxis serve`` already runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from fhir_server.settings import Settings
from fhir_server.store.embedded import DataDirectoryInUse, EmbeddedPostgres
from fhir_server.store.migrate import migrate
from fhir_server.store.search_indexes import build_missing

# Where a running server tells other praxis commands how to reach its database.
ADDRESS_FILE = "praxis.dsn"


def _publish(file: Path, dsn: str) -> None:
    draft = file.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(dsn)
    draft.replace(file)


def _running(data_dir: Path, in_use: DataDirectoryInUse) -> str:
    """Return the DSN of the server that holds the data directory, or raise the error that told so."""
    try:
        dsn = (data_dir / ADDRESS_FILE).read_text()
        with psycopg.connect(dsn, connect_timeout=5):
            return dsn
    except (OSError, psycopg.OperationalError):
        raise in_use from None


def _prepare(dsn: str, *, indexes: bool) -> None:
    migrate(dsn)
    if indexes:
        build_missing(dsn)


@contextmanager
def opened(settings: Settings, *, exclusive: bool = False, schema: bool = True, indexes: bool = True) -> Iterator[str]:
    """Yield a libpq DSN of the database, migrated to this version's schema (unless ``schema`` is False).

    Search indexes that a bulk load left out when it died are built first, unless ``indexes`` is False. ``exclusive``
    refuses to share the data directory with a server that runs already. Raises EmbeddedPostgresError, SchemaMismatch or
    Unavailable, each with a one-line message.
    """
    if settings.database_url is not None:
        if schema:
            _prepare(settings.database_url, indexes=indexes)
        yield settings.database_url
        return
    data_dir = settings.data_dir.expanduser().absolute()
    embedded = EmbeddedPostgres(data_dir)
    try:
        embedded.start()
    except DataDirectoryInUse as error:
        if exclusive:
            raise
        dsn = _running(data_dir, error)
        if schema:
            _prepare(dsn, indexes=indexes)
        yield dsn
        return
    address = data_dir / ADDRESS_FILE
    try:
        _publish(address, embedded.dsn)
        if schema:
            _prepare(embedded.dsn, indexes=indexes)
        yield embedded.dsn
    finally:
        address.unlink(missing_ok=True)
        embedded.stop()


def default_processes() -> int:
    """Return how many processes may work at once on this machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
