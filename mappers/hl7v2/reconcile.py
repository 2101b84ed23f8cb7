"""Fitting conversions to what the server has: looks the resources up, merges, leaves out what would change nothing.

A message says something about a part of a resource only: elements it carries replace, elements it leaves out stay,
elements it deletes
(``""``) go. Observations are replaced as a whole, as OBX-11 C demands. HL7 v2.9 chapter 2.10.4 (snapshot and delete),
design in docs/hl7v2.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from conformance.definitions import types
from fhir_server.operations.contract import Resource
from fhir_server.operations.feed import ContentError, FeedContext
from mappers.hl7v2.convert import UTC_ZONE, Conversion, convert, token
from mappers.hl7v2.encoding import HeaderError
from mappers.hl7v2.identity import Identity
from mappers.hl7v2.run import Draft
from mappers.hl7v2.tokenizer import tokenize

Json = dict[str, Any]
_IDENTITIES_PER_SEARCH = 100
_UNITED = frozenset(("identifier", "result", "specimen", "basedOn", "request", "presentedForm"))
"""Lists that a message adds to. ``extension`` is united by url; any other list is replaced."""
_GUARDED = ("Observation", "ServiceRequest")
"""Held by their DiagnosticReport: whoever creates one of these creates the report of the order first."""
_SERVER_OWNED = ("id", "meta")


@cache
def _siblings(resource_type: str) -> Mapping[str, tuple[str, ...]]:
    """JSON name of a choice element → the other names of that choice."""
    out: dict[str, tuple[str, ...]] = {}
    for element in types()[resource_type].elements.values():
        names = [name for name, _ in element.json_names]
        for name in names:
            out[name] = tuple(n for n in names if n != name)
    return out


def _united(name: str, present: list[Any], said: list[Any]) -> list[Any]:
    if name == "extension":
        urls = {e["url"] for e in said}
        return [e for e in present if e.get("url") not in urls] + said
    if name == "identifier":
        keys = {(i.get("system"), i.get("value")) for i in said}
        return [i for i in present if (i.get("system"), i.get("value")) not in keys] + said
    return present + [s for s in said if s not in present]


def _same_identifiers(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(i in b for i in a)


def merge(present: Json, draft: Draft) -> Json:
    """Return the stored resource with what the draft says applied to it."""
    out = dict(present)
    said = draft.resource
    for gone in draft.deleted:
        if gone.startswith("extension:"):
            rest = [e for e in out.get("extension", ()) if e.get("url") != gone.removeprefix("extension:")]
            out.pop("extension", None)
            if rest:
                out["extension"] = rest
        elif gone not in said:
            out.pop(gone, None)
            out.pop(f"_{gone}", None)
    siblings = _siblings(said["resourceType"])
    for name, value in said.items():
        if name in draft.weak and name in present:
            continue
        if name in _UNITED or name == "extension":
            united = _united(name, out.get(name, []), value)
            out[name] = out[name] if _same_identifiers(united, out.get(name, [])) else united
            continue
        for other in siblings.get(name, ()):
            out.pop(other, None)
        if f"_{name}" not in said:
            out.pop(f"_{name}", None)
        out[name] = value
    return out


def _replace(present: Json, draft: Draft) -> Json:
    return {**{k: present[k] for k in _SERVER_OWNED if k in present}, **draft.resource}


def _address_references(value: Any, addresses: Mapping[str, str]) -> None:
    """Turn references to resources that exist already into their addresses, in place."""
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str) and reference in addresses:
            value["reference"] = addresses[reference]
        for inner in value.values():
            if isinstance(inner, dict | list):
                _address_references(inner, addresses)
    elif isinstance(value, list):
        for inner in value:
            _address_references(inner, addresses)


def _drafts(conversions: Iterable[Conversion]) -> dict[tuple[str, Identity], Draft]:
    """Return the drafts of all conversions; raises when two messages say something about one resource."""
    out: dict[tuple[str, Identity], Draft] = {}
    for conversion in conversions:
        for draft in conversion.drafts:
            key = (str(draft.resource["resourceType"]), draft.identity)
            known = out.setdefault(key, draft)
            if known is not draft and draft.mode == "update":
                raise ContentError("Two messages of one batch are about the same resource.")
    return out


async def _find(
    drafts: Mapping[tuple[str, Identity], Draft], context: FeedContext
) -> dict[tuple[str, Identity], Resource]:
    """Return the stored resource of each draft that has one; one search per type and hundred identities."""
    by_type: dict[str, list[Identity]] = {}
    for resource_type, identity in drafts:
        by_type.setdefault(resource_type, []).append(identity)
    found: dict[tuple[str, Identity], Resource] = {}
    for resource_type, identities in by_type.items():
        for at in range(0, len(identities), _IDENTITIES_PER_SEARCH):
            some = identities[at : at + _IDENTITIES_PER_SEARCH]
            wanted = ",".join(f"{token(i.system)}|{token(i.value)}" for i in some)
            for resource in await context.search(resource_type, [("identifier", wanted)]):
                for identifier in resource.get("identifier", ()):
                    identity = Identity(identifier.get("system", ""), identifier.get("value", ""))
                    if (resource_type, identity) in drafts:
                        _keep_one(found, (resource_type, identity), resource)
    return found


async def _find_and_hold(
    drafts: Mapping[tuple[str, Identity], Draft], context: FeedContext
) -> dict[tuple[str, Identity], Resource]:
    """Return what exists; what does not can't be created by anybody else from here on."""
    found = await _find(drafts, context)
    missing = {key: draft for key, draft in drafts.items() if key not in found and key[0] not in _GUARDED}
    if missing:
        await context.hold([(type_, f"{token(i.system)}|{token(i.value)}") for type_, i in missing])
        if await _find(missing, context):  # somebody was faster: what hangs on it may be there as well
            found = await _find(drafts, context)
    return found


def _keep_one(found: dict[tuple[str, Identity], Resource], key: tuple[str, Identity], resource: Resource) -> None:
    """Return an identifier of a person or order must not be ambiguous: nobody guesses which patient is meant."""
    other = found.setdefault(key, resource)
    if other["id"] != resource["id"] and key[0] in ("Patient", "Encounter"):
        raise ContentError(f"Several {key[0]} resources carry the identifier that the message names.")


def _entries(
    drafts: Mapping[tuple[str, Identity], Draft], found: Mapping[tuple[str, Identity], Resource]
) -> list[Json]:
    addresses = {drafts[key].full_url: f"{key[0]}/{resource['id']}" for key, resource in found.items()}
    out: list[Json] = []
    for key, draft in drafts.items():
        present = found.get(key)
        _address_references(draft.resource, addresses)
        if present is None:
            request = {"method": "POST", "url": key[0]}
            out.append({"fullUrl": draft.full_url, "resource": draft.resource, "request": request})
        elif draft.mode == "update":
            whole = key[0] == "Observation" and not draft.weak
            resource = _replace(present, draft) if whole else merge(present, draft)
            if resource != present:
                version = present.get("meta", {}).get("versionId")
                request = {"method": "PUT", "url": f"{key[0]}/{present['id']}"}
                if version:
                    request["ifMatch"] = f'W/"{version}"'
                out.append({"fullUrl": draft.full_url, "resource": resource, "request": request})
    return out


async def apply(raws: Sequence[bytes], context: FeedContext, zone: str = UTC_ZONE) -> list[Resource]:
    """Give messages their effect, in one transaction Bundle, and return their reports. Raises ContentError."""
    try:
        conversions = [convert(tokenize(raw), zone) for raw in raws]
    except HeaderError as error:
        raise ContentError(error.reason, error.location) from error
    drafts = _drafts(conversions)
    found = await _find_and_hold(drafts, context)
    entries = _entries(drafts, found)
    if entries:
        await context.write({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    return [c.report for c in conversions]
