"""A migrated database of its own for the tests of this folder."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from fhir_server.store.embedded import EmbeddedPostgres
from fhir_server.store.ledger import load_ledger
from fhir_server.store.migrate import migrate


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """Provide a running PostgreSQL with the schema, for the whole session."""
    path = Path(tempfile.mkdtemp(prefix="praxis-test-")).resolve()
    path.chmod(0o755)
    with EmbeddedPostgres(path / "data") as postgres:
        migrate(postgres.dsn)
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            ddl = CreateTable(load_ledger, if_not_exists=True).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
            connection.execute(str(ddl).encode())
        yield postgres.dsn
    shutil.rmtree(path)


@pytest.fixture
def dsn(server_dsn: str) -> str:
    """Provide the database, emptied."""
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE resource, resource_history, string_index, date_index, number_index, load_ledger")
    return server_dsn
