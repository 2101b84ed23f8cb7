"""What binding needs to know beside the query: whose search it is, by which parameters, at which address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fhir_server.search.registry import SearchParameters

Asked = tuple[str, str]
"""What a search wants to know of terminology: (``in``, value set), (``above`` or ``below``, ``system|code``)."""
Terms = Mapping[Asked, frozenset[tuple[str, str]] | str]
"""The (system, code) pairs that each such question stands for, or why there is no answer."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Surroundings of a query. ``base_url`` is the server's own, without a trailing slash; empty when unknown.

    ``terms`` answers what the query's criteria ask of terminology.
    """

    tenant: int
    parameters: SearchParameters
    base_url: str = ""
    terms: Terms = field(default_factory=lambda: MappingProxyType({}))
