"""Reading a ``_filter``, https://hl7.org/fhir/R4/search_filter.html#grammar. ``and`` binds more tightly than ``or``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from fhir_server.search.errors import InvalidSearch, invalid_value
from fhir_server.search.filter.expression import OPERATORS, Expression, Logical, Negation, Step, Test, Value
from fhir_server.search.parse import UNSAFE

NAME = "_filter"
# Each level nests the compilation some thirty Python frames deeper, out of a thousand.
MOST_LEVELS = 8
MOST_TESTS = 50
_SPACE = re.compile(r"\s*")
_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_\-]*)(?::([A-Za-z]+))?")
_WORD = re.compile(r"[a-z]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BARE = re.compile(r"[^\s)\]\"]+")


def parse_filter(text: str) -> Expression:
    """Return the tree of a filter. Raises InvalidSearch that names the character, counted from 1, where it goes wrong."""
    reader = _Reader(text)
    expression = reader.expression(0)
    reader.skip()
    if reader.position < len(text):
        raise reader.wrong("'and', 'or' or the end is expected")
    return expression


@dataclass(slots=True)
class _Reader:
    """A place in a filter's text; each method reads one thing of the grammar and moves on."""

    text: str
    position: int = 0
    tests: int = 0

    def wrong(self, reason: str) -> InvalidSearch:
        """Return the error for the present place."""
        return invalid_value(NAME, self.text, f"at character {self.position + 1} {reason}")

    def skip(self) -> None:
        """Go past white space."""
        self.position = self._match(_SPACE).end()

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self.text, self.position)
        assert found is not None  # noqa: S101 - only for patterns that match nothing, too
        return found

    def take(self, literal: str) -> bool:
        """Go past a literal if it comes next, after white space."""
        self.skip()
        found = self.text.startswith(literal, self.position)
        self.position += len(literal) if found else 0
        return found

    def word(self, word: str) -> bool:
        """Go past a word if it, and not just a longer one's beginning, comes next."""
        self.skip()
        found = _WORD.match(self.text, self.position)
        if found is None or found[0] != word:
            return False
        after = self.text[found.end() : found.end() + 1]
        if after and not after.isspace() and after != "(":
            return False
        self.position = found.end()
        return True

    def expression(self, level: int) -> Expression:
        """Read alternatives."""
        if level > MOST_LEVELS:
            raise self.wrong(f"there are more than {MOST_LEVELS} levels of brackets")
        parts = [self._conjunction(level)]
        while self.word("or"):
            parts.append(self._conjunction(level))
        return _joined("or", parts)

    def _conjunction(self, level: int) -> Expression:
        parts = [self._part(level)]
        while self.word("and"):
            parts.append(self._part(level))
        return _joined("and", parts)

    def _part(self, level: int) -> Expression:
        start = self.position
        if self.word("not"):
            if self.take("("):
                return Negation(self._closed(")", level))
            self.position = start  # a parameter may be called so
        if self.take("("):
            return self._closed(")", level)
        return self._test(level)

    def _closed(self, bracket: str, level: int) -> Expression:
        inner = self.expression(level + 1)
        if not self.take(bracket):
            raise self.wrong(f"'{bracket}' is expected")
        return inner

    def _test(self, level: int) -> Test:
        self.skip()
        start = self.position
        self.tests += 1
        if self.tests > MOST_TESTS:
            raise self.wrong(f"there are more than {MOST_TESTS} comparisons")
        path = [self._step(level)]
        while self.text.startswith(".", self.position):
            self.position += 1
            path.append(self._step(level))
        if path[-1].within is not None:
            raise self.wrong("'.' and a parameter are expected after ']'")
        return Test(tuple(path), self._operator(), self._value(), start + 1)

    def _step(self, level: int) -> Step:
        start = self.position
        found = _STEP.match(self.text, start)
        if found is None:
            raise self.wrong("the name of a search parameter is expected")
        self.position = found.end()
        within = None
        if self.text.startswith("[", self.position):
            self.position += 1
            within = self._closed("]", level)
        return Step(found[1], found[2], within, start + 1)

    def _operator(self) -> str:
        self.skip()
        found = _WORD.match(self.text, self.position)
        if found is None or found[0] not in OPERATORS:
            raise self.wrong(f"one of the operators {', '.join(OPERATORS)} is expected")
        self.position = found.end()
        if not self.text[self.position : self.position + 1].isspace():
            raise self.wrong("a space and a value are expected")
        return found[0]

    def _value(self) -> Value:
        self.skip()
        if found := _STRING.match(self.text, self.position):
            try:
                text = json.loads(found[0], strict=False)
            except ValueError:
                raise self.wrong("there is a string with an escape that JSON doesn't know") from None
            if UNSAFE.search(text):
                raise self.wrong("there is a string with a character that no FHIR string may have")
            self.position = found.end()
            return Value(text, quoted=True)
        found = _BARE.match(self.text, self.position)
        if found is None:
            raise self.wrong("a value is expected")
        self.position = found.end()
        return Value(found[0], quoted=False)


def _joined(operator: Literal["and", "or"], parts: list[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else Logical(operator, tuple(parts))
