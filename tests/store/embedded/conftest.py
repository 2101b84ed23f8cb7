"""Directories and servers that the tests of this folder share, because creating a database takes most of a second."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_server.store.embedded import EmbeddedPostgres


def make_reachable_directory() -> Path:
    """Return a new directory that any account can pass through, unlike pytest's own, which only its owner can."""
    path = Path(tempfile.mkdtemp(prefix="praxis-test-")).resolve()
    path.chmod(0o755)
    return path


@pytest.fixture
def home() -> Iterator[Path]:
    """Provide a new, empty directory that any account can pass through."""
    path = make_reachable_directory()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """Provide the data directory of a database which exists but is not served; tests leave it so."""
    path = make_reachable_directory()
    with EmbeddedPostgres(path / "data"):
        pass
    yield path / "data"
    shutil.rmtree(path)
