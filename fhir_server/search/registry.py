"""The search parameters of each resource type, https://hl7.org/fhir/R4/searchparameter-registry.html."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from conformance.definitions import SearchParameter, resource_types, search_parameters, types, value_sets
from fhir_server.search.paths import Branch, branches, narrow_targets
from fhir_server.store.hashing import parameter_id

_OTHERS = frozenset(t.name for t in types().values() if t.kind == "resource" and t.base == "Resource")
# These two live in columns of the resource's row.
COLUMNS = frozenset(("_id", "_lastUpdated"))
INDEXED_TYPES = frozenset(("token", "reference", "string", "date", "number", "quantity", "uri"))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter as it applies to one resource type.

    ``definition`` is the SearchParameter, with the targets it has on this type (empty means any). ``systems`` maps a
    code to the one code system it can come from, where the element has a required binding.
    """

    resource_type: str
    code: str
    type: str
    definition: SearchParameter
    id: int
    branches: tuple[Branch, ...]
    systems: Mapping[str, str]

    @property
    def targets(self) -> tuple[str, ...]:
        """The types a reference may point to; empty means any."""
        return self.definition.target

    @property
    def indexed(self) -> bool:
        """Whether index entries exist for it."""
        return bool(self.branches) and self.type in INDEXED_TYPES and self.code not in COLUMNS


class SearchParameters:
    """An immutable set of SearchParameters, by resource type and code. A later definition replaces an earlier one."""

    def __init__(self, definitions: Iterable[SearchParameter]) -> None:
        by_base: dict[str, dict[str, SearchParameter]] = {}
        for definition in definitions:
            for base in definition.base:
                by_base.setdefault(base, {})[definition.code] = definition
        self._by_base = by_base
        self._of: dict[str, Mapping[str, Parameter]] = {}

    def of(self, resource_type: str) -> Mapping[str, Parameter]:
        """Return the parameters of a resource type by code, those of every type included."""
        known = self._of.get(resource_type)
        if known is None:
            bases = ["Resource", *(["DomainResource"] if resource_type not in _OTHERS else []), resource_type]
            definitions = [d for base in bases for d in self._by_base.get(base, {}).values()]
            known = MappingProxyType({d.code: _parameter(d, resource_type) for d in definitions})
            self._of[resource_type] = known
        return known


@cache
def standard() -> SearchParameters:
    """Return the parameters that the FHIR 4.0.1 specification defines."""
    return SearchParameters(search_parameters())


@cache
def described_parameters() -> Mapping[str, tuple[SearchParameter, ...]]:
    """Return the definitions of the standard parameters that can be searched by, for each resource type."""
    return MappingProxyType(
        {
            name: tuple(p.definition for p in standard().of(name).values() if p.indexed or p.code in COLUMNS)
            for name in resource_types()
        }
    )


def _parameter(definition: SearchParameter, resource_type: str) -> Parameter:
    found = tuple(branches(definition.expression, resource_type)) if definition.expression else ()
    targets = narrow_targets(definition.target, [b.targets for b in found])
    return Parameter(
        resource_type=resource_type,
        code=definition.code,
        type=definition.type,
        definition=replace(definition, target=targets),
        id=parameter_id(resource_type, definition.code),
        branches=found,
        systems=_implied_systems(found) if definition.type == "token" else {},
    )


def _implied_systems(found: Iterable[Branch]) -> Mapping[str, str]:
    """Return code → system for the codes that occur in exactly one system of the required bindings."""
    systems: dict[str, set[str]] = {}
    for branch in found:
        if branch.element is not None and branch.element.required is not None:
            for system, code in value_sets().get(branch.element.required, ()):
                systems.setdefault(code, set()).add(system)
    return {code: next(iter(candidates)) for code, candidates in systems.items() if len(candidates) == 1}
