"""The definitions of what the server implements, readable at its own base: its CapabilityStatement names them by URL.

https://hl7.org/fhir/R4/operationdefinition.html, https://hl7.org/fhir/R4/searchparameter.html and
https://hl7.org/fhir/R4/compartmentdefinition.html. They belong to no tenant and nobody can change them. A read finds one where the
tenant has never had a resource of that id; a search by ``url``, ``code``, ``name`` or ``_id`` where nothing of the tenant's
matches. A tenant that stores its own under the same id or URL sees that one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from conformance.capability import compartment_urls
from conformance.decode import encode
from conformance.structures import find_definition
from fhir_server.interactions.conditions import is_visible
from fhir_server.interactions.context import Context, Server
from fhir_server.search.controls import CONTROLS, DEFAULT_COUNT, MOST_COUNT
from fhir_server.search.index import index
from fhir_server.search.match import matches
from fhir_server.search.registry import SearchParameters, described_parameters
from fhir_server.search.searchset import Match, SearchPage
from fhir_server.store.entries import IndexEntries
from fhir_server.store.read import Version

Query = Sequence[tuple[str, str]]

_NAMING = frozenset(("url", "code", "name", "_id"))
"""What a search must ask for to find them, so that a list of a tenant's own resources holds nothing else."""
_PLACE = "official-"


def _operations(server: Server, _: SearchParameters) -> Iterator[dict[str, Any]]:
    yield from (operation.definition for operation in server.operations.values())


def _search_parameters(_: Server, parameters: SearchParameters) -> Iterator[dict[str, Any]]:
    every = (parameter.url for of_type in described_parameters(parameters).values() for parameter in of_type)
    yield from _known("SearchParameter", dict.fromkeys(every))


def _compartments(_: Server, __: SearchParameters) -> Iterator[dict[str, Any]]:
    yield from _known("CompartmentDefinition", compartment_urls())


def _known(resource_type: str, urls: Sequence[str] | Mapping[str, None]) -> Iterator[dict[str, Any]]:
    """Yield those of the definitions that are FHIR's own; others are resources of a tenant or in its packages."""
    for url in urls:
        definition = find_definition(resource_type, url)
        if definition is not None:
            yield definition


_SOURCES: Mapping[str, Callable[[Server, SearchParameters], Iterator[dict[str, Any]]]] = {
    "CompartmentDefinition": _compartments,
    "OperationDefinition": _operations,
    "SearchParameter": _search_parameters,
}


@lru_cache(maxsize=16)
def _definitions(server: Server, parameters: SearchParameters, resource_type: str) -> dict[str, dict[str, Any]]:
    """Return the definitions of a type by id, in the order of their URLs. Takes a tenth of a second the first time."""
    found = sorted(_SOURCES[resource_type](server, parameters), key=lambda d: str(d["url"]))
    named = {d.get("id") or d["url"].rpartition("/")[2]: d for d in found}
    return {id_: {"resourceType": resource_type, "id": id_, **d} for id_, d in named.items()}


@lru_cache(maxsize=16)
def _entries(
    server: Server, parameters: SearchParameters, resource_type: str, tenant: int
) -> list[tuple[str, IndexEntries]]:
    """Return the ids and index entries of a type's definitions."""
    definitions = _definitions(server, parameters, resource_type)
    return [(id_, index(resource_type, d, tenant, parameters)) for id_, d in definitions.items()]


async def find_official(context: Context, resource_type: str, id_: str) -> Version | None:
    """Return the definition of an id as its only version, or None."""
    if resource_type not in _SOURCES:
        return None
    known = await asyncio.to_thread(_definitions, context.server, context.parameters, resource_type)
    found = known.get(id_)
    return None if found is None else Version(id_, 1, context.server.started, "C", encode(found), None)


def split_place(resource_type: str, query: Query) -> tuple[Query, int]:
    """Return a search's query without the place among these definitions that a link of ours set, and the place."""
    if resource_type in _SOURCES:
        for name, value in query:
            number = value.removeprefix(_PLACE)
            if name == "_cursor" and number != value and number.isdecimal() and len(number) < 6:  # noqa: PLR2004
                return [pair for pair in query if pair[0] != "_cursor"], int(number)
    return query, 0


async def add_official(context: Context, resource_type: str, page: SearchPage, place: int) -> SearchPage:
    """Return a search's page, with the matching definitions from a place on where it has no match."""
    criteria = [pair for pair in page.used if pair[0].partition(":")[0] not in CONTROLS]
    asks = any(name.partition(":")[0] in _NAMING for name, _ in criteria)
    if resource_type not in _SOURCES or page.matches or page.total or not asks or "_cursor" in dict(page.used):
        return page
    found = await asyncio.to_thread(_search, context, resource_type, criteria)
    asked = dict(page.used)
    count = 0 if asked.get("_summary") == "count" else min(int(asked.get("_count", DEFAULT_COUNT)), MOST_COUNT)
    following = place + count
    return replace(
        page,
        matches=found[place:following],
        total=None if page.total is None else len(found),
        used=[*page.used, ("_cursor", f"{_PLACE}{place}")] if place else page.used,
        next_cursor=f"{_PLACE}{following}" if count and following < len(found) else None,
    )


def _search(context: Context, resource_type: str, criteria: Query) -> list[Match]:
    server, parameters, tenant = context.server, context.parameters, context.caller.tenant
    definitions = _definitions(server, parameters, resource_type)
    found = []
    for id_, entries in _entries(server, parameters, resource_type, tenant):
        if matches(resource_type, {"id": id_}, criteria, tenant, entries=entries, parameters=parameters):
            content = encode(definitions[id_])
            if is_visible(context, resource_type, content):
                found.append(Match(resource_type, id_, 1, server.started, content, 0))
    return found
