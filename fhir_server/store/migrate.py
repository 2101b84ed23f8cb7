"""Bringing a database to this version's schema, and refusing one that is newer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from fhir_server.errors import Unavailable

HEAD = "0010"
MINIMUM_POSTGRESQL = 150000
_LOCK = 0x50524158  # "PRAX": any fixed number; only migrations take it


class SchemaMismatch(Exception):
    """The database has a schema this version does not know."""


def first_line(error: Exception) -> str:
    """Return what an error says on its first line: libpq adds guesses on the following ones."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].strip()


def _current(connection: psycopg.Connection[Any]) -> str | None:
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else None


def migrate(dsn: str) -> None:
    """Migrate the database at ``dsn`` to HEAD; does nothing (in one round trip) when it is there already.

    Raises SchemaMismatch for a database of a newer Praxis or an unsupported PostgreSQL, Unavailable when it can't be reached.
    Safe to call from several processes at once: they wait for each other.
    """
    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=15)
    except psycopg.OperationalError as error:
        raise Unavailable(f"The database is not reachable: {first_line(error)}") from error
    with connection:
        if connection.info.server_version < MINIMUM_POSTGRESQL:
            raise SchemaMismatch(
                f"PostgreSQL {connection.info.server_version // 10000} is too old; Praxis needs version 15 or newer."
            )
        if _current(connection) == HEAD:
            return
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        try:
            current = _current(connection)
            if current != HEAD:
                _upgrade(dsn, current)
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _upgrade(dsn: str, current: str | None) -> None:
    # Imported here: Alembic costs 0.3 s that a server on a current schema need not pay.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    if current is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(current)
        except CommandError as error:
            raise SchemaMismatch(
                f"The database has schema {current}, which this version of Praxis (schema {HEAD}) does not know; "
                "start the newer Praxis that wrote it."
            ) from error
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
