"""What a request asks of the database: its statements, counted and explained from PostgreSQL's own log.

https://www.postgresql.org/docs/current/runtime-config-logging.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

_LINE = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ UTC \[(\d+)\] (\w+):  (.*)$", re.MULTILINE | re.DOTALL)
_START = re.compile(r"^(?=\d{4}-\d\d-\d\d [\d:.]+ UTC \[\d+\] )", re.MULTILINE)
_STATEMENT = re.compile(r"(?:execute [^:]*|statement): (.*)", re.DOTALL)
_PARAMETERS = re.compile(r"Parameters: (.*)", re.DOTALL | re.IGNORECASE)
_VALUE = re.compile(r"\$\d+ = (NULL|'(?:[^']|'')*')")
_SETTLE = 0.3
"""Seconds for the log to be written."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as the server ran it: its text with ``$1`` … and the values as SQL literals."""

    text: str
    values: tuple[str, ...]


@contextmanager
def logged(dsn: str) -> Iterator[None]:
    """Have every new connection log its statements; those there are end, so that the server makes new ones."""
    settings = ("log_statement = 'all'", "log_error_verbosity = 'default'")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for setting in settings:
            connection.execute(f"ALTER ROLE CURRENT_USER SET {setting}")  # type: ignore[arg-type]
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = user"
        )
        connection.execute(others)
        time.sleep(_SETTLE)
        try:
            yield
        finally:
            connection.execute("ALTER ROLE CURRENT_USER RESET ALL")
            connection.execute(others)


class Log:
    """PostgreSQL's log, read from where it was left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size

    def take(self) -> list[Statement]:
        """Return the statements logged since the last call."""
        time.sleep(_SETTLE)
        with self._path.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        self._read += len(text)
        return list(parse(text.decode(errors="replace")))


def parse(text: str) -> Iterator[Statement]:
    """Yield the statements of a piece of log, each with the values that its DETAIL line gives."""
    waiting: dict[str, str] = {}
    for entry in _START.split(text):
        found = _LINE.match(entry)
        if found is None:
            continue
        process, kind, message = found.groups()
        if kind == "LOG":
            if process in waiting:
                yield Statement(waiting.pop(process), ())
            if statement := _STATEMENT.match(message):
                waiting[process] = statement[1].strip()
        elif kind == "DETAIL" and process in waiting and (given := _PARAMETERS.match(message)):
            yield Statement(waiting.pop(process), tuple(_VALUE.findall(given[1])))
    for left in waiting.values():
        yield Statement(left, ())


def explain(dsn: str, statement: Statement) -> str:
    """Return the plan of a statement with these values, as it runs; it is rolled back."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET plan_cache_mode = force_custom_plan")
        connection.execute("SET jit = off")
        connection.execute(f"PREPARE asked AS {statement.text}")  # type: ignore[arg-type]
        values = f"({', '.join(statement.values)})" if statement.values else ""
        rows = connection.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) EXECUTE asked{values}")  # type: ignore[arg-type]
        plan = "\n".join(row[0] for row in rows.fetchall())
        connection.rollback()
    return plan


def counted(statements: list[Statement]) -> tuple[int, int]:
    """Return how many statements concern resources, and how many begin or end a transaction around them."""
    own = sum("resource_" in statement.text for statement in statements)
    frames = sum(statement.text.upper().startswith(("BEGIN", "COMMIT")) for statement in statements)
    return own, frames
