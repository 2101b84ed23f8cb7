"""``_text`` and ``_content``: words in the narrative, or anywhere, https://hl7.org/fhir/R4/search.html#all.

``(bone OR liver) and metastases``: words that follow each other all have to be there, ``and`` may be written; ``or`` and
parentheses, ``not`` or ``-``, ``"a phrase"`` and ``begin*`` mean what they say. Case and accents don't matter. There is no
stemming, for the language of a text isn't known. Commas part alternatives, as everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Text,
    cast,
    exists,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR

from fhir_server.search.condition import Candidate, Condition, Scope
from fhir_server.search.parse import unescape
from fhir_server.search.string import fold
from fhir_server.store.full_text import LONGEST_WORD, SEPARATORS, full_text, full_text_progress, marker
from fhir_server.store.tables import partition, type_ids

COLUMNS = MappingProxyType({"_text": "narrative", "_content": "content"})
"""The parameters, and the columns that answer them."""
MOST_WORDS = 64
MOST_LEVELS = 16
_TOKEN = re.compile(
    r"""\s*(?:(?P<open>\()|(?P<close>\))|"(?P<phrase>[^"]*)"|(?P<not>-(?=[^\s)-]))|(?P<words>[^\s()"]+))"""
)
_SEPARATORS = re.compile(f"[{SEPARATORS}]+")


@dataclass(frozen=True, slots=True)
class HasWords:
    """The words of a resource's narrative or content fulfil ``query``, a tsquery; ``marker`` is that of its type."""

    resource_type: str
    column: str
    marker: str
    query: str

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return ("words", self.resource_type, self.column)

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield f"'{self.marker}' & ({self.query})"
        yield self.query

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        marked, plain = scope.binds.take(Text()), scope.binds.take(Text())
        if scope.inside:  # contained resources have no words in the index
            return self._words(scope.table.c.content).op("@@", is_comparison=True)(cast(plain, TSQUERY))
        number = scope.binds.count
        table = partition(self.resource_type).alias(f"unindexed{number}")
        columns = table.c
        number_of_type: ColumnElement[int] = literal_column(str(type_ids()[self.resource_type]))
        # What was indexed at another version than the current one drops out where the row is compared.
        indexed = full_text.c
        found = select(indexed.key, indexed.version).where(
            indexed.tenant == scope.tenant,
            indexed.type == number_of_type,
            indexed[self.column].op("@@", is_comparison=True)(cast(marked, TSQUERY)),
        )
        progress = full_text_progress.c
        until = select(progress.indexed_until).where(progress.tenant == scope.tenant, progress.type == number_of_type)
        never: ColumnElement[Any] = literal_column("'-infinity'::timestamptz", DateTime(timezone=True))
        known = full_text.alias(f"known{number}").c
        is_indexed = exists().where(
            known.tenant == scope.tenant,
            known.key == columns.key,
            known.type == number_of_type,
            known.version == columns.version,
        )
        # OFFSET keeps the planner from computing the words of rows that are indexed.
        rows = select(columns.key, columns.version, columns.content).where(
            columns.tenant == scope.tenant,
            columns.type == number_of_type,
            columns.last_updated > func.coalesce(until.scalar_subquery(), never),
            columns.content.is_not(None),
            ~is_indexed,
        )
        some = rows.offset(literal_column("0")).subquery(f"rows{number}")
        unindexed = select(some.c.key, some.c.version).where(
            self._words(some.c.content).op("@@", is_comparison=True)(cast(plain, TSQUERY))
        )
        both = union_all(found, unindexed).subquery(f"worded{number}")
        own = scope.table.c
        return tuple_(own.key, own.version).in_(select(both.c.key, both.c.version))

    def _words(self, content: ColumnElement[Any]) -> ColumnElement[Any]:
        compute = func.full_text_narrative if self.column == "narrative" else func.full_text_content
        return compute(content, type_=TSVECTOR())

    def holds(self, candidate: Candidate) -> bool:  # noqa: ARG002 - as in Condition
        """Raise TypeError: a resource in memory has no words. Criteria of grants therefore can't ask for some."""
        raise TypeError("Words can only be found in the database")


def condition(code: str, resource_type: str, tenant: int, values: Sequence[str]) -> Condition:
    """Return what ``_text`` or ``_content`` asks for. Raises ValueError for a value that isn't well-formed."""
    query = " | ".join(f"({parse_words(unescape(value))})" for value in values)
    return HasWords(resource_type, COLUMNS[code], marker(tenant, resource_type), query)


def parse_words(text: str) -> str:
    """Return a value as a tsquery. Raises ValueError that says what is wrong."""
    reader = _Reader(list(_tokens(text)))
    query = reader.either(0)
    if reader.rest:
        raise ValueError("a parenthesis is closed that wasn't opened")
    if query is None:
        raise ValueError("it has no word")
    return query


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) pairs; the kinds are the groups of _TOKEN, and ``and``, ``or``."""
    text, position = text.rstrip(), 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError("a quotation mark is not closed (inside of quotes, a comma is written \\,)")
        kind, position = str(found.lastgroup), found.end()
        word = found[kind].lower()
        yield (word, "") if kind == "words" and word in ("and", "or", "not") else (kind, found[kind])


@dataclass(slots=True)
class _Reader:
    """The tokens still to be read; each method reads one thing of the grammar. None stands for nothing to look for."""

    rest: list[tuple[str, str]]
    words: int = field(default=0)

    def __post_init__(self) -> None:
        self.rest.reverse()

    def _next(self) -> str | None:
        return self.rest[-1][0] if self.rest else None

    def either(self, level: int) -> str | None:
        """Read alternatives."""
        if level > MOST_LEVELS:
            raise ValueError(f"it has more than {MOST_LEVELS} levels of parentheses and negations")
        found = [self._every(level)]
        while self._next() == "or":
            self.rest.pop()
            found.append(self._every(level))
        return _joined(found, " | ")

    def _every(self, level: int) -> str | None:
        found = [self._one(level)]
        while self._next() not in (None, "or", "close"):
            if self._next() == "and":
                self.rest.pop()
            found.append(self._one(level))
        return _joined(found, " & ")

    def _one(self, level: int) -> str | None:
        if self._next() in (None, "or", "and", "close"):
            raise ValueError("a word is missing beside 'and', 'or', 'not' or a parenthesis; quotes make words of these")
        kind, text = self.rest.pop()
        match kind:
            case "not":
                if level >= MOST_LEVELS:
                    raise ValueError(f"it has more than {MOST_LEVELS} levels of parentheses and negations")
                inner = self._one(level + 1)
                return None if inner is None else f"!{inner}"
            case "open":
                inner = self.either(level + 1)
                if self._next() != "close":
                    raise ValueError("a parenthesis is not closed")
                self.rest.pop()
                return inner
            case _:
                return self._phrase(text, begins=kind == "words" and text.endswith("*"))

    def _phrase(self, text: str, *, begins: bool) -> str | None:
        """Return the words of a text, one right after the other; the last one may only begin so."""
        words = words_of(text)
        self.words += len(words)
        if self.words > MOST_WORDS:
            raise ValueError(f"it has more than {MOST_WORDS} words")
        if any(len(word) > LONGEST_WORD for word in words):
            raise ValueError(f"words have at most {LONGEST_WORD} letters")
        if not words:
            return None
        quoted = " <-> ".join(f"'{word}'" for word in words) + (":*" if begins else "")
        return f"({quoted})" if len(words) > 1 else quoted


def words_of(text: str) -> list[str]:
    """Return the words of a text as the database knows them."""
    return [word for word in _SEPARATORS.split(fold(text)) if word]


def _joined(found: Sequence[str | None], operator: str) -> str | None:
    parts = [part for part in found if part is not None]
    if len(parts) > 1:
        return f"({operator.join(parts)})"
    return parts[0] if parts else None
