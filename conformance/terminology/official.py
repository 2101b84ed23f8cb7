"""The ValueSets and CodeSystems of FHIR 4.0.1, https://hl7.org/fhir/R4/terminologies-valuesets.html, without displays.

Compiled by :mod:`conformance.compile_terminology`. Read when first asked for: most processes never need them.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec


@cache
def _resources() -> dict[str, dict[str, Any]]:
    raw = (files("conformance") / "definitions" / "terminology.json.gz").read_bytes()
    resources: dict[str, list[Any]] = msgspec.json.decode(gzip.decompress(raw))
    return {name: {r["url"]: r for r in listed} for name, listed in resources.items()}


def find_official(resource_type: str, canonical: str) -> dict[str, Any] | None:
    """Return the ValueSet or CodeSystem of the specification with a canonical URL, perhaps ``url|version``, or None."""
    url, _, version = canonical.partition("|")
    found: dict[str, Any] | None = _resources()[resource_type].get(url)
    return found if found is None or not version or found.get("version") == version else None
