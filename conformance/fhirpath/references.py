"""What a Reference says about the type of its target, https://hl7.org/fhir/R4/references.html."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from conformance.definitions import resource_types


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(resource_types())


def referenced_type(reference: Any, root: Mapping[str, Any]) -> str | None:
    """Return the resource type that ``reference`` (a Reference, or a canonical or uri) points to, None if it is silent.

    ``Patient/1``, ``Patient/1/_history/2`` and absolute URLs of that form name it; ``#id`` is looked up in
    ``root.contained``; otherwise ``Reference.type`` says it.
    """
    if type(reference) is dict:
        text, declared = reference.get("reference"), reference.get("type")
    else:
        text, declared = reference, None
    if type(text) is str and text:
        if text[0] == "#":
            return _contained_type(text, root)
        segments = text.split("|", 1)[0].split("/")
        at = -4 if len(segments) > 3 and segments[-2] == "_history" else -2  # noqa: PLR2004 (type/id/_history/version)
        if len(segments) >= -at and segments[at] in _known():
            return segments[at]
    return declared.rpartition("/")[2] if type(declared) is str else None


def find_contained(text: str, root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the resource that ``#id`` names within ``root``; ``#`` alone is the root itself."""
    if text == "#":
        return root
    contained = root.get("contained")
    for resource in contained if type(contained) is list else ():
        if type(resource) is dict and resource.get("id") == text[1:]:
            return resource
    return None


def _contained_type(text: str, root: Mapping[str, Any]) -> str | None:
    found = find_contained(text, root)
    name = found.get("resourceType") if found else None
    return name if type(name) is str else None
