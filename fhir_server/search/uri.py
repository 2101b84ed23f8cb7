"""Parameters of type uri, https://hl7.org/fhir/R4/search.html#uri: matched exactly, as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.search.condition import Condition, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.parse import unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Slot
from fhir_server.store.entries import IndexEntries

MODIFIERS: frozenset[str] = frozenset()


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add the token of a URI; a canonical with a version is found without it, too."""
    if not isinstance(value, str):
        return
    entries.tokens.append(slot.token(value))
    if fhir_type == "canonical" and "|" in value:
        entries.tokens.append(slot.token(value.partition("|")[0]))


def condition(_: Parameter, place: Slot, __: str | None, values: Sequence[str], ___: Environment) -> Condition:
    """Return what a search for URIs asks for."""
    return has_any(place.token(unescape(value)) for value in values)
