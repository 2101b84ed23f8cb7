"""Searches on several types, https://hl7.org/fhir/R4/http.html#vsearch, and inside a compartment.

https://hl7.org/fhir/R4/compartmentdefinition.html says which parameters put which resources into one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from conformance.definitions import compartments
from conformance.issues import Issue
from fhir_server.search.bind import bind
from fhir_server.search.bound import BoundQuery
from fhir_server.search.condition import AllOf, Condition, any_of
from fhir_server.search.environment import Environment
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.members import membership
from fhir_server.search.order import SORT_TYPES
from fhir_server.search.query import Criterion
from fhir_server.search.row import HasId


@dataclass(frozen=True, slots=True)
class Compartment:
    """A compartment: the type that it is named after, and the id of the resource whose it is."""

    resource_type: str
    id: str

    def holds(self, resource_type: str) -> bool:
        """Tell whether resources of a type can be in it."""
        return resource_type == self.resource_type or resource_type in compartments()[self.resource_type]


def within(query: BoundQuery, compartment: Compartment, environment: Environment) -> BoundQuery:
    """Return the query limited to a compartment. The resource whose it is counts as part of it, for every compartment.

    Raises InvalidSearch for one on contained resources, whose containers are what is in compartments.
    """
    if query.contained != "false":
        raise InvalidSearch([Issue("error", "not-supported", "'_contained' can't be used within a compartment.")])
    conditions: list[Condition] = []
    if query.resource_type == compartment.resource_type:
        conditions.append(HasId((compartment.id,)))
    member = membership(compartment.resource_type, compartment.id, query.resource_type, environment)
    if member is not None:
        conditions.append(member)
    place = (":compartment", f"{compartment.resource_type}/{compartment.id}")
    where = AllOf((query.where, any_of(conditions)))
    return replace(query, where=where, matching=(place, *query.matching))


def bind_together(
    resource_types: tuple[str, ...], criteria: Sequence[Criterion], environment: Environment, *, strict: bool
) -> list[BoundQuery]:
    """Return a query for each type, with those criteria that every one of them knows.

    Raises InvalidSearch as ``bind`` does.
    """
    queries = [bind(name, criteria, environment, together=resource_types) for name in resource_types]
    issues: list[Issue] = []
    usable = set(queries[0].used).intersection(*(query.used for query in queries[1:]))
    lost = {pair for query in queries for pair in query.used if pair not in usable}
    left = []
    for criterion in criteria:
        pair = criterion.name, criterion.value
        if pair in lost or not any(pair in query.used for query in queries):
            issues += _reason(resource_types, criterion, environment)
        if pair not in lost:
            left.append(criterion)
    if len({_sort_types(query) for query in queries if query.used}) > 1 and not lost:
        issues.append(Issue("warning", "not-supported", "'_sort' names values of different kinds for these types."))
        left = [criterion for criterion in left if criterion.last.name != "_sort"]
    if strict and issues:
        raise InvalidSearch([replace(issue, severity="error") for issue in issues])
    if len(left) < len(criteria):
        queries = [bind(name, left, environment, together=resource_types) for name in resource_types]
    return [replace(query, issues=tuple(issues)) for query in queries]


def _reason(resource_types: tuple[str, ...], criterion: Criterion, environment: Environment) -> tuple[Issue, ...]:
    """Return why a criterion can't be used: what the first type says that doesn't know it."""
    for name in resource_types:
        issues = bind(name, [criterion], environment, together=resource_types).issues
        if issues:
            return issues
    return ()


def _sort_types(query: BoundQuery) -> tuple[str, ...]:
    return tuple(str(SORT_TYPES[key.source]) for key in query.sort)
