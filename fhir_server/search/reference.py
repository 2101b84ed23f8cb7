"""Parameters of type reference, https://hl7.org/fhir/R4/search.html#reference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from conformance.definitions import resource_types
from fhir_server.search import text
from fhir_server.search.condition import Condition, any_of, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.errors import Unsupported
from fhir_server.search.hierarchy import Related, part_of
from fhir_server.search.parse import unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import ALONE, Slot, slot
from fhir_server.search.token import add_pair, searched_text
from fhir_server.store.contained import inner_address
from fhir_server.store.entries import IndexEntries
from fhir_server.store.hashing import value_hash

_ID = r"[A-Za-z0-9\-.]{1,64}"
_BARE_ID = re.compile(_ID)
_LOCAL = re.compile(rf"([A-Z][A-Za-z]+)/({_ID})(?:/_history/{_ID})?")
_VERSIONED_URL = re.compile(rf"(.+/[A-Z][A-Za-z]+/{_ID})/_history/{_ID}")
_TYPES = frozenset(resource_types())
MODIFIERS = _TYPES | {"identifier", "above", "below"} | text.MODIFIERS


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add the tokens of a Reference, a canonical, a URI, or of a resource carried inline (in a Bundle)."""
    add_addresses(slot, fhir_type, value, entries.tokens, entries)
    if fhir_type == "Reference":
        if identifier := value.get("identifier"):
            add_pair(slot.identifier_salt, identifier.get("system"), identifier.get("value"), entries.tokens)
        text.add_text(slot, value.get("display"), entries)


def add_addresses(slot: Slot, fhir_type: str, value: Any, tokens: list[int], holder: IndexEntries) -> None:
    """Add the tokens that find a value by where it points to; ``holder`` has the server's and the resource's addresses."""
    if target := _target(fhir_type, value):
        _add_target(slot, target, tokens, holder)


def wider(slot: Slot, fhir_type: str, value: Any, base: str) -> list[int]:
    """Return what finds a value by its id alone, see ``slot.Wider``."""
    target = _target(fhir_type, value) or ""
    found = local(target) or (base and local(target.removeprefix(base)))
    return [slot.token(ALONE + found.partition("/")[2])] if found else []


def _target(fhir_type: str, value: Any) -> str | None:
    """Return where a Reference, a canonical, a URI or a resource carried inline points to."""
    if isinstance(value, str):
        return value
    if fhir_type == "Reference":
        target: str | None = value.get("reference")
        return target
    return f"{value['resourceType']}/{value['id']}" if "id" in value and "resourceType" in value else None


def _add_target(slot: Slot, target: str, tokens: list[int], holder: IndexEntries) -> None:
    if target.startswith("#"):
        if container := holder.container:  # contained, or the container itself: reachable only from within
            tokens.append(slot.token(container if target == "#" else inner_address(container, target[1:])))
        return
    relative = local(target)
    if relative is not None:
        tokens.append(slot.token(relative))
        return
    tokens.append(slot.token(target))
    if holder.base and (own := local(target.removeprefix(holder.base))):
        tokens.append(slot.token(own))
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
    parameter: Parameter, place: Slot, modifier: str | None, values: Sequence[str], environment: Environment
) -> Condition:
    """Return what a search by ``Type/id``, ``id`` or URL asks for, or with ``:identifier`` by business identifier.

    Raises ValueError for what is no place in a hierarchy, Unsupported when there is none.
    """
    match modifier:
        case "identifier":
            return has_any(place.identifier_salt ^ value_hash(searched_text(value)) for value in values)
        case "text" | "code-text":
            return text.condition(place, values)
        case "above" | "below":
            return any_of([_related(parameter, place, modifier, unescape(value), environment) for value in values])
    return has_any(
        place.token(found)
        for value in values
        for found in searched(unescape(value), parameter.targets, modifier, environment.base_url)
    )


def searched(value: str, targets: Sequence[str], modifier: str | None, base_url: str) -> Iterator[str]:
    """Yield the texts that tokens are made of for a search value; ``targets`` are the types it may mean, empty for any.

    A URL below ``base_url`` means the resource there.
    """
    relative = local(value.removeprefix(f"{base_url}/") if base_url else value)
    if relative:
        # A type that the modifier rules out: the reference can't be both, so only the impossible one is left.
        yield relative if modifier is None or relative.startswith(f"{modifier}/") else f"{modifier}/{value}"
    elif _BARE_ID.fullmatch(value):
        yield from (f"{target}/{value}" for target in ((modifier,) if modifier else targets or resource_types()))
    else:
        yield value


def _related(parameter: Parameter, place: Slot, modifier: str, value: str, environment: Environment) -> Condition:
    parameters = environment.parameters
    found: list[Condition] = []
    texts = list(searched(value, parameter.targets, None, environment.base_url))
    for address in texts:
        resource_type, _, id_ = address.partition("/")
        hierarchy = part_of(resource_type, parameters) if local(address) else None
        if hierarchy is not None:
            part_salt = slot(environment.tenant, hierarchy).salt
            base = f"{environment.base_url}/"
            found.append(Related(place.salt, resource_type, (id_,), modifier == "above", part_salt, base))
    if not found:
        shown = texts[0] if len(texts) == 1 else f"'{parameter.code}'"
        raise Unsupported(
            f"Modifier ':{modifier}' can't be used here: {shown} has no place in a hierarchy of resources."
        )
    return any_of(found)
