"""Resources out of files: NDJSON, Bundles or single resources, plain or gzipped, or folders of them.

https://hl7.org/fhir/R4/bundle.html and, for NDJSON, https://hl7.org/fhir/R4/nd-json.html.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhir_server.operations.contract import Resource

_SUFFIXES = (".json", ".ndjson", ".json.gz", ".ndjson.gz")


class UnreadableDataError(ValueError):
    """A data file is missing or not in the format its command reads."""


def read_text(path: Path) -> str:
    """Return the text of a file, unpacked when it is gzipped; raises UnreadableDataError."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UnreadableDataError(f"{path}: {error}") from error


def read_resources(path: Path) -> Iterator[Resource]:
    """Yield every resource in a file or, sorted by name, in the files of a folder; Bundles are unpacked."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and file.name.endswith(_SUFFIXES):
                yield from read_resources(file)
        return
    text = read_text(path)
    lines = text.splitlines() if ".ndjson" in path.name else [text]
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield from _unpack(json.loads(line, parse_float=Decimal))
            except ValueError as error:
                raise UnreadableDataError(f"{path}, line {number}: {error}") from error


def _unpack(resource: Resource) -> Iterator[Resource]:
    if not isinstance(resource, dict) or "resourceType" not in resource:
        raise ValueError("not a FHIR resource")
    if resource["resourceType"] != "Bundle":
        yield resource
        return
    for entry in resource.get("entry", ()):
        if "resource" in entry:
            yield from _unpack(_named(entry))


def _named(entry: Resource) -> Resource:
    """Give a resource without an id the one of its urn:uuid, so that references to it can be followed."""
    resource: Resource = entry["resource"]
    if "id" not in resource and str(entry.get("fullUrl", "")).startswith("urn:uuid:"):
        return {**resource, "id": entry["fullUrl"].removeprefix("urn:uuid:")}
    return resource
