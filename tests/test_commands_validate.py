"""``praxis validate``: files, formats, packages and the exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.decode import encode
from conformance.xml import to_xml
from tests.shared import shared

NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Ada</div>'}
VALID = {"resourceType": "Patient", "text": NARRATIVE}
BROKEN = {**VALID, "contact": [{"gender": "female"}]}
US_PATIENT = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"


def praxis(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ``praxis validate``."""
    command = [sys.executable, "-m", "fhir_server.cli", "validate", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)


def write(folder: Path, name: str, *contents: Any) -> str:
    """Write resources to a file, one on each line; return its path."""
    path = folder / name
    bodies = [to_xml(c) if name.endswith(".xml") else encode(c) for c in contents]
    path.write_bytes(b"\n".join(bodies))
    return str(path)


def test_json_and_xml_files_and_the_status(tmp_path: Path) -> None:
    valid, xml = write(tmp_path, "valid.json", VALID), write(tmp_path, "valid.xml", VALID)
    done = praxis(valid, xml)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [f"{valid}: valid", f"{xml}: valid"]
    broken = write(tmp_path, "broken.xml", BROKEN)
    done = praxis(valid, broken)
    assert done.returncode == 1
    (line,) = done.stdout.decode().splitlines()[1:]
    assert line.startswith(f"{broken}:1:")
    assert ": error: " in line
    assert line.endswith("(pat-1) (invariant) [Patient.contact[0]]")


def test_ndjson_is_validated_line_by_line_and_told_as_json(tmp_path: Path) -> None:
    done = praxis(write(tmp_path, "all.ndjson", VALID, BROKEN, VALID), "--format", "json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert [(one["line"], one["valid"]) for one in told] == [(1, True), (2, False), (3, True)]
    (issue,) = told[1]["outcome"]["issue"]
    assert issue["expression"] == ["Patient.contact[0]"]
    assert {e["valueInteger"] for e in issue["extension"] if e["url"].endswith("issue-line")} == {2}


def test_standard_input_is_read() -> None:
    assert praxis("-", stdin=encode(VALID)).returncode == 0
    assert praxis("-", stdin=b"{").returncode == 1


def test_a_profile_of_a_package(tmp_path: Path) -> None:
    package = str(shared("spec", "us-core", "hl7.fhir.us.core-6.1.0.tgz"))
    done = praxis(write(tmp_path, "patient.json", VALID), "--profile", US_PATIENT, "--package", package)
    assert done.returncode == 1
    for name in ("identifier", "name", "gender"):
        assert f"Patient.{name} needs at least 1" in done.stdout.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "nowhere.json: No such file or directory"),
        (["valid.json", "--profile", US_PATIENT], f"The profile {US_PATIENT} is not known; name the --package"),
        (["valid.json", "--package", "valid.json"], "valid.json: "),
        (["valid.json", "--package", "nowhere.tgz"], "nowhere.tgz: No such file or directory"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_status_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    write(tmp_path, "valid.json", VALID)
    done = praxis(*(str(tmp_path / a) if a.endswith((".json", ".tgz")) else a for a in arguments))
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("praxis: ")
    assert message in line
