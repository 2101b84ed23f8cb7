"""Referential integrity, https://hl7.org/fhir/R4/http.html#integrity, where the server is set to enforce it.

Both checks run after the write and inside its transaction, on what would be committed: so the entries of a Bundle count,
and what they delete doesn't. What is referred to is locked against deletion until the transaction ends, and a deletion
holds its row before it looks for references, so neither can slip past the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from conformance.definitions import resource_types
from conformance.issues import Issue
from fhir_server.auth.caller import Caller
from fhir_server.errors import FhirError, StillReferenced, Unprocessable
from fhir_server.interactions.context import Context
from fhir_server.interactions.prepare import has_criteria
from fhir_server.interactions.references import local_address, located_references, references_of, relative
from fhir_server.search.registry import SearchParameters
from fhir_server.search.slot import slot
from fhir_server.store.database import Session
from fhir_server.store.hashing import value_hash
from fhir_server.store.references import find_existing, find_referring

MOST_NAMED = 10


def _addresses(resource: dict[str, Any], base_url: str) -> set[str]:
    found = (local_address(relative(reference, base_url)) for reference in references_of(resource))
    return {address for address in found if address is not None}


async def check_references(
    context: Context, session: Session, resources: Mapping[str, dict[str, Any]]
) -> dict[str, FhirError]:
    """Return what is wrong with the references of resources, by the names they are given under.

    A relative reference (or one below the server's own base) must lead to a resource that is not deleted.
    """
    wanted: set[str] = set()
    for resource in resources.values():
        wanted |= _addresses(resource, context.base_url)
    dangling = wanted - await find_existing(session, context.caller.tenant, wanted)
    if not dangling:
        return {}
    refused = {name: list(_dangling(resource, dangling, context.base_url)) for name, resource in resources.items()}
    return {name: Unprocessable.of(issues) for name, issues in refused.items() if issues}


def _dangling(resource: dict[str, Any], dangling: set[str], base_url: str) -> Iterable[Issue]:
    for expression, reference in located_references(resource):
        address = local_address(relative(reference, base_url))
        if address in dangling:
            yield Issue("error", "not-found", f"The reference {reference[:200]} leads to no resource.", expression)


@lru_cache(maxsize=512)
def _referring_salts(parameters: SearchParameters, tenant: int, target: str) -> Mapping[str, tuple[int, ...]]:
    """Return, for each type, the salts of its reference parameters that may lead to the target type."""
    salts: dict[str, tuple[int, ...]] = {}
    for name in resource_types():
        found = tuple(
            slot(tenant, parameter).salt
            for parameter in parameters.of(name).values()
            if parameter.type == "reference" and parameter.indexed and target in (parameter.targets or (target,))
        )
        if found:
            salts[name] = found
    return salts


async def check_referrers(context: Context, session: Session, deleted: Sequence[str]) -> dict[str, FhirError]:
    """Return the refusal of each deletion of an address (``Type/id``) that other resources still refer to.

    References are found by the search parameters of type reference, which cover all but those in extensions and a few
    elements without one.
    """
    tenant = context.caller.tenant
    tokens: dict[str, list[int]] = {}
    meant: dict[int, str] = {}
    for address in deleted:
        hashes = [value_hash(text) for text in (address, f"{context.base_url}/{address}")]
        for name, salts in _referring_salts(context.parameters, tenant, address.partition("/")[0]).items():
            own = [salt ^ hashed for salt in salts for hashed in hashes]
            tokens.setdefault(name, []).extend(own)
            meant |= dict.fromkeys(own, address)
    referrers: dict[str, list[tuple[str, str]]] = {}
    for name, id_, found in await find_referring(session, tenant, tokens, MOST_NAMED + 1):
        for address in {meant[token] for token in found}:
            referrers.setdefault(address, []).append((name, id_))
    return {address: StillReferenced(_told(context.caller, address, found)) for address, found in referrers.items()}


def _told(caller: Caller, address: str, referrers: Sequence[tuple[str, str]]) -> str:
    """Return the message; of referrers that the caller may not read only their being there is told."""
    named = [
        f"{name}/{id_}"
        for name, id_ in referrers[:MOST_NAMED]
        if caller.grants_for("read", name) and not has_criteria(caller, "read", name)
    ]
    more = len(named) < len(referrers)
    shown = ", ".join(named) + (" and others" if named and more else "") or "other resources"
    return f"{address} can't be deleted: {shown} refer to it."
