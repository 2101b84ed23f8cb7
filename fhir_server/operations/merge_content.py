"""What a merge makes of resources, https://build.fhir.org/patient-operation-merge.html (draft): pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.operations.contract import Resource
from fhir_server.store.write import Change

_IDENTITY = ("system", "value")


def repointed(inner: Any, addresses: Mapping[str, str]) -> Any:
    """Return JSON in which every Reference.reference that is a key of ``addresses`` is its value; the rest is shared.

    References to a version stay: that version still says what was referred to.
    """
    if isinstance(inner, dict):
        return {
            name: addresses[below]
            if name == "reference" and isinstance(below, str) and below in addresses
            else repointed(below, addresses)
            for name, below in inner.items()
        }
    if isinstance(inner, list):
        return [repointed(below, addresses) for below in inner]
    return inner


def _linked(patient: Resource, other: str, type_: str) -> list[dict[str, Any]]:
    """Return a Patient's links, with one to the other of that type."""
    link = {"other": {"reference": f"Patient/{other}"}, "type": type_}
    links = list(patient.get("link", ()))
    known = any(
        known.get("type") == type_ and known.get("other", {}).get("reference") == f"Patient/{other}" for known in links
    )
    return links if known else [*links, link]


def merged_source(source: Resource, target: Resource) -> Resource:
    """Return the source as it is after the merge: inactive, replaced by the target."""
    return {**source, "active": False, "link": _linked(source, target["id"], "replaced-by")}


def merged_target(source: Resource, target: Resource, result: Resource | None) -> Resource:
    """Return the target as it is after the merge: given as ``result``, or with the source's identifiers marked as old."""
    out = dict(target if result is None else result)
    if result is None:
        known = {tuple(i.get(name) for name in _IDENTITY) for i in target.get("identifier", ())}
        old = [
            {**i, "use": "old"}
            for i in source.get("identifier", ())
            if tuple(i.get(name) for name in _IDENTITY) not in known
        ]
        if old:
            out["identifier"] = [*target.get("identifier", ()), *old]
    out["link"] = _linked(out, source["id"], "replaces")
    return out


def provenance_of(source: str, target: str, changes: Sequence[Change], subject: str, recorded: str) -> Resource:
    """Return the Provenance of a merge: every new version as a target, the one before it as an entity (a revision).

    Putting back the content of each entity, where the target is still the current version, undoes the merge.
    """
    return {
        "resourceType": "Provenance",
        "target": [{"reference": f"{c.resource_type}/{c.id}/_history/{c.version}"} for c in changes],
        "recorded": recorded,
        "reason": [{"text": f"Patient/{source} is the same person as Patient/{target}"}],
        "activity": {"text": "merge"},
        "agent": [{"who": {"display": subject}}],
        "entity": [
            {"role": "revision", "what": {"reference": f"{c.resource_type}/{c.id}/_history/{c.expected_version}"}}
            for c in changes
        ],
    }
