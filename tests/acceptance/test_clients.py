"""FHIR clients that others wrote, unmodified: fhirpy and fhirclient from PyPI, fhir-kit-client from npm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import RunningServer

STORIES = Path(__file__).parents[1] / "clients"
NODE = Path(sys.executable).parent / "node"


@pytest.mark.parametrize("story", ["fhirpy_story.py", "fhirclient_story.py", "fhir_kit_story.mjs"])
def test_a_client_does_its_work(shared_server: RunningServer, story: str) -> None:
    runner = str(NODE) if story.endswith(".mjs") else sys.executable
    if story.endswith(".mjs") and not (STORIES / "node_modules").is_dir():
        pytest.skip("fhir-kit-client is not installed; `make test` installs it")
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [runner, str(STORIES / story), shared_server.base_url]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
