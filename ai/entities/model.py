"""The artifact of the taggers: fields and clusters as plain JSON with a hash, loaded once for each file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ai.artifact import Artifact, content_hash, read_artifact
from ai.entities.crf import Field
from ai.entities.tagging import SCHEMES, Taggers

NAME = "extract-entities"
SHIPPED = Path(__file__).parent / "model.json"


@dataclass(frozen=True, slots=True)
class EntityModel:
    """The taggers with their version, the hash of their artifact, and what they were trained on."""

    taggers: Taggers
    version: str
    sha256: str
    training: dict[str, Any]


def artifact_of(taggers: Taggers, release: str, training: dict[str, Any]) -> Artifact:
    """Return the taggers as an artifact; its version is ``release`` and the beginning of the content's hash."""
    content: Artifact = {
        "name": NAME,
        "training": training,
        "clusters": dict(taggers.clusters),
        "fields": {scheme: field.to_json() for scheme, field in taggers.fields.items()},
    }
    return {**content, "version": f"{release}-{content_hash(content)[:8]}"}


def load(models: Path | None = None) -> EntityModel:
    """Return the site's own model in ``models`` if it has one, else the shipped one; raises ArtifactError.

    A replaced file is noticed.
    """
    own = models / f"{NAME}.json" if models else None
    path = own if own and own.exists() else SHIPPED
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=2)
def _load(path: Path, _modified: int) -> EntityModel:
    artifact = read_artifact(path, NAME)
    fields = {scheme: Field.from_json(artifact["fields"][scheme]) for scheme in SCHEMES}
    return EntityModel(
        Taggers(artifact["clusters"], fields), artifact["version"], artifact["sha256"], artifact["training"]
    )
