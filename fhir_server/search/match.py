"""Whether a resource in memory fulfils search criteria, as grants with criteria need to know on writes.

The same conditions as in SQL, https://hl7.org/fhir/R4/search.html, tried on the index entries that would be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fhir_server.search.condition import Candidate
from fhir_server.search.criteria import bind_all
from fhir_server.search.environment import Environment
from fhir_server.search.index import index
from fhir_server.search.registry import SearchParameters, standard
from fhir_server.store.entries import IndexEntries


def matches(
    resource_type: str,
    resource: dict[str, Any],
    criteria: Sequence[tuple[str, str]],
    tenant: int,
    *,
    entries: IndexEntries | None = None,
    parameters: SearchParameters | None = None,
    base_url: str = "",
) -> bool:
    """Tell whether a resource fulfils all criteria; one that can't be used or has a bad value is fulfilled by none.

    ``entries`` saves indexing the resource again.
    """
    environment = Environment(tenant, parameters or standard(), base_url)
    condition = bind_all(resource_type, criteria, environment)
    if condition is None:
        return False
    updated = resource.get("meta", {}).get("lastUpdated")
    return condition.holds(
        Candidate(
            resource.get("id"),
            None if updated is None else datetime.fromisoformat(updated),
            index(resource_type, resource, tenant, environment.parameters, base_url) if entries is None else entries,
        )
    )
