"""A world to search in, for the tests of search."""

from __future__ import annotations

import pytest

from tests.search.world import World


@pytest.fixture
def world(dsn: str) -> World:
    """Return a tenant without resources."""
    return World(dsn)
