"""Parameters of type reference, https://hl7.org/fhir/R4/search.html#reference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from conformance.definitions import resource_types
from fhir_server.search.condition import Condition, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.parse import unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Slot
from fhir_server.search.token import add_pair, searched_text
from fhir_server.store.entries import IndexEntries
from fhir_server.store.hashing import value_hash

_ID = r"[A-Za-z0-9\-.]{1,64}"
_BARE_ID = re.compile(_ID)
_LOCAL = re.compile(rf"([A-Z][A-Za-z]+)/({_ID})(?:/_history/{_ID})?")
_VERSIONED_URL = re.compile(rf"(.+/[A-Z][A-Za-z]+/{_ID})/_history/{_ID}")
_TYPES = frozenset(resource_types())
MODIFIERS = _TYPES | {"identifier"}


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add the tokens of a Reference, a canonical, a URI, or of a resource carried inline (in a Bundle)."""
    if isinstance(value, str):
        _add_target(slot, value, entries.tokens)
    elif fhir_type == "Reference":
        if target := value.get("reference"):
            _add_target(slot, target, entries.tokens)
        if identifier := value.get("identifier"):
            add_pair(slot.identifier_salt, identifier.get("system"), identifier.get("value"), entries.tokens)
    elif "id" in value and "resourceType" in value:
        entries.tokens.append(slot.token(f"{value['resourceType']}/{value['id']}"))


def _add_target(slot: Slot, target: str, tokens: list[int]) -> None:
    if target.startswith("#"):
        return  # contained: reachable only from within its container
    tokens.append(slot.token(local(target) or target))
    if versioned := _VERSIONED_URL.fullmatch(target):
        tokens.append(slot.token(versioned[1]))
    url, bar, _ = target.partition("|")
    if bar:
        tokens.append(slot.token(url))


def local(target: str) -> str | None:
    """Return ``Type/id`` for a relative reference to this server, versioned or not, else None."""
    found = _LOCAL.fullmatch(target)
    return f"{found[1]}/{found[2]}" if found and found[1] in _TYPES else None


def condition(
    parameter: Parameter, place: Slot, modifier: str | None, values: Sequence[str], _: Environment
) -> Condition:
    """Return what a search by ``Type/id``, ``id`` or URL asks for, or with ``:identifier`` by business identifier."""
    if modifier == "identifier":
        return has_any(place.identifier_salt ^ value_hash(searched_text(value)) for value in values)
    targets = (modifier,) if modifier else parameter.targets or resource_types()
    return has_any(place.token(text) for value in values for text in _searched(unescape(value), targets, modifier))


def _searched(value: str, targets: Sequence[str], modifier: str | None) -> Iterator[str]:
    if relative := local(value):
        # A type that the modifier rules out: the reference can't be both, so only the impossible one is left.
        yield relative if modifier is None or relative.startswith(f"{modifier}/") else f"{modifier}/{value}"
    elif _BARE_ID.fullmatch(value):
        yield from (f"{target}/{value}" for target in targets)
    else:
        yield value
