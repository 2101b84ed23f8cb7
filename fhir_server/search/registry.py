"""The search parameters of each resource type, https://hl7.org/fhir/R4/searchparameter-registry.html."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from conformance.definitions import SearchParameter, resource_types, search_parameters, types, value_sets
from fhir_server.search.paths import Branch, branches, narrow_targets
from fhir_server.store.hashing import parameter_id

_OTHERS = frozenset(t.name for t in types().values() if t.kind == "resource" and t.base == "Resource")
# These two live in columns of the resource's row.
COLUMNS = frozenset(("_id", "_lastUpdated"))
# These look for words, see ``full_text``.
WORDS = frozenset(("_text", "_content"))
INDEXED_TYPES = frozenset(
    ("token", "reference", "string", "date", "number", "quantity", "uri", "composite", "phonetic", "near")
)
# What the specification marks by ``xpathUsage``, since type string or special doesn't tell how to search it.
_BY_USAGE = {"phonetic": "phonetic", "nearby": "near"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter as it applies to one resource type.

    ``type`` says how to search: the definition's type, or ``phonetic`` or ``near``. ``definition`` is the
    SearchParameter, with the targets it has on this type (empty means any). ``systems`` maps a code to the one code
    system it can come from, where the element has a required binding.
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
        if self.type == "composite":
            return bool(self.definition.component) and self.definition.expression is not None
        return bool(self.branches) and self.type in INDEXED_TYPES and self.code not in COLUMNS


class SearchParameters:
    """An immutable set of SearchParameters, by resource type and code. A later definition replaces an earlier one.

    ``extends`` is a set that this one adds to. ``incomplete`` are the (resource type, code) pairs whose index entries
    are missing on resources stored before them; ``behind`` the types whose entries an older format of the index made.
    ``owners`` names the SearchParameter resource that a (resource type, code) comes from, where it is a tenant's own.
    ``plans`` keeps what indexing makes of the set, for as long as the set lives.
    """

    def __init__(
        self,
        definitions: Iterable[SearchParameter],
        *,
        extends: SearchParameters | None = None,
        incomplete: frozenset[tuple[str, str]] = frozenset(),
        behind: frozenset[str] = frozenset(),
        owners: Mapping[tuple[str, str], str] = MappingProxyType({}),
    ) -> None:
        self.incomplete = incomplete
        self.behind = behind
        self.owners = owners
        self.plans: dict[tuple[str, int], Any] = {}
        self._extends = extends
        by_base: dict[str, dict[str, SearchParameter]] = {}
        self._by_url: dict[str, SearchParameter] = {}
        for definition in definitions:
            self._by_url[definition.url] = definition
            for base in definition.base:
                by_base.setdefault(base, {})[definition.code] = definition
        self._by_base = by_base
        self._of: dict[str, Mapping[str, Parameter]] = {}

    def by_url(self, url: str) -> SearchParameter | None:
        """Return the definition with a canonical URL (without a version), or None."""
        found = self._by_url.get(url)
        return self._extends.by_url(url) if found is None and self._extends is not None else found

    def of(self, resource_type: str) -> Mapping[str, Parameter]:
        """Return the parameters of a resource type by code, those of every type included."""
        known = self._of.get(resource_type)
        if known is None:
            bases = ["Resource", *(["DomainResource"] if resource_type not in _OTHERS else []), resource_type]
            definitions = [d for base in bases for d in self._by_base.get(base, {}).values()]
            inherited = self._extends.of(resource_type) if self._extends is not None else {}
            own = {d.code: applied(d, resource_type) for d in definitions}
            known = MappingProxyType({**inherited, **own}) if own or self._extends is None else inherited
            self._of[resource_type] = known
        return known


@cache
def standard() -> SearchParameters:
    """Return the parameters that the FHIR 4.0.1 specification defines."""
    return SearchParameters(search_parameters())


def described_parameters(parameters: SearchParameters) -> Mapping[str, tuple[SearchParameter, ...]]:
    """Return the definitions of the parameters that can be searched by, for each resource type."""
    return {
        name: tuple(p.definition for p in parameters.of(name).values() if p.indexed or p.code in COLUMNS | WORDS)
        for name in resource_types()
    }


def searched_as(definition: SearchParameter) -> str:
    """Return the kind of search that a SearchParameter asks for: its type, or what its usage makes of it."""
    return _BY_USAGE.get(definition.usage, definition.type)


def applied(definition: SearchParameter, resource_type: str) -> Parameter:
    """Return a SearchParameter as it applies to one resource type."""
    found = tuple(branches(definition.expression, resource_type)) if definition.expression else ()
    targets = narrow_targets(definition.target, [b.targets for b in found])
    return Parameter(
        resource_type=resource_type,
        code=definition.code,
        type=searched_as(definition),
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
