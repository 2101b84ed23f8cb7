"""``praxis ai``: what the commands print, write and refuse; and that importing the package loads nothing heavy."""

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ai import operations
from ai.artifact import read_artifact, write_artifact
from ai.cli import app
from ai.codes.suggestion import DEFAULT as CODES
from ai.no_show.model import DEFAULT as NO_SHOW
from ai.no_show.model import load
from tests.ai.practice import MemoryContext, make_practice

RUN = CliRunner()


@pytest.fixture
def practice(tmp_path: Path) -> Path:
    """Return a folder with the made-up practice, as NDJSON and as a Bundle."""
    resources = make_practice(patients=80, visits=1200)
    appointments = [r for r in resources if r["resourceType"] == "Appointment"]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": r} for r in resources if r["resourceType"] == "Patient"]}
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "appointments.ndjson").write_text("\n".join(json.dumps(a) for a in appointments))
    (folder / "patients.json").write_text(json.dumps(bundle))
    return folder


def test_training_writes_a_model_that_loads_and_evaluation_prints_intervals(practice: Path) -> None:
    out = practice.parent / "models" / "no-show.json"
    trained = RUN.invoke(app, ["train", "no-show", "--data", str(practice), "--out", str(out), "--source", "a test"])
    assert trained.exit_code == 0, trained.output
    assert load(out.parent).model.training["outcomes"] == 1200
    listed = RUN.invoke(app, ["list", "--models", str(out.parent)])
    assert load(out.parent).model.version in listed.output
    evaluated = RUN.invoke(app, ["evaluate", "no-show", "--data", str(practice)])
    assert evaluated.exit_code == 0, evaluated.output
    for word in ("model", "patient rate only", "base rate only", "AUC", "Brier", "calibration slope", "ECE", "n = 3"):
        assert word in evaluated.output


def test_the_list_shows_the_models_in_force(tmp_path: Path) -> None:
    for name, shipped in (("no-show", NO_SHOW), ("suggest-codes", CODES)):
        write_artifact(tmp_path / f"{name}.json", {**read_artifact(shipped, name), "version": f"own-{name}"})
    listed = RUN.invoke(app, ["list"], env={"PRAXIS_MODELS": str(tmp_path)})
    assert "own-no-show" in listed.output
    assert "own-suggest-codes" in listed.output
    assert "own-" not in RUN.invoke(app, ["list"], env={"PRAXIS_MODELS": None}).output


def test_training_reads_a_servers_own_appointments(tmp_path: Path) -> None:
    @asynccontextmanager
    async def open_context():  # noqa: ANN202
        yield MemoryContext(make_practice(patients=80, visits=1200))

    out = tmp_path / "no-show.json"
    trained = RUN.invoke(app, ["train", "no-show", "--out", str(out)], obj=open_context)
    assert trained.exit_code == 0, trained.output
    assert json.loads(out.read_text())["training"]["outcomes"] == 1200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "no-show"], "--data"),
        (["train", "no-show", "--data", "vitoria.csv"], "licence"),
        (["evaluate", "no-show", "--data", "nowhere.ndjson"], "nowhere.ndjson"),
        (["evaluate", "no-show", "--train", "a.csv"], "go together"),
        (["evaluate", "codes"], "--pairs"),
        (["evaluate", "codes", "--codiesp", "nowhere"], "nowhere"),
        (["evaluate", "negation", "--negex", "nowhere"], "nowhere"),
    ],
)
def test_what_a_command_cannot_do_it_says(arguments: list[str], said: str) -> None:
    result = RUN.invoke(app, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_evaluating_all_without_data_says_what_was_skipped() -> None:
    result = RUN.invoke(app, ["evaluate", "all"])
    assert result.exit_code == 0
    assert result.output.count("skipped") == 3


def test_operations_are_defined_and_nothing_heavy_is_imported() -> None:
    assert {operation.definition["code"] for operation in operations()} >= {"predict-no-show", "suggest-codes"}
    check = "import ai, sys; ai.operations(); import ai.cli; print({'sklearn', 'spacy', 'numpy'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"


def test_evaluate_without_a_name_runs_what_there_is_data_for() -> None:
    """Nothing at hand: each evaluation says why it is skipped."""
    done = RUN.invoke(app, ["evaluate"])
    assert done.exit_code == 0
    assert done.output.count("skipped") == 3
