"""Parameters of type uri, https://hl7.org/fhir/R4/search.html#uri: matched as they stand, or by the segments of a URL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fhir_server.search.condition import Condition, any_of, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.parse import unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Slot
from fhir_server.search.text import TextStartsWith
from fhir_server.store.entries import IndexEntries, TextEntry

MODIFIERS = frozenset(("above", "below"))
# The dictionary holds the beginning of longer ones; B-tree entries have to stay small.
LONGEST = 600


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add the token of a URI; a canonical with a version is found without it, too. URLs also go to the dictionary."""
    if not isinstance(value, str):
        return
    entries.tokens.append(slot.token(value))
    if fhir_type == "canonical" and "|" in value:
        value = value.partition("|")[0]
        entries.tokens.append(slot.token(value))
    if "://" in value and "\x00" not in value:
        entries.texts.append(TextEntry(slot.parameter, value[:LONGEST], slot.token(value)))


def wider(_: Slot, __: str, ___: Any, ____: str) -> tuple[int, ...]:
    """Return nothing: a URI is found by itself, see ``slot.Wider``."""
    return ()


def condition(_: Parameter, place: Slot, modifier: str | None, values: Sequence[str], __: Environment) -> Condition:
    """Return what a search for URIs asks for; ``:above`` and ``:below`` take URLs. Raises ValueError for others."""
    searched = [unescape(value) for value in values]
    if modifier is None:
        return has_any(place.token(value) for value in searched)
    for value in searched:
        if "://" not in value or len(value) >= LONGEST:
            raise ValueError(
                f"':{modifier}' takes a URL of less than {LONGEST} characters, since others have no hierarchy"
            )
    if modifier == "above":
        return has_any(place.token(text) for value in searched for text in _above(value))
    below = (TextStartsWith(place.parameter, value.removesuffix("/") + "/") for value in searched)
    return any_of([has_any(place.token(value) for value in searched), *below])


def _above(url: str) -> Iterator[str]:
    """Yield a URL and those that it is a part of, down to the host; each may be written with a slash at its end."""
    yield url
    least = url.index("://") + len("://")
    end = len(url)
    while (end := url.rfind("/", least, end)) > 0:
        yield url[:end]
        yield url[: end + 1]
