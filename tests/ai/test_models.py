"""The folder of a site's own models: versions kept, promotion, going back, and the commands that do it."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ai.artifact import Artifact, ArtifactError, read_artifact, write_artifact
from ai.cli import app
from ai.models.folder import NoSuchVersionError, keep, kept, promote, rollback, version_in_force
from ai.no_show.model import DEFAULT, NAME, load
from tests.ai.practice import NOW, appointment, make_practice

RUN = CliRunner()


def artifact(version: str) -> Artifact:
    return {**read_artifact(DEFAULT, NAME), "version": version}


def test_a_promotion_is_noticed_and_taken_back_step_by_step(tmp_path: Path) -> None:
    shipped = load(tmp_path).model.version
    for version in ("one", "two"):
        keep(tmp_path, artifact(version))
        assert load(tmp_path).model.version != version
        promote(tmp_path, NAME, version)
        assert load(tmp_path).model.version == version
    assert [(k.version, k.in_force) for k in kept(tmp_path, NAME)] == [("one", False), ("two", True)]
    assert rollback(tmp_path, NAME) == "one"
    assert load(tmp_path).model.version == "one"
    assert rollback(tmp_path, NAME) is None
    assert load(tmp_path).model.version == shipped
    with pytest.raises(NoSuchVersionError, match="nothing to go back to"):
        rollback(tmp_path, NAME)


def test_promoting_what_is_in_force_changes_nothing(tmp_path: Path) -> None:
    keep(tmp_path, artifact("one"))
    promote(tmp_path, NAME, "one")
    promote(tmp_path, NAME, "one")
    assert rollback(tmp_path, NAME) is None


def test_a_model_put_there_by_hand_is_kept_when_another_replaces_it(tmp_path: Path) -> None:
    write_artifact(tmp_path / f"{NAME}.json", artifact("by-hand"))
    keep(tmp_path, artifact("one"))
    promote(tmp_path, NAME, "one")
    assert rollback(tmp_path, NAME) == "by-hand"
    assert version_in_force(tmp_path, NAME) == "by-hand"


def test_a_promotion_that_died_halfway_leaves_a_way_back(tmp_path: Path) -> None:
    for version in ("one", "two"):
        keep(tmp_path, artifact(version))
    promote(tmp_path, NAME, "one")
    # Noted what was in force, then died before the file was replaced.
    (tmp_path / "versions" / NAME / "promotions.json").write_text(json.dumps([None, "one"]))
    assert rollback(tmp_path, NAME) is None


def test_an_altered_version_is_refused_and_the_one_in_force_stays(tmp_path: Path) -> None:
    for version in ("one", "two"):
        keep(tmp_path, artifact(version))
    promote(tmp_path, NAME, "one")
    path = tmp_path / "versions" / NAME / "two.json"
    path.write_text(path.read_text().replace('"weight": ', '"weight": 1'))
    with pytest.raises(ArtifactError, match="sha256"):
        promote(tmp_path, NAME, "two")
    assert load(tmp_path).model.version == "one"


def test_an_unreadable_model_in_force_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.json").write_text("{")
    keep(tmp_path, artifact("one"))
    promote(tmp_path, NAME, "one")
    assert load(tmp_path).model.version == "one"


@pytest.mark.parametrize("version", ["three", "", "../one", "..", ".hidden"])
def test_what_is_no_kept_version_is_refused(tmp_path: Path, version: str) -> None:
    keep(tmp_path, artifact("one"))
    with pytest.raises(NoSuchVersionError):
        promote(tmp_path, NAME, version)


def test_one_version_name_stands_for_one_content(tmp_path: Path) -> None:
    keep(tmp_path, artifact("one"))
    keep(tmp_path, artifact("one"))
    with pytest.raises(ArtifactError, match="another model"):
        keep(tmp_path, {**artifact("one"), "weight": 0.123})


def test_the_commands_list_promote_and_roll_back(tmp_path: Path) -> None:
    for version in ("one", "two"):
        keep(tmp_path, artifact(version))
    folder = ["--models", str(tmp_path)]
    done = RUN.invoke(app, ["promote", NAME, "two", *folder])
    assert (done.exit_code, "two is in force" in done.output) == (0, True)
    listed = RUN.invoke(app, ["list", *folder]).output.split()
    assert [" ".join(listed[n - 2 : n + 1]) for n, word in enumerate(listed) if word == "two"][-1] == "in force two"
    assert "the shipped model" in RUN.invoke(app, ["rollback", NAME, *folder]).output
    for arguments, said in (
        (["promote", "nothing", "one", *folder], "no model is called nothing"),
        (["promote", NAME, "three", *folder], "no version three"),
        (["rollback", NAME, *folder], "nothing to go back to"),
        (["rollback", NAME], "PRAXIS_MODELS"),
        (["train"], "--all"),
        (["train", "--all"], "PRAXIS_MODELS"),
        (["daily"], "server's data"),
    ):
        refused = RUN.invoke(app, arguments, env={"PRAXIS_MODELS": None})
        assert (refused.exit_code, said in refused.output) == (2, True), refused.output


def write_practice(path: Path) -> Path:
    path.write_text("\n".join(json.dumps(r) for r in make_practice(patients=80, visits=1200)))
    return path


def test_training_promotes_what_is_better_and_only_that(tmp_path: Path) -> None:
    data, folder = write_practice(tmp_path / "data.ndjson"), tmp_path / "models"
    train = ["train", "--all", "--data", str(data), "--models", str(folder)]
    # What is in force says the same of everybody.
    write_artifact(folder / f"{NAME}.json", {**artifact("dull"), "calibration": [-1.0, 0.0]})
    first = RUN.invoke(app, train)
    assert first.exit_code == 0, first.output
    own = load(folder).model.version
    assert f"{own} is in force" in first.output
    assert "suggest-codes: skipped" in first.output
    assert load(folder).model.training["outcomes"] == 1200
    again = RUN.invoke(app, train)
    # The model in force has learned from the outcomes that the new one's twin is judged by.
    assert "not better" in again.output
    assert load(folder).model.version == own
    assert {k.version for k in kept(folder, NAME)} == {own, "dull"}


def test_too_few_outcomes_train_nothing(tmp_path: Path) -> None:
    few = tmp_path / "few.ndjson"
    visits = (appointment(f"a{n}", "p1", NOW - timedelta(days=n), 3, "fulfilled") for n in range(1, 40))
    few.write_text("\n".join(json.dumps(visit) for visit in visits))
    refused = RUN.invoke(app, ["train", "no-show", "--data", str(few), "--models", str(tmp_path / "models")])
    assert (refused.exit_code, "training needs 500" in refused.output) == (2, True)
    assert not (tmp_path / "models" / "versions").exists()
