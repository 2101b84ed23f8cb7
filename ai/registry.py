"""Which models there are: name, version, hash, what they were trained on, and where their cards lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ai.artifact import read_artifact

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that an operation uses."""

    name: str
    operation: str
    path: Path
    card: Path


@dataclass(frozen=True, slots=True)
class Listing:
    """What ``praxis ai list`` says of a model."""

    name: str
    operation: str
    version: str
    sha256: str
    source: str
    card: Path


ENTRIES = (
    Entry(
        "no-show",
        "Appointment/$predict-no-show",
        _HERE / "no_show" / "default_model.json",
        _HERE / "no_show" / "MODEL_CARD.md",
    ),
    Entry(
        "suggest-codes", "Encounter/$suggest-codes", _HERE / "codes" / "model.json", _HERE / "codes" / "MODEL_CARD.md"
    ),
    Entry(
        "extract-entities", "$extract-entities", _HERE / "entities" / "model.json", _HERE / "entities" / "MODEL_CARD.md"
    ),
)


def listings(models: Path | None = None) -> list[Listing]:
    """Return every model in force, a site's own before the shipped one; raises ArtifactError for an altered one."""
    found = []
    for entry in ENTRIES:
        own = models / f"{entry.name}.json" if models else None
        artifact = read_artifact(own if own and own.exists() else entry.path, entry.name)
        source = str(artifact["training"]["source"])
        found.append(Listing(entry.name, entry.operation, artifact["version"], artifact["sha256"], source, entry.card))
    return found


def card_of(name: str) -> str | None:
    """Return where a model's card lies in this distribution, None for an unknown model."""
    return next((entry.card.relative_to(_HERE.parent).as_posix() for entry in ENTRIES if entry.name == name), None)
