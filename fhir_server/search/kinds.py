"""The parameter types that search knows, https://hl7.org/fhir/R4/search.html#ptypes: each is the module of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fhir_server.search import date, number, quantity, reference, string, token, uri
from fhir_server.search.bound import SortSource
from fhir_server.search.condition import Condition, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Extract, Slot


@dataclass(frozen=True, slots=True)
class Kind:
    """A parameter type: its extraction, its predicate and what goes with them.

    ``condition`` takes (parameter, slot, modifier, escaped alternatives, environment) and raises ValueError for bad values.
    ``present`` says that a resource has the parameter; None when tokens mark that. ``sort`` names the index to order
    by.
    """

    extract: Extract
    condition: Callable[[Parameter, Slot, str | None, Sequence[str], Environment], Condition]
    modifiers: frozenset[str]
    present: Callable[[Slot], Condition] | None = None
    sort: SortSource | None = None


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "token": Kind(token.extract, token.condition, token.MODIFIERS),
        "reference": Kind(reference.extract, reference.condition, reference.MODIFIERS),
        "uri": Kind(uri.extract, uri.condition, uri.MODIFIERS),
        "string": Kind(string.extract, string.condition, string.MODIFIERS, string.present, "string"),
        "date": Kind(date.extract, date.condition, date.MODIFIERS, date.present, "date"),
        "number": Kind(number.extract, number.condition, number.MODIFIERS, number.present, "number"),
        "quantity": Kind(quantity.extract, quantity.condition, quantity.MODIFIERS, number.present, "number"),
    }
)


def present(kind: Kind, place: Slot) -> Condition:
    """Return the condition that a resource has a value for a parameter."""
    return kind.present(place) if kind.present else has_any((place.present,))
