"""Texts that go with coded values and references, https://hl7.org/fhir/R4/search.html#modifiers (``:text``).

A resource carries one token for each text; which texts there are is in a dictionary, since displays repeat a lot. So a
search for a prefix reads the dictionary, then the resources with the tokens found.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache

from sqlalchemy import ColumnElement

from fhir_server.search.carried import carries
from fhir_server.search.condition import Candidate, Condition, Scope, any_of
from fhir_server.search.parse import unescape
from fhir_server.search.slot import TEXT, Slot
from fhir_server.search.string import StartsWith, after_prefix, beginning, normalise
from fhir_server.store.entries import IndexEntries, TextEntry
from fhir_server.store.hashing import value_hash
from fhir_server.store.tables import text_dictionary

MODIFIERS = frozenset(("text", "code-text"))


@lru_cache(maxsize=65536)
def _entry(salt: int, parameter: int, text: str) -> TextEntry:
    normalised = normalise(text)
    return TextEntry(parameter, normalised, salt ^ value_hash(TEXT + normalised))


def add_text(slot: Slot, text: str | None, entries: IndexEntries) -> None:
    """Add a text that goes with a value, if there is one."""
    if text:
        entry = _entry(slot.salt, slot.parameter, text)
        if entry.value:
            entries.texts.append(entry)
            entries.tokens.append(entry.token)


class TextStartsWith(StartsWith):
    """A text of a parameter that begins with ``prefix`` is in the dictionary, and the resource carries its token."""

    __slots__ = ()

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("text", after_prefix(self.prefix) is None)

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        return carries(scope, beginning(text_dictionary.c.token, self.prefix, scope))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        texts = candidate.entries.texts
        return any(e.parameter == self.parameter and e.value.startswith(self.prefix) for e in texts)


def condition(place: Slot, values: Sequence[str]) -> Condition:
    """Return what ``:text`` asks for: a text that begins with the value, whatever its case and accents."""
    return any_of([TextStartsWith(place.parameter, normalise(unescape(value))) for value in values])
