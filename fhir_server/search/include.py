"""``_include`` and ``_revinclude``, one step and one query, https://hl7.org/fhir/R4/search.html#include."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from fhir_server.auth.caller import Caller
from fhir_server.search.bound import Include
from fhir_server.search.condition import Condition, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.index import values_of
from fhir_server.search.reference import local
from fhir_server.search.rewrites import permitted
from fhir_server.search.row import HasId
from fhir_server.search.searchset import Match
from fhir_server.search.slot import slot
from fhir_server.search.sql import Part

MOST_INCLUDED = 1000
Reference = tuple[str, str]


def parts(
    includes: Sequence[Include], matches: Sequence[Match], caller: Caller, environment: Environment
) -> list[Part]:
    """Return what to read, by type, for all includes of a page; types that the caller may not read are left out."""
    wanted: dict[str, list[Condition]] = {}
    for resource_type, ids in _referenced(includes, matches).items():
        wanted.setdefault(resource_type, []).append(HasId(tuple(ids)))
    for include in includes:
        if include.reverse:
            place = slot(caller.tenant, include.parameter)
            tokens = (place.token(f"{match.resource_type}/{match.id}") for match in matches)
            wanted.setdefault(include.parameter.resource_type, []).append(has_any(tokens))
    found = []
    for resource_type, conditions in wanted.items():
        allowed = permitted(caller, "read", resource_type, environment)
        if allowed is not None:
            found += [Part(resource_type, condition, allowed) for condition in conditions]
    return found


def _referenced(includes: Iterable[Include], matches: Iterable[Match]) -> dict[str, dict[str, None]]:
    """Return the ids that the matches refer to, by type, in order and without the matches themselves."""
    forward = [include for include in includes if not include.reverse]
    ids: dict[str, dict[str, None]] = {}
    if not forward:
        return ids
    known = {(match.resource_type, match.id) for match in matches}
    for match in matches:
        resource = msgspec.json.decode(match.content)
        for include in forward:
            for resource_type, id_ in _references(include, resource):
                if (resource_type, id_) not in known:
                    ids.setdefault(resource_type, {})[id_] = None
    return ids


def _references(include: Include, resource: dict[str, object]) -> Iterator[Reference]:
    for _, value in values_of(include.parameter, resource):
        text = value.get("reference") if isinstance(value, dict) else value
        relative = local(text) if isinstance(text, str) else None
        if relative is not None:
            resource_type, _, id_ = relative.partition("/")
            if include.target in (None, resource_type):
                yield resource_type, id_
