"""Backup, restore and check of a Praxis database, embedded or not: `praxis db backup | restore | check`.

Archives are pg_dump's custom format, which any PostgreSQL of the same or a later major version restores.
https://www.postgresql.org/docs/18/backup-dump.html
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import psycopg
from psycopg import conninfo, sql

from fhir_server.store.embedded.cluster import sync_path
from fhir_server.store.embedded.errors import EmbeddedPostgresError, PostgresNotInstalled
from fhir_server.store.embedded.installation import Installation, find_installations, read_version

_CHUNK = 1 << 20
_LIST_SCHEMAS = (
    "SELECT quote_ident(nspname) FROM pg_namespace"
    " WHERE nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY 1"
)
_COUNT_TABLES = (
    "SELECT count(*) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND nspname <> 'information_schema' AND nspname !~ '^pg_'"
)
_RESET_PUBLIC = (
    "CREATE SCHEMA public; ALTER SCHEMA public OWNER TO pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC;\n"
)


class BackupError(EmbeddedPostgresError):
    """A backup or a restore did not happen; `str()` is one line, and nothing has changed."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with a database: the object's name (table, index, database ...) and what is wrong with it."""

    subject: str
    problem: str


def backup(dsn: str, file: Path) -> None:
    """Dump the database at `dsn` to `file`, readable by its owner only; it appears when complete and on disk.

    The dump is one consistent snapshot and blocks nobody; it replaces a former `file`. Raises BackupError.
    """
    with _one_line_errors("cannot back up"):
        installation = _find_tools(_ask_major_version(dsn))
        # mkstemp makes the file private, and pg_dump keeps it so.
        descriptor, name = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}-")
        os.close(descriptor)
        partial = Path(name)
        try:
            _run(installation, dsn, "pg_dump", "--format=custom", "--no-password", f"--file={partial}")
            _run(installation, dsn, "pg_restore", "--list", str(partial), connect=False)
            partial.replace(file)
            sync_path(file.absolute().parent)
        finally:
            partial.unlink(missing_ok=True)


def restore(dsn: str, file: Path, *, force: bool = False) -> None:
    """Load the archive `file` into the database at `dsn`, in one transaction: entirely or not at all.

    The database must hold no tables, unless `force` says to replace all its content. Raises BackupError.
    """
    with _one_line_errors("cannot restore"):
        if not file.is_file():
            raise BackupError(f"cannot restore: no file {file}")
        schemas, tables = _describe_content(dsn)
        if tables and not force:
            raise BackupError(f"cannot restore: the database already holds {tables} tables; only --force replaces them")
        installation = _find_tools(_ask_major_version(dsn))
        _run(installation, dsn, "pg_restore", "--list", str(file), connect=False)
        prelude = "BEGIN;\n" + "".join(f"DROP SCHEMA {schema} CASCADE;\n" for schema in schemas) + _RESET_PUBLIC
        _load(installation, dsn, file, prelude)


def check(dsn: str) -> list[Finding]:
    """Read every table of the database at `dsn` from the disk and return what is wrong; an empty list is good news.

    Covers checksum failures, unreadable pages (tables, their out-of-line values, system catalogs), invalid indexes and
    constraints not validated. Whether indexes agree with their tables is not compared: that takes the amcheck
    extension. Raises BackupError when the database cannot be reached.
    """
    with _one_line_errors("cannot check"), psycopg.connect(dsn, autocommit=True) as connection:
        # A count could otherwise be answered from an index, without a look at the table.
        connection.execute(
            "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off;"
            " SET statement_timeout = 0"
        )
        return [*_read_tables(connection), *_find_invalid(connection), *_find_checksum_failures(connection)]


def _read_tables(connection: psycopg.Connection) -> Iterator[Finding]:
    """Read each table and each table of out-of-line values from start to end."""
    names = connection.execute(
        "SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 't', 'm') AND relpersistence <> 't' AND relispopulated"
        " AND has_table_privilege(pg_class.oid, 'SELECT') ORDER BY 1, 2"
    ).fetchall()
    for schema, name in names:
        try:
            connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name)))
        except psycopg.errors.UndefinedTable:
            continue  # dropped meanwhile
        except psycopg.Error as error:
            if connection.broken:
                raise
            yield Finding(f"{schema}.{name}", f"cannot be read: {_first_line(error)}")


def _find_invalid(connection: psycopg.Connection) -> Iterator[Finding]:
    """Find indexes and constraints that exist but do not do their work."""
    for (name,) in connection.execute(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready AND indislive) ORDER BY 1"
    ):
        yield Finding(name, "the index is invalid: REINDEX it")
    for table, name in connection.execute(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE NOT convalidated ORDER BY 1, 2"
    ):
        yield Finding(f"{table}.{name}", "the constraint has not been validated for existing rows")


def _find_checksum_failures(connection: psycopg.Connection) -> Iterator[Finding]:
    """Find pages whose checksum was wrong whenever they were read, by this check or before."""
    for name, failures in connection.execute(
        "SELECT coalesce(datname, 'shared catalogs'), checksum_failures FROM pg_stat_database"
        " WHERE checksum_failures > 0"
    ):
        yield Finding(name, f"{failures} pages with a wrong checksum have been read")
    row = connection.execute("SHOW data_checksums").fetchone()
    if row != ("on",):
        yield Finding(connection.info.dbname, "data checksums are off: damage on the disk goes unnoticed")


def _describe_content(dsn: str) -> tuple[list[str], int]:
    """Return the schemas in the database, quoted, and the number of tables, views and sequences in them."""
    with psycopg.connect(dsn) as connection:
        schemas = connection.execute(_LIST_SCHEMAS)
        tables = connection.execute(_COUNT_TABLES).fetchone()
        return [name for (name,) in schemas], tables[0] if tables else 0


def _load(installation: Installation, dsn: str, file: Path, prelude: str) -> None:
    """Run `prelude` and the archive's statements, and commit only after pg_restore wrote the last of them.

    psql stops, and the server rolls back, at the first error, or when the statements end before the COMMIT.
    """
    reader = [str(installation.program("pg_restore")), "--file=-", "--no-owner", "--no-privileges", str(file)]
    target, environment = _split_password(dsn)
    writer = [str(installation.program("psql")), "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"]
    writer += [f"--output={os.devnull}", f"--dbname={target}"]
    with tempfile.TemporaryFile() as complaints, tempfile.TemporaryFile() as refusals:
        # Programs of the installation found above, without a shell.
        with (
            subprocess.Popen(reader, stdout=subprocess.PIPE, stderr=complaints, env=_plain_environment()) as source,  # noqa: S603
            subprocess.Popen(writer, stdin=subprocess.PIPE, stderr=refusals, env=environment) as sink,  # noqa: S603
        ):
            _feed(source, sink, prelude)
        if sink.returncode != 0:
            raise BackupError(f"cannot restore, nothing has changed: {_last_complaint(refusals)}")
        if source.returncode != 0:
            raise BackupError(f"cannot restore, nothing has changed: {_last_complaint(complaints)}")


def _feed(source: "subprocess.Popen[bytes]", sink: "subprocess.Popen[bytes]", prelude: str) -> None:
    """Pass the script that `source` prints on to `sink`, and the COMMIT if the script is whole."""
    script, statements = cast("IO[bytes]", source.stdout), cast("IO[bytes]", sink.stdin)
    try:
        statements.write(prelude.encode())
        shutil.copyfileobj(script, statements, _CHUNK)
        if source.wait() == 0:
            statements.write(b"\nCOMMIT;\n")
        statements.close()
    except BrokenPipeError:
        source.kill()  # psql has stopped at an error, which it reports itself
        with suppress(BrokenPipeError):
            statements.close()
    except BaseException:
        sink.kill()
        source.kill()
        raise


def _run(installation: Installation, dsn: str, name: str, *arguments: str, connect: bool = True) -> None:
    """Run one of PostgreSQL's programs to its end; raises BackupError with its own words when it fails."""
    command, environment = [str(installation.program(name)), *arguments], _plain_environment()
    if connect:
        target, environment = _split_password(dsn)
        command.append(f"--dbname={target}")
    with tempfile.TemporaryFile() as complaints:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=complaints, env=environment, check=False)  # noqa: S603
        if done.returncode != 0:
            raise BackupError(_last_complaint(complaints))


def _last_complaint(output: IO[bytes]) -> str:
    """Return the first line with an error in a program's messages, which names the cause, or else the last line."""
    output.seek(0)
    lines = output.read().decode(errors="replace").strip().splitlines() or ["no reason given"]
    return next((line for line in lines if "error:" in line.lower()), lines[-1])


def _split_password(dsn: str) -> tuple[str, dict[str, str]]:
    """Return the connection string without its password, and an environment that has it: command lines are public."""
    parameters = {name: str(value) for name, value in conninfo.conninfo_to_dict(dsn).items() if value is not None}
    environment = _plain_environment()
    if "password" in parameters:
        environment["PGPASSWORD"] = parameters.pop("password")
    return conninfo.make_conninfo(**parameters), environment


def _plain_environment() -> dict[str, str]:
    """Return this process's environment with messages in English."""
    return {**os.environ, "LC_MESSAGES": "C"}


def _ask_major_version(dsn: str) -> int:
    """Return the major version of the server at `dsn`."""
    with psycopg.connect(dsn) as connection:
        return connection.info.server_version // 10000


def _find_tools(major: int) -> Installation:
    """Return an installation, on the PATH or in the wheel, whose client programs are of the server's major version.

    It must be the same, because newer programs write statements that an older server does not know.
    """
    candidates: list[Installation] = []
    if on_path := shutil.which("pg_dump"):
        # Debian's /usr/bin/pg_dump is a link to a script that looks beside itself, so the link is not followed.
        with suppress(PostgresNotInstalled):
            candidates.append(Installation(Path(on_path).parent.parent, read_version(Path(on_path))))
    with suppress(PostgresNotInstalled):
        candidates += find_installations()
    for candidate in candidates:
        programs = map(candidate.program, ("pg_dump", "pg_restore", "psql"))
        if candidate.major == major and all(program.exists() for program in programs):
            return candidate
    raise BackupError(f"no pg_dump, pg_restore and psql of PostgreSQL {major} found: put them on the PATH")


@contextmanager
def _one_line_errors(task: str) -> Iterator[None]:
    """Turn failures of the operating system and the database into BackupError."""
    try:
        yield
    except (OSError, psycopg.Error) as error:
        raise BackupError(f"{task}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return str(error).strip().partition("\n")[0]
