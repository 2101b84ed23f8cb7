"""Fixtures that all tests share: one embedded PostgreSQL for the run, and one server over HTTP."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest

from fhir_server.store.embedded import EmbeddedPostgres
from fhir_server.store.migrate import migrate
from tests.server import RunningServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The DSN of an embedded PostgreSQL that lives for the whole run."""
    # Below /tmp and open to traverse: PostgreSQL runs under another account when the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="praxis-tests-"))
    folder.chmod(0o755)
    try:
        with EmbeddedPostgres(folder / "data") as server:
            yield server.dsn
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def with_database(dsn: str, name: str) -> str:
    """Return the DSN of another database of the same PostgreSQL."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def migrated_template(postgres: str) -> str:
    """The name of a migrated, empty database to copy."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_praxis")
    migrate(with_database(postgres, "template_praxis"))
    return "template_praxis"


def copy_database(postgres: str, template: str, name: str) -> str:
    """Make a fresh database from the template and return its DSN."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")  # type: ignore[arg-type]
    return with_database(postgres, name)


@pytest.fixture(scope="module")
def dsn(postgres: str, migrated_template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The DSN of an empty, migrated database of this test module's own."""
    name = (
        "t_" + request.module.__name__.rpartition(".")[2].lower()[:40] + f"_{abs(hash(request.module.__name__)) % 9973}"
    )
    yield copy_database(postgres, migrated_template, name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def shared_server(postgres: str, migrated_template: str) -> Iterator[RunningServer]:
    """One server with two workers and authentication off, for all tests that need no state of their own."""
    with RunningServer.on_database(copy_database(postgres, migrated_template, "shared_server")) as server:
        yield server


@pytest.fixture(scope="module")
def server(dsn: str) -> Iterator[RunningServer]:
    """A server over an empty database of this module's own."""
    with RunningServer.on_database(dsn) as running:
        yield running


@pytest.fixture
def client(shared_server: RunningServer) -> Iterator[httpx.Client]:
    """An HTTP client whose base is the shared server's FHIR base."""
    with shared_server.client() as http:
        yield http
