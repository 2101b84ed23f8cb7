"""``praxis fhirpath`` as a user meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PATIENT = (
    '{"resourceType": "Patient", "birthDate": "1815-12-10", "name": [{"family": "Lovelace", "given": ["Ada", "Bé"]}]}'
)
OBSERVATION = """<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="x"/></code>
<valueQuantity><value value="1.50"/><system value="http://unitsofmeasure.org"/><code value="cm"/></valueQuantity></Observation>"""


def run(expression: str, file: Path | str, sent: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fhir_server.cli", "fhirpath", expression, str(file)],
        check=False,
        capture_output=True,
        text=True,
        input=sent,
    )


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    file = tmp_path / "patient.json"
    file.write_text(PATIENT, encoding="utf-8")
    return file


def test_each_result_is_a_line_of_json(patient: Path) -> None:
    done = run("name.given | name | birthDate + 1 year", patient)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ['"Ada"', '"Bé"', '{"family":"Lovelace","given":["Ada","Bé"]}', '"1816-12-10"']


def test_xml_and_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "observation.xml"
    file.write_text(OBSERVATION)
    assert run("value.value | value.toQuantity('mm')", file).stdout.splitlines() == ["1.50", "\"15 'mm'\""]
    assert run("status", "-", OBSERVATION).stdout == '"final"\n'


def test_traces_go_to_standard_error(patient: Path) -> None:
    done = run("name.family.trace('families').length()", patient)
    assert (done.stdout, done.stderr) == ("8\n", 'families: "Lovelace"\n')


@pytest.mark.parametrize(
    ("expression", "content", "message"),
    [
        ("name.where(", PATIENT, "praxis: Unexpected end at line 1, column 12: expected an expression"),
        ("nothing()", PATIENT, "praxis: there is no function nothing()"),
        ("id", "{", "truncated"),
        ("id", "[]", "holds no JSON object"),
        ("id", "<Patient", "praxis: "),
        ("id", None, "No such file"),
    ],
)
def test_a_refusal_is_one_line(tmp_path: Path, expression: str, content: str | None, message: str) -> None:
    file = tmp_path / "resource"
    if content is not None:
        file.write_text(content)
    done = run(expression, file)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert message in done.stderr
