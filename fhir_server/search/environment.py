"""What binding needs to know beside the query: whose search it is, by which parameters, at which address."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.search.registry import SearchParameters


@dataclass(frozen=True, slots=True)
class Environment:
    """Surroundings of a query. ``base_url`` is the server's own, without a trailing slash; empty when unknown."""

    tenant: int
    parameters: SearchParameters
    base_url: str = ""
