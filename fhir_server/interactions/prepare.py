"""From a checked resource to the change that the store writes: grants, id, meta, index entries, bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from conformance.decode import encode
from fhir_server.auth.caller import Caller, Interaction
from fhir_server.errors import Forbidden
from fhir_server.interactions.context import Context, format_instant
from fhir_server.search import user_parameters
from fhir_server.search.contained import has_contained, index_contained
from fhir_server.search.index import index
from fhir_server.search.match import matches
from fhir_server.store.entries import IndexEntries
from fhir_server.store.keys import next_key
from fhir_server.store.packages import COUNTED_TYPES
from fhir_server.store.read import Version
from fhir_server.store.write import Change

SERVER_META = frozenset(("versionId", "lastUpdated", "_versionId", "_lastUpdated"))
SERVER_PROPERTIES = frozenset(("resourceType", "id", "meta"))


def stamp(resource: dict[str, Any], id_: str, version: int, now: datetime) -> dict[str, Any]:
    """Return the resource with its id, version and time set, keeping what else the client put in ``meta``."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in SERVER_META}
    return {
        "resourceType": resource["resourceType"],
        "id": id_,
        "meta": {"versionId": str(version), "lastUpdated": format_instant(now), **meta},
        **{name: value for name, value in resource.items() if name not in SERVER_PROPERTIES},
    }


def require_grant(caller: Caller, interaction: Interaction, resource_type: str) -> None:
    """Raise Forbidden unless the caller holds some grant for the interaction on the type."""
    if not caller.grants_for(interaction, resource_type):
        raise Forbidden(f"{caller.subject} may not {interaction} {resource_type}.")


def is_granted(context: Context, interaction: Interaction, resource: dict[str, Any]) -> bool:
    """Tell whether a grant covers this very resource."""
    resource_type, tenant = resource["resourceType"], context.caller.tenant
    return any(
        not grant.criteria
        or matches(
            resource_type,
            resource,
            grant.criteria,
            tenant,
            parameters=context.parameters,
            base_url=context.base_url,
        )
        for grant in context.caller.grants_for(interaction, resource_type)
    )


def has_criteria(caller: Caller, interaction: Interaction, resource_type: str) -> bool:
    """Tell whether every grant for this is limited to some resources, so that content has to be looked at."""
    return all(g.criteria for g in caller.grants_for(interaction, resource_type))


def require_granted(context: Context, interaction: Interaction, resource: dict[str, Any]) -> None:
    """Raise Forbidden unless a grant covers this very resource."""
    if not is_granted(context, interaction, resource):
        raise Forbidden(f"{context.caller.subject} may not {interaction} this {resource['resourceType']}.")


def prepare_write(
    context: Context, resource: dict[str, Any], id_: str, now: datetime, *, replaces: Version | None, method: str
) -> Change:
    """Return the change that creates ``resource`` or replaces a version of it. ``method`` is C or U.

    Raises Forbidden without a grant that covers it, InvalidResource for a SearchParameter that can't be used.
    """
    version = replaces.version + 1 if replaces else 1
    stamped = stamp(resource, id_, version, now)
    require_granted(context, "update" if method == "U" else "create", stamped)
    resource_type = resource["resourceType"]
    if resource_type == "SearchParameter":
        user_parameters.check(stamped, context.parameters)
    if resource_type in COUNTED_TYPES:
        context.server.tenant_parameters.note_write()
    return Change(
        resource_type=resource_type,
        id=id_,
        key=replaces.key if replaces and replaces.key is not None else next_key(),
        version=version,
        last_updated=now,
        method="C" if method == "C" else "U",
        content=encode(stamped),
        entries=index(resource_type, stamped, context.caller.tenant, context.parameters, context.base_url),
        expected_version=replaces.version if replaces else None,
        revives=replaces is not None and replaces.content is None,
        contained=index_contained(stamped, context.caller.tenant, context.parameters, context.base_url)
        if "contained" in stamped
        else (),
        had_contained=replaces is not None and has_contained(replaces.content),
    )


def prepare_delete(resource_type: str, current: Version, now: datetime) -> Change:
    """Return the change that marks a resource deleted."""
    if current.key is None:
        raise ValueError("only a current version can be deleted")
    return Change(
        resource_type=resource_type,
        id=current.id,
        key=current.key,
        version=current.version + 1,
        last_updated=now,
        method="D",
        content=None,
        entries=IndexEntries(),
        expected_version=current.version,
        had_contained=has_contained(current.content),
    )
