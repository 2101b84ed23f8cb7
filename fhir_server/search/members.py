"""What belongs to a compartment, as conditions on each type, https://hl7.org/fhir/R4/compartmentdefinition.html.

The compartment of all resources of a type (``id`` None) holds whatever names one through a parameter of the definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

from conformance.definitions import compartments, resource_types, types
from fhir_server.auth.caller import Caller
from fhir_server.search.condition import AllOf, AnyOf, Condition, Not, has_any
from fhir_server.search.date import Compares
from fhir_server.search.environment import Environment
from fhir_server.search.registry import SearchParameters
from fhir_server.search.rewrites import permitted
from fhir_server.search.row import HasId
from fhir_server.search.slot import Slot, slot
from fhir_server.search.sql import Part

OWN = "{def}"
"""Stands in the definitions for the compartment's own resource."""


@lru_cache(maxsize=1024)
def _places(compartment: str, resource_type: str, tenant: int, parameters: SearchParameters) -> tuple[Slot, ...]:
    """Return the places of what puts a resource into a compartment; codes that no SearchParameter has are left out."""
    known = parameters.of(resource_type)
    codes = compartments()[compartment].get(resource_type, ())
    return tuple(slot(tenant, known[code]) for code in codes if code in known and known[code].indexed)


def membership(compartment: str, id_: str | None, resource_type: str, environment: Environment) -> Condition | None:
    """Return what a resource of a type must fulfil to be a member; None when none can be.

    The compartment's own resource isn't found by this.
    """
    places = _places(compartment, resource_type, environment.tenant, environment.parameters)
    if not places:
        return None
    if id_ is None:
        return has_any(place.present for place in places)
    found = has_any(place.token(f"{compartment}/{id_}") for place in places)
    return AllOf((found, Not(HasId((id_,))))) if resource_type == compartment else found


def in_period(resource_type: str, code: str, low: int, high: int, environment: Environment) -> Condition:
    """Return the condition that a date parameter's span meets [low, high) in microseconds, or that it has no value."""
    number = environment.parameters.of(resource_type)[code].id
    there = Compares(number, "ap", -(2**63), 2**63 - 1)
    return AnyOf((Compares(number, "ap", low, high), Not(there)))


def referable(compartment: str) -> list[str]:
    """Return the types, outside the compartment, that elements of its members may refer to."""
    members = {compartment, *compartments()[compartment]}
    found: set[str] = set()
    for name, type_ in types().items():
        if name.partition(".")[0] in members:
            for element in type_.elements.values():
                found.update(element.targets)
    return [name for name in resource_types() if name in found and name not in members]


def allowed_parts(conditions: Iterable[tuple[str, Condition]], caller: Caller, environment: Environment) -> list[Part]:
    """Return the parts of a statement, limited to what the caller may read; types it may not read are left out."""
    parts = []
    for resource_type, condition in conditions:
        allowed = permitted(caller, "read", resource_type, environment)
        if allowed is not None:
            parts.append(Part(resource_type, condition, allowed))
    return parts


@cache
def member_types(compartment: str) -> Sequence[str]:
    """Return the types that a compartment may hold beside its own resource, sorted."""
    return sorted(name for name, codes in compartments()[compartment].items() if any(c != OWN for c in codes))
