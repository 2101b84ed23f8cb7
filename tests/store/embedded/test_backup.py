"""Backup, restore and check, with PostgreSQL's real programs."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from fhir_server.store.embedded import BackupError, EmbeddedPostgres, Finding, backup, check, restore


@pytest.fixture(scope="module")
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """Provide a running server."""
    with EmbeddedPostgres(data_dir) as postgres:
        yield postgres


@pytest.fixture
def dsn(server: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """Provide a new, empty database for one test."""
    name = f"test_{abs(hash(request.node.name))}"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield server.dsn.replace("/praxis?", f"/{name}?")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def execute(dsn: str, *statements: str) -> None:
    """Execute statements, one transaction each."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def count(dsn: str, table: str) -> int:
    """Return the number of rows."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row
    return int(row[0])


FILL = (
    "CREATE TABLE patient (id int PRIMARY KEY, name text)",
    "INSERT INTO patient SELECT n, 'Zoë ' || n FROM generate_series(1, 20000) n",
    'CREATE SCHEMA "odd name"',
    "CREATE TABLE \"odd name\".note (body text CHECK (body <> ''))",
)


def test_what_was_backed_up_is_restored(dsn: str, home: Path) -> None:
    """Restoring over changed content brings back exactly the former content."""
    execute(dsn, *FILL)
    file = home / "praxis.dump"
    backup(dsn, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(home.iterdir()) == [file]
    execute(dsn, "DELETE FROM patient WHERE id > 10", "CREATE TABLE later (id int)", "CREATE SCHEMA afterwards")
    with pytest.raises(BackupError, match=r"already holds 3 tables.*force"):
        restore(dsn, file)
    assert count(dsn, "patient") == 10
    restore(dsn, file, force=True)
    assert count(dsn, "patient") == 20000
    with psycopg.connect(dsn) as connection:
        schemas = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1").fetchall()
        assert schemas == [("information_schema",), ("odd name",), ("public",)]
        assert connection.execute("SELECT to_regclass('later')").fetchone() == (None,)
    backup(dsn, file)  # replaces the former file


def test_a_backup_fits_an_empty_database(dsn: str, home: Path) -> None:
    """Without tables in the way no force is needed."""
    execute(dsn, *FILL)
    backup(dsn, home / "praxis.dump")
    execute(dsn, "DROP TABLE patient", 'DROP SCHEMA "odd name" CASCADE')
    restore(dsn, home / "praxis.dump")
    assert count(dsn, "patient") == 20000


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_damaged_archive_changes_nothing(dsn: str, home: Path, kept: float) -> None:
    """An archive that ends early is refused or rolled back, even when forced."""
    execute(dsn, *FILL)
    file = home / "praxis.dump"
    backup(dsn, file)
    os.truncate(file, int(kept if kept >= 1 else file.stat().st_size * kept))
    execute(dsn, "DELETE FROM patient WHERE id > 10")
    with pytest.raises(BackupError) as caught:
        restore(dsn, file, force=True)
    assert "\n" not in str(caught.value)
    assert count(dsn, "patient") == 10


def test_an_archive_that_contradicts_itself_changes_nothing(dsn: str, home: Path) -> None:
    """When the database refuses a statement in the middle, all is as before and its reason is told."""
    execute(dsn, *FILL, "CREATE FUNCTION fine(int) RETURNS bool IMMUTABLE LANGUAGE sql RETURN true")
    execute(dsn, "CREATE TABLE checked (id int CHECK (fine(id)))", "INSERT INTO checked VALUES (1)")
    execute(dsn, "CREATE OR REPLACE FUNCTION fine(int) RETURNS bool IMMUTABLE LANGUAGE sql RETURN false")
    backup(dsn, home / "praxis.dump")
    with pytest.raises(BackupError, match=r"nothing has changed.*violates check constraint"):
        restore(dsn, home / "praxis.dump", force=True)
    assert count(dsn, "patient") == 20000
    assert count(dsn, "checked") == 1


def test_a_failed_backup_leaves_the_former_file(dsn: str, home: Path) -> None:
    """A file that was good stays until there is a better one."""
    file = home / "praxis.dump"
    file.write_bytes(b"former")
    with pytest.raises(BackupError, match="cannot back up"):
        backup(f"{dsn}&connect_timeout=2".replace("socket", "nowhere"), file)
    with pytest.raises(BackupError, match="cannot back up"):
        backup(dsn, home / "missing" / "praxis.dump")
    assert file.read_bytes() == b"former"
    assert list(home.iterdir()) == [file]


def test_a_missing_archive_is_named(dsn: str, home: Path) -> None:
    """A wrong file name is told as such."""
    with pytest.raises(BackupError, match=r"no file .*nothing\.dump"):
        restore(dsn, home / "nothing.dump")


def test_the_password_is_not_on_a_command_line(dsn: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user of a machine can read command lines."""
    commands: list[str] = []
    run = subprocess.run

    def record(command: list[str], **options: object) -> object:
        commands.append(" ".join(map(str, command)))
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", record)
    backup(dsn.replace("praxis@", "praxis:open-sesame@"), home / "praxis.dump")
    assert any("pg_dump" in command for command in commands)
    assert not any("open-sesame" in command for command in commands)


def test_check_finds_nothing_in_a_sound_database(dsn: str) -> None:
    """No news is good news."""
    execute(dsn, *FILL)
    assert check(dsn) == []


def test_check_finds_what_is_not_valid(dsn: str) -> None:
    """Indexes that failed to build and constraints never validated are reported."""
    execute(dsn, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(dsn, "CREATE UNIQUE INDEX CONCURRENTLY broken ON t (id)")
    execute(dsn, "ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 1) NOT VALID")
    assert check(dsn) == [
        Finding("broken", "the index is invalid: REINDEX it"),
        Finding("t.positive", "the constraint has not been validated for existing rows"),
    ]


def test_check_without_a_database(dsn: str) -> None:
    """An unreachable database is an error, not a finding."""
    with pytest.raises(BackupError, match="cannot check"):
        check(dsn.replace("socket", "nowhere"))


def test_check_finds_damage_on_the_disk(home: Path) -> None:
    """One flipped bit in a table, and one in its out-of-line values, are found."""
    with EmbeddedPostgres(home / "data") as postgres:
        execute(postgres.dsn, *FILL, "CREATE TABLE long_text (body text)")
        execute(
            postgres.dsn, "INSERT INTO long_text SELECT string_agg(md5(n::text), '') FROM generate_series(1, 9999) n"
        )
        with psycopg.connect(postgres.dsn) as connection:
            row = connection.execute(
                "SELECT pg_relation_filepath('patient'), pg_relation_filepath(reltoastrelid),"
                " reltoastrelid::regclass::text"
                " FROM pg_class WHERE relname = 'long_text'"
            ).fetchone()
        assert row
    for path in row[:2]:
        with (home / "data" / "postgres" / path).open("r+b") as file:
            file.seek(5000)
            byte = file.read(1)[0]
            file.seek(5000)
            file.write(bytes([byte ^ 1]))
    with EmbeddedPostgres(home / "data") as postgres:
        findings = {finding.subject: finding.problem for finding in check(postgres.dsn)}
    assert "invalid page in block 0" in findings["public.patient"]
    assert "invalid page in block 0" in findings[row[2]]
    assert set(findings) == {"public.patient", row[2], "praxis"}
    assert findings["praxis"].endswith("pages with a wrong checksum have been read")
