"""The Synthea bundles as plain Python values, and a plain reading of search over them."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

Resource = dict[str, Any]


@cache
def read_entries(archive: Path) -> tuple[tuple[str, Resource], ...]:
    """Return (fullUrl, resource) of every entry of every bundle of the archive."""
    decoder = msgspec.json.Decoder(float_hook=Decimal)
    out: list[tuple[str, Resource]] = []
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(".json") else None
            if file is not None:
                out += [(e["fullUrl"], e["resource"]) for e in decoder.decode(file.read())["entry"]]
    return tuple(out)


def instant(text: str) -> datetime:
    """Return the start of a date or dateTime in UTC."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    return datetime.fromisoformat(text).astimezone(UTC)


def codings(concept: Resource | None) -> Iterator[tuple[str | None, str | None]]:
    """Yield (system, code) of a CodeableConcept."""
    for coding in (concept or {}).get("coding", ()):
        yield coding.get("system"), coding.get("code")


def has_code(concept: Resource | None, code: str, system: str | None = None) -> bool:
    """Tell whether a concept has a code (of a system)."""
    return any(c == code and (system is None or s == system) for s, c in codings(concept))


Predicate = Callable[[Resource], bool]


def names(patient: Resource) -> Iterator[str]:
    """Yield every part of a patient's names."""
    for name in patient.get("name", ()):
        for part in ("family", "text"):
            if part in name:
                yield name[part]
        for part in ("given", "prefix", "suffix"):
            yield from name.get(part, ())


def starts(text: str, prefix: str) -> bool:
    """Tell whether a text starts with a prefix, whatever the case."""
    return text.casefold().startswith(prefix.casefold())
