"""Where the shared test data lies; tests that need it skip with a message when it is absent."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("PRAXIS_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def shared(*parts: str) -> Path:
    """Return a path below the shared data folder, or skip the test that asked."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(
            f"shared data not found: {path} (set PRAXIS_SHARED to the folder that holds it)", allow_module_level=True
        )
    return path
