"""The indexes that searches read and single reads and writes don't need, taken down while very much comes in at once.

https://www.postgresql.org/docs/current/populate.html#POPULATE-RM-INDEXES. Keys and unique constraints stay. Nothing is noted
anywhere: an index of the schema that isn't in the database is missing, and whoever opens the database next builds it,
unless a bulk load holds the lock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, Index

from fhir_server.errors import Unavailable
from fhir_server.store import tables
from fhir_server.store.database import translate

log = logging.getLogger("praxis.store")

_LOCK = 0x50524159  # the one after that of the migrations
_AT_ONCE = 2
_MEMORY = "256MB"
_LOCK_TIMEOUT = "20s"


class BulkLoadUnderWay(Unavailable):
    """Another process loads in bulk into the same database."""


def _indexes() -> list[Index]:
    """Return them, those that take longest first."""
    searched = (tables.resource, tables.number_index, tables.date_index, tables.string_index)
    found = [index for table in searched for index in sorted(table.indexes, key=lambda i: str(i.name))]
    return sorted(found, key=lambda index: index.dialect_options["postgresql"]["using"] != "gin")


@cache
def _statements() -> dict[str, bytes]:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return {
        str(index.name): str(CreateIndex(index, if_not_exists=True).compile(dialect=dialect)).encode()
        for index in _indexes()
    }


def find_missing(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the names of the indexes that the database lacks."""
    rows = connection.execute(
        "SELECT x.name FROM unnest(%s::text[]) WITH ORDINALITY AS x(name, number) "
        "WHERE to_regclass(quote_ident(x.name)) IS NULL ORDER BY x.number",
        (list(_statements()),),
    )
    return [name for (name,) in rows]


def build_missing(dsn: str) -> list[str]:
    """Build the indexes that a bulk load left out when it died; return their names. Waits for nobody.

    While a bulk load is under way it does nothing, for that one builds them.
    """
    with _connect(dsn) as connection:
        missing = find_missing(connection)
        if not missing or not _take_lock(connection):
            return []
        missing = find_missing(connection)
        log.warning(
            "building %d search indexes that a bulk load left out when it died; this may take minutes", len(missing)
        )
        _build(dsn, missing)
        return missing


@contextmanager
def without_indexes(dsn: str) -> Iterator[None]:
    """Take the indexes down, and build them at the end, also when what is inside fails.

    Only when it is interrupted from the keyboard, or dies, do they stay away until the database is opened next. Raises
    BulkLoadUnderWay, and Unavailable when others keep the tables busy.
    """
    with _connect(dsn) as connection:
        if not _take_lock(connection):
            raise BulkLoadUnderWay("Another bulk load is under way; wait for its end, or load without --bulk.")
        try:
            connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'".encode())
            names = sql.SQL(", ").join(map(sql.Identifier, _statements()))
            connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(names))
        except psycopg.errors.LockNotAvailable as error:
            raise Unavailable("The tables are in use; try again when the server is less busy.") from error
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException:
            _build(dsn, find_missing(connection))
            raise
        _build(dsn, find_missing(connection))


def is_clear(dsn: str) -> bool:
    """Tell whether a bulk load would disturb nobody: nothing is stored yet, or a bulk load that died is to go on.

    And no other Praxis is connected, whose searches would be slow meanwhile.
    """
    with _connect(dsn) as connection:
        others = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'praxis')"
        ).fetchone()
        if others == (True,):
            return False
        if find_missing(connection):
            return True
        return connection.execute("SELECT EXISTS (SELECT FROM resource)").fetchone() == (False,)


@contextmanager
def _connect(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Lend a connection; raises what :func:`translate` makes of the database's errors."""
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=15) as connection:
            yield connection
    except psycopg.Error as error:
        raise (translate(error) or error) from error


def _take_lock(connection: psycopg.Connection[Any]) -> bool:
    """Take the lock of bulk loads for as long as the connection lives; False when another has it."""
    return connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() == (True,)


def _build(dsn: str, names: Sequence[str]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for built in [threads.submit(_build_one, dsn, name) for name in names]:
            built.result()


def _build_one(dsn: str, name: str) -> None:
    """Build one index; it commits by itself, so what is built stays when the next one fails."""
    with _connect(dsn) as connection:
        connection.execute(f"SET maintenance_work_mem = '{_MEMORY}'".encode())
        connection.execute("SET statement_timeout = 0")
        connection.execute(_statements()[name])
