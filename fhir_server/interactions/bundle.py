"""Bundles that the server makes: searchset and history, https://hl7.org/fhir/R4/bundle.html.

Stored resources are JSON bytes already, so a Bundle is put together from bytes and never parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from conformance.decode import encode


def link(relation: str, url: str) -> dict[str, str]:
    """Return a Bundle.link."""
    return {"relation": relation, "url": url}


def make_bundle(
    type_: str,
    now: str,
    links: Sequence[dict[str, str]],
    entries: Sequence[dict[str, Any] | msgspec.Raw],
    total: int | None = None,
) -> bytes:
    """Return a Bundle as bytes; an entry, or its ``resource``, may be ``msgspec.Raw`` bytes."""
    out: dict[str, Any] = {"resourceType": "Bundle", "type": type_, "timestamp": now}
    if total is not None:
        out["total"] = total
    if links:
        out["link"] = list(links)
    if entries:
        out["entry"] = list(entries)
    return encode(out)


def raw(content: bytes) -> msgspec.Raw:
    """Wrap JSON bytes so that they are copied into a Bundle as they are."""
    return msgspec.Raw(content)
