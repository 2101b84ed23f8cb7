"""What a user of openapi-python-client (PyPI) does: generate a client from /openapi.json, and use it.

By hand, since the generator is no dependency of the project: ``uv run --no-project --with openapi-python-client python
tests/clients/openapi_story.py http://127.0.0.1:8000/fhir`` on a server with authentication off.
"""

from __future__ import annotations

import compileall
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

TYPES = ("Patient", "Observation")
# The generator knows no XML; it takes such a body as bytes.
CONFIG = 'content_type_overrides:\n  "application/xml-patch+xml": "application/octet-stream"\npost_hooks: []\n'
SYSTEM = "http://example.org/openapi"


def generate(base_url: str, folder: Path) -> str:
    """Write a client for two resource types and return its package's name. Fails on any warning of the generator."""
    described = httpx.get(f"{base_url.rpartition('/')[0]}/openapi.json", params=[("type", name) for name in TYPES])
    described.raise_for_status()
    (folder / "openapi.json").write_bytes(described.content)
    (folder / "config.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--path", "openapi.json"]
    command += ["--config", "config.yaml", "--output-path", "made"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    made = folder / "made"
    assert compileall.compile_dir(made, quiet=1), "the client does not compile"
    (package,) = (path.parent.name for path in made.glob("*/client.py"))
    sys.path.insert(0, str(made))
    return package


def use(base_url: str, package: str) -> None:
    """Create, read, search, change and delete a patient, and meet an error."""

    def call(name: str, *arguments: Any, **named: Any) -> Any:
        module = importlib.import_module(f"{package}.api.default.{name}")
        return module.sync_detailed(*arguments, client=client, **named)

    client = importlib.import_module(package).Client(base_url=base_url)
    models = importlib.import_module(f"{package}.models")
    number = uuid4().hex
    sent = {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": number}], "birthDate": "1980-02-29"}
    created = call("create_patient", body=models.Patient.from_dict(sent))
    assert created.status_code == 201, created
    id_ = created.parsed.id
    assert call("read_patient", id_).parsed.to_dict()["birthDate"] == "1980-02-29"
    found = call("search_patient", identifier=[f"{SYSTEM}|{number}"]).parsed
    assert [entry.resource["id"] for entry in found.entry] == [id_]
    changed = call("update_patient", id_, body=models.Patient.from_dict({**sent, "id": id_, "active": True}))
    assert changed.parsed.meta.version_id == "2"
    assert call("delete_patient", id_).status_code in (200, 204)
    gone = call("read_patient", id_)
    assert gone.status_code == 410
    assert gone.parsed.issue[0].code == "deleted"
    assert call("capabilities").parsed.fhir_version == "4.0.1"


def main(base_url: str) -> None:
    """Generate the client in a temporary folder and use it."""
    with tempfile.TemporaryDirectory() as folder:
        use(base_url.rstrip("/"), generate(base_url.rstrip("/"), Path(folder)))
    sys.stdout.write("The generated client works.\n")


if __name__ == "__main__":
    main(sys.argv[1])
