"""Model artifacts: plain JSON with the hash of their own content, never pickles.

An artifact is an object with ``name``, ``version``, ``sha256`` and whatever the model needs. The hash is of the
canonical JSON (sorted keys, no spaces) of everything but the hash, so a changed weight is noticed on loading.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

Artifact = dict[str, Any]


class ArtifactError(Exception):
    """An artifact cannot be read, or is not what its hash says."""


def content_hash(artifact: Artifact) -> str:
    """Return the SHA-256 (hex) of an artifact's content, its own ``sha256`` left out."""
    content = {key: value for key, value in artifact.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_artifact(path: Path, name: str) -> Artifact:
    """Read the artifact called ``name``; raises ArtifactError when it is missing, malformed or altered."""
    try:
        artifact = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read the model {path}: {error}") from error
    if not isinstance(artifact, dict) or artifact.get("name") != name:
        raise ArtifactError(f"{path} is not a {name} model")
    if artifact.get("sha256") != content_hash(artifact):
        raise ArtifactError(f"{path} does not have the content its sha256 names")
    return artifact


def write_artifact(path: Path, artifact: Artifact) -> str:
    """Write an artifact with its hash and return the hash. A reader sees the old file or the new one, never a part."""
    signed = {**artifact, "sha256": content_hash(artifact)}
    replace_file(path, json.dumps(signed, indent=1, sort_keys=True) + "\n")
    return str(signed["sha256"])


def replace_file(path: Path, text: str) -> None:
    """Put a file in the place of another at once, and on disk before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as draft:
        draft.write(text)
        draft.flush()
        os.fsync(draft.fileno())
    Path(draft.name).chmod(0o644)
    Path(draft.name).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
