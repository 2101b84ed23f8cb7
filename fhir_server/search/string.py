"""Parameters of type string, https://hl7.org/fhir/R4/search.html#string: prefixes, whatever case, accents, punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from psycopg.types.numeric import Int4
from sqlalchemy import Column, ColumnElement, Integer, Select, Text, func, literal_column, select

from fhir_server.search.condition import Candidate, Condition, Scope, any_of, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.parse import unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import EXACT, Slot
from fhir_server.store.entries import IndexEntries, StringEntry
from fhir_server.store.hashing import derived_parameter
from fhir_server.store.tables import string_index

# Longer values are found by their beginning; B-tree entries have to stay small.
LONGEST = 200
# For ``:contains`` the rest of longer values is cut into windows, so that any text up to half a window is in one of them.
LONGEST_CONTAINED = LONGEST // 2
_MOST_WINDOWS = 500
_WINDOWS = "windows"
MODIFIERS = frozenset(("exact", "contains"))
# Code points between these are no characters.
_FIRST_SURROGATE, _AFTER_SURROGATES = 0xD800, 0xE000
_PARTS = {
    "HumanName": ("text", "family", "given", "prefix", "suffix"),
    "Address": ("text", "line", "city", "district", "state", "postalCode", "country"),
    "CodeableConcept": ("text",),
    "Coding": ("display",),
}
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PUNCTUATION = "P"  # the Unicode categories of punctuation begin with it; signs such as + and $ are symbols
_ASCII_PUNCTUATION = dict.fromkeys(c for c in range(128) if unicodedata.category(chr(c)).startswith(_PUNCTUATION))


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add a string, or every part of a name or address: normalised for prefixes, hashed for ``:exact``."""
    for text in parts_of(fhir_type, value):
        _add(slot, text, entries)


def parts_of(fhir_type: str, value: Any) -> Iterator[str]:
    """Yield the texts of a value: the string itself, or the parts of a name, an address or a coded value."""
    if isinstance(value, str):
        yield value
        return
    for name in _PARTS.get(fhir_type, ()):
        part = value.get(name)
        if isinstance(part, str):
            yield part
        elif part:
            for item in part:
                if isinstance(item, str):
                    yield item
    for coding in value.get("coding", ()) if fhir_type == "CodeableConcept" else ():
        yield from parts_of("Coding", coding)


def _add(slot: Slot, text: str, entries: IndexEntries) -> None:
    if normalised := normalise(text):
        entries.strings.append(StringEntry(slot.parameter, normalised))
        entries.tokens.append(slot.token(EXACT + text))
        if len(normalised) == LONGEST:
            rest = comparable(text)[LONGEST_CONTAINED:]
            windows = derived_parameter(slot.parameter, _WINDOWS)
            for start in range(0, min(len(rest), _MOST_WINDOWS * LONGEST_CONTAINED), LONGEST_CONTAINED):
                entries.strings.append(StringEntry(windows, rest[start : start + LONGEST]))


@lru_cache(maxsize=65536)
def normalise(text: str) -> str:
    """Return the beginning of what is compared of a string, at most LONGEST characters."""
    return comparable(text)[:LONGEST]


def comparable(text: str) -> str:
    """Return what strings that differ in case, accents, punctuation or white space have in common.

    Of a text that is nothing but punctuation that stays, for the empty text is the beginning of all others.
    """
    folded = fold(text)
    bare = folded.translate(_ASCII_PUNCTUATION)
    if not bare.isascii():
        bare = "".join(c for c in bare if not unicodedata.category(c).startswith(_PUNCTUATION))
    return " ".join(bare.split()) or folded


def fold(text: str) -> str:
    """Return a text without what makes no difference: case, accents, more white space than one between words."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        text = "".join(c for c in decomposed if not unicodedata.combining(c))
        text = _UNSTORABLE.sub("", text)
    return " ".join(text.casefold().replace("\x00", "").split())


@dataclass(frozen=True, slots=True)
class StartsWith:
    """One of a parameter's normalised strings begins with ``prefix``; the empty prefix asks for any string."""

    finds_current: ClassVar[bool] = True
    parameter: int
    prefix: str

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("starts", after_prefix(self.prefix) is None)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int4(self.parameter)
        yield self.prefix
        following = after_prefix(self.prefix)
        if following is not None:
            yield following

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        return scope.table.c.key.in_(beginning(string_index.c.key, self.prefix, scope))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        entries = candidate.entries.strings
        return any(e.parameter == self.parameter and e.value.startswith(self.prefix) for e in entries)


def beginning(wanted: Column[Any], prefix: str, scope: Scope) -> Select[Any]:
    """Return a column of the rows whose value begins with a prefix; takes the parameters that StartsWith gives."""
    columns, take = wanted.table.c, scope.binds.take
    found = select(wanted).where(columns.tenant == scope.tenant, columns.parameter == take(Integer()))
    found = found.where(columns.value >= take(Text()))
    return found if after_prefix(prefix) is None else found.where(columns.value < take(Text()))


@dataclass(frozen=True, slots=True)
class Contains:
    """``text`` occurs in one of a parameter's normalised strings; reads all of these, in the index alone."""

    parameter: int
    text: str

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return "contains"

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield Int4(self.parameter)
        yield Int4(self._windows)
        yield self.text

    @property
    def _windows(self) -> int:
        return derived_parameter(self.parameter, _WINDOWS)

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        columns, take = string_index.c, scope.binds.take
        either = columns.parameter.in_((take(Integer()), take(Integer())))
        found = select(columns.key).where(columns.tenant == scope.tenant, either)
        return scope.table.c.key.in_(found.where(func.strpos(columns.value, take(Text())) > literal_column("0")))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        either = self.parameter, self._windows
        return any(e.parameter in either and self.text in e.value for e in candidate.entries.strings)


def condition(_: Parameter, place: Slot, modifier: str | None, values: Sequence[str], __: Environment) -> Condition:
    """Return what a search for strings asks for; ``:exact`` compares whole strings, case and accents included.

    Raises ValueError for a text that is too long for ``:contains``.
    """
    if modifier == "exact":
        return has_any(place.token(EXACT + unescape(value)) for value in values)
    if modifier == "contains":
        return any_of([_contains(place, comparable(unescape(value))) for value in values])
    return any_of([StartsWith(place.parameter, normalise(unescape(value))) for value in values])


def _contains(place: Slot, text: str) -> Contains:
    if len(text) > LONGEST_CONTAINED:
        raise ValueError(f"':contains' takes at most {LONGEST_CONTAINED} characters")
    return Contains(place.parameter, text)


def present(place: Slot) -> Condition:
    """Return the condition that the parameter has any value."""
    return StartsWith(place.parameter, "")


def after_prefix(prefix: str) -> str | None:
    """Return the least string, by code points, above all that begin with a prefix; None when there is none."""
    stem = prefix.rstrip(chr(0x10FFFF))
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(_AFTER_SURROGATES if following == _FIRST_SURROGATE else following)
