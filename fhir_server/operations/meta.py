"""$meta, $meta-add and $meta-delete, https://hl7.org/fhir/R4/resource-operations.html.

Labels (profiles, tags, security labels) change in place: the version stays the same, as does its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from conformance.decode import decode, encode
from conformance.definitions import resource_types
from fhir_server.errors import Gone, NotFound
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation, Resource
from fhir_server.operations.definitions import official
from fhir_server.operations.parameters import value
from fhir_server.search.environment import Environment
from fhir_server.search.index import index
from fhir_server.search.labels import LABELS, labels
from fhir_server.store.amend import amend_past
from fhir_server.store.database import Session
from fhir_server.store.occupied import occupied
from fhir_server.store.read import Version, lock, read, vread
from fhir_server.store.write import Change

Meta = dict[str, Any]
Join = Callable[[list[Any], list[Any]], list[Any]]

# An empty element is no FHIR, and the answer must have one.
_NONE: Meta = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "not-applicable"}]
}


def _identity(label: Any) -> Any:
    """Return what makes labels the same: a profile's URL; system and code of a coding, whatever its version and display."""
    return (label.get("system"), label.get("code")) if isinstance(label, dict) else label


def _added(present: list[Any], given: list[Any]) -> list[Any]:
    joined = {_identity(label): label for label in present}
    for label in given:
        joined.setdefault(_identity(label), label)
    return list(joined.values())


def _removed(present: list[Any], given: list[Any]) -> list[Any]:
    unwanted = {_identity(label) for label in given}
    return [label for label in present if _identity(label) not in unwanted]


def _answer(meta: Meta) -> Resource:
    return {"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": meta}]}


def relabelled(resource: Resource, given: Meta, join: Join) -> Resource:
    """Return the resource with its labels joined with the given ones; all else stays in its place."""
    meta = dict(resource.get("meta", {}))
    for name in LABELS:
        if name in given or name in meta:
            joined = join(meta.get(name, []), given.get(name, []))
            if joined:
                meta[name] = joined
            else:
                meta.pop(name, None)
    return {name: meta if name == "meta" else inner for name, inner in resource.items()}


def _check_readable(context: ServerContext, resource_type: str, id_: str, found: Version | None) -> bytes:
    """Return the content of a version; raises NotFound or Gone as a read would."""
    if found is None or (found.content is not None and not context.may_read(resource_type, found.content)):
        raise NotFound(f"{resource_type}/{id_} is not known.")
    if found.content is None:
        raise Gone(f"{resource_type}/{id_} was deleted.")
    return found.content


async def _read(invocation: Invocation, context: ServerContext, session: Session) -> Version | None:
    tenant, resource_type, id_ = context.caller.tenant, str(invocation.resource_type), str(invocation.id)
    if invocation.version_id is None:
        return await read(session, tenant, resource_type, id_)
    return await vread(session, tenant, resource_type, id_, invocation.version_id)


async def meta(invocation: Invocation, context: ServerContext) -> Resource:
    """Return the meta of a version, or all labels that resources of a type or of the system carry.

    For a type or the system, every labelled resource is read.
    """
    if invocation.id is None:
        return _answer(await _summarize(invocation.resource_type, context))
    resource_type = str(invocation.resource_type)
    context.require("read", resource_type)
    async with context.session() as session:
        found = await _read(invocation, context, session)
    content = _check_readable(context, resource_type, invocation.id, found)
    return _answer(decode(content, resource_type)["meta"])


async def _summarize(resource_type: str | None, context: ServerContext) -> Meta:
    if resource_type is not None:
        context.require("read", resource_type)
    wanted = list(resource_types()) if resource_type is None else [resource_type]
    environment = Environment(context.caller.tenant, context.parameters, context.base_url)
    async with context.session() as session:
        present = await occupied(session, context.caller.tenant, wanted)
    summary: dict[str, dict[Any, Any]] = {name: {} for name in LABELS}
    async with context.searching() as session:
        for name in present:
            statement = labels(context.caller, name, environment)
            for row in await session.fetch(*statement) if statement else ():
                for label, text in zip(LABELS, row, strict=True):
                    _collect(summary[label], msgspec.json.decode(text) if text else ())
    return {name: sorted(found.values(), key=str) for name, found in summary.items() if found} or _NONE


def _collect(found: dict[Any, Any], given: Iterable[Any]) -> None:
    for label in given:
        if label is not None:
            found.setdefault(_identity(label), label)


async def _relabel(invocation: Invocation, context: ServerContext, join: Join) -> Resource:
    """Change the labels of the current version, or of the one named, in one transaction."""
    resource_type, id_, version_id = str(invocation.resource_type), str(invocation.id), invocation.version_id
    context.require("update", resource_type)
    given, tenant = value(invocation.parameters, "meta"), context.caller.tenant

    async def attempt(session: Session) -> Resource:
        current = (await lock(session, tenant, resource_type, [id_])).get(id_)
        named = current if version_id is None else await vread(session, tenant, resource_type, id_, version_id)
        content = _check_readable(context, resource_type, id_, named)
        if current is None or named is None:
            raise NotFound(f"{resource_type}/{id_} is not known.")
        context.check_writable("update", resource_type, current)
        context.check_writable("update", resource_type, named)
        changed = relabelled(decode(content, resource_type), given, join)
        context.check_granted("update", changed)
        if named.version != current.version:
            await amend_past(session, tenant, resource_type, id_, named.version, encode(changed))
        else:
            await context.amend(session, _change(context, changed, named))
        return _answer(changed["meta"])

    return await context.persist(attempt)


def _change(context: ServerContext, resource: Resource, version: Version) -> Change:
    """Return the version with other content and what that contributes to the indexes."""
    resource_type = resource["resourceType"]
    return Change(
        resource_type=resource_type,
        id=version.id,
        key=version.key or 0,
        version=version.version,
        last_updated=version.last_updated,
        method="U",
        content=encode(resource),
        entries=index(resource_type, resource, context.caller.tenant, context.parameters, context.base_url),
        expected_version=version.version,
    )


async def meta_add(invocation: Invocation, context: ServerContext) -> Resource:
    """Add labels to a resource and return its meta; those it has already stay as they are."""
    return await _relabel(invocation, context, _added)


async def meta_delete(invocation: Invocation, context: ServerContext) -> Resource:
    """Remove labels from a resource and return its meta; it is no error when it lacks them."""
    return await _relabel(invocation, context, _removed)


META = BuiltIn(official("Resource-meta"), meta, versions=True)
META_ADD = BuiltIn(official("Resource-meta-add", affects_state=True), meta_add, versions=True)
META_DELETE = BuiltIn(official("Resource-meta-delete", affects_state=True), meta_delete, versions=True)
