"""The parameter types that search knows, https://hl7.org/fhir/R4/search.html#ptypes: each is the module of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fhir_server.search import (
    composite,
    date,
    near,
    number,
    phonetic,
    quantity,
    reference,
    string,
    token,
    uri,
)
from fhir_server.search.bound import SortSource
from fhir_server.search.condition import Condition, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Extract, Slot, Wider, slot
from fhir_server.store.entries import IndexEntries


@dataclass(frozen=True, slots=True)
class Kind:
    """A parameter type: its extraction, its predicate and what goes with them.

    ``condition`` takes (parameter, slot, modifier, escaped alternatives, environment) and raises ValueError for bad values.
    ``present`` says that a resource has the parameter; None when tokens mark that. ``sort`` names the index to order
    by. ``wider`` is there where values that are one by one unequal can be told, see ``unequal``.
    """

    extract: Extract
    condition: Callable[[Parameter, Slot, str | None, Sequence[str], Environment], Condition]
    modifiers: frozenset[str]
    present: Callable[[Slot], Condition] | None = None
    sort: SortSource | None = None
    wider: Wider | None = None


def no_entries(_: Slot, __: str, ___: Any, ____: IndexEntries) -> None:
    """Add nothing: a composite's entries come from its components, see ``composite.extractions``."""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "token": Kind(token.extract, token.condition, token.MODIFIERS, wider=token.wider),
        "reference": Kind(reference.extract, reference.condition, reference.MODIFIERS, wider=reference.wider),
        "uri": Kind(uri.extract, uri.condition, uri.MODIFIERS, wider=uri.wider),
        "string": Kind(string.extract, string.condition, string.MODIFIERS, string.present, "string"),
        "date": Kind(date.extract, date.condition, date.MODIFIERS, date.present, "date"),
        "number": Kind(number.extract, number.condition, number.MODIFIERS, number.present, "number"),
        "phonetic": Kind(phonetic.extract, phonetic.condition, phonetic.MODIFIERS),
        "near": Kind(near.extract, near.condition, near.MODIFIERS, number.present),
        "composite": Kind(no_entries, composite.condition, frozenset()),
        "quantity": Kind(quantity.extract, quantity.condition, quantity.MODIFIERS, number.present, "number"),
    }
)


def present(parameter: Parameter, environment: Environment) -> Condition:
    """Return the condition that a resource has a value for a parameter."""
    if parameter.type == "composite":
        return composite.present(parameter, environment)
    place, kind = slot(environment.tenant, parameter), KINDS[parameter.type]
    return kind.present(place) if kind.present else has_any((place.present,))
