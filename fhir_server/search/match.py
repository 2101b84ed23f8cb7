"""Whether a resource in memory fulfils search criteria, as grants on writes and conditional rules need to know.

The same conditions as in SQL, https://hl7.org/fhir/R4/search.html, tried on the index entries that would be stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from conformance.issues import Issue
from fhir_server.search.condition import Candidate
from fhir_server.search.criteria import bind_criterion
from fhir_server.search.errors import InvalidSearch, Unsupported
from fhir_server.search.index import index
from fhir_server.search.parse import parse
from fhir_server.search.registry import SearchParameters, standard
from fhir_server.store.entries import IndexEntries


def matches(
    resource_type: str,
    resource: dict[str, Any],
    criteria: Iterable[tuple[str, str]],
    tenant: int,
    *,
    entries: IndexEntries | None = None,
    parameters: SearchParameters | None = None,
) -> bool:
    """Tell whether a resource fulfils all criteria. ``entries`` saves indexing it again.

    Raises InvalidSearch for a criterion that can't be used: left out, it would let too much through.
    """
    known = parameters or standard()
    try:
        conditions = [bind_criterion(resource_type, c, tenant, known) for c in parse(criteria)]
    except Unsupported as reason:
        raise InvalidSearch([Issue("error", "not-supported", str(reason))]) from reason
    updated = resource.get("meta", {}).get("lastUpdated")
    candidate = Candidate(
        resource.get("id"),
        None if updated is None else datetime.fromisoformat(updated),
        index(resource_type, resource, tenant, known) if entries is None else entries,
    )
    return all(condition.holds(candidate) for condition in conditions)
