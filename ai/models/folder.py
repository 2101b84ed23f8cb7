"""The folder of a site's own models: every version is kept, one is in force.

    NAME.json                       the model in force; without it the shipped one is
    versions/NAME/VERSION.json      every version ever trained here
    versions/NAME/promotions.json   the versions in force before it, latest last; null stands for the shipped model

A promotion replaces ``NAME.json`` at once, so a server process reads the old model or the new one, and notices by itself.
Several hosts share the folder or get a copy of it. There is no specification of this; the artifacts are described in ``ai.artifact``.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai.artifact import Artifact, ArtifactError, content_hash, read_artifact, replace_file, write_artifact

_VERSIONS = "versions"
_PROMOTIONS = "promotions.json"


class NoSuchVersionError(Exception):
    """A version that isn't kept was named, or there is none to go back to."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A version in the folder, and whether it is the one in force."""

    version: str
    sha256: str
    in_force: bool
    source: str


def keep(models: Path, artifact: Artifact) -> Path:
    """Keep a version, without putting it in force; returns its file. The same content twice is kept once."""
    path = _version_path(models, artifact["name"], artifact["version"])
    if path.exists() and read_artifact(path, artifact["name"])["sha256"] != content_hash(artifact):
        raise ArtifactError(f"{path} holds another model of the same version")
    write_artifact(path, artifact)
    return path


def kept(models: Path, name: str) -> list[Kept]:
    """Return the versions of a model by name; raises ArtifactError for an altered one."""
    current = version_in_force(models, name)
    paths = sorted((models / _VERSIONS / name).glob("*.json"))
    found = [read_artifact(path, name) for path in paths if path.name != _PROMOTIONS]
    return [Kept(a["version"], a["sha256"], a["version"] == current, str(a["training"]["source"])) for a in found]


def version_in_force(models: Path, name: str) -> str | None:
    """Return the version of the site's own model in force; None when that is the shipped one."""
    path = models / f"{name}.json"
    return str(read_artifact(path, name)["version"]) if path.exists() else None


def promote(models: Path, name: str, version: str) -> None:
    """Put a kept version in force; raises NoSuchVersionError, and ArtifactError for an altered one."""
    path = _version_path(models, name, version)
    if not path.exists():
        raise NoSuchVersionError(f"no version {version} of {name} in {models}")
    artifact = read_artifact(path, name)
    with _alone(models):
        promotions = _promotions(models, name)
        current = _current(models, name)
        if current is not None and current["version"] == version:
            return
        if current is not None:
            # A model that was put here by hand is kept, too, so that there is a way back to it.
            keep(models, current)
        _note(models, name, [*promotions, current["version"] if current else None])
        write_artifact(models / f"{name}.json", artifact)


def rollback(models: Path, name: str) -> str | None:
    """Put the version back in force that was before the present one; returns it, None for the shipped model.

    Raises NoSuchVersionError when nothing was promoted here, and ArtifactError when the earlier version was altered.
    """
    with _alone(models):
        promotions = _promotions(models, name)
        present = models / f"{name}.json"
        if not present.exists():
            raise NoSuchVersionError(f"the shipped {name} is in force: there is nothing to go back to")
        current = _current(models, name)
        # A promotion that died between its two files has noted what is still in force.
        while promotions and current is not None and promotions[-1] == current["version"]:
            promotions = promotions[:-1]
        if not promotions:
            raise NoSuchVersionError(f"no earlier version of {name} is known in {models}")
        earlier = promotions[-1]
        if earlier is None:
            present.unlink()
        else:
            write_artifact(present, read_artifact(_version_path(models, name, earlier), name))
        _note(models, name, promotions[:-1])
        return earlier


def _current(models: Path, name: str) -> Artifact | None:
    """Return the model in force, None for the shipped one or for one that can't be read: a promotion heals that."""
    try:
        return read_artifact(models / f"{name}.json", name)
    except ArtifactError:
        return None


def _version_path(models: Path, name: str, version: str) -> Path:
    if not version or version.startswith(".") or "/" in version or "\\" in version:
        raise NoSuchVersionError(f"{version!r} is not a version")
    return models / _VERSIONS / name / f"{version}.json"


def _promotions(models: Path, name: str) -> list[str | None]:
    path = models / _VERSIONS / name / _PROMOTIONS
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read {path}: {error}") from error
    if not isinstance(found, list) or not all(entry is None or isinstance(entry, str) for entry in found):
        raise ArtifactError(f"{path} is not a list of versions")
    return found


def _note(models: Path, name: str, promotions: list[str | None]) -> None:
    replace_file(models / _VERSIONS / name / _PROMOTIONS, json.dumps(promotions) + "\n")


@contextmanager
def _alone(models: Path) -> Iterator[None]:
    """Keep two commands from changing what is in force at the same time."""
    models.mkdir(parents=True, exist_ok=True)
    with (models / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
