"""The selectors of XML Patch: a subset of XPath 1.0, https://www.rfc-editor.org/rfc/rfc5261#section-4.1.

Steps to child elements by name or ``*``, ending in an attribute, ``text()``, ``comment()`` or ``namespace::prefix``; in
brackets a position, ``last()``, or paths that exist or equal a string, joined by ``and``. RFC 5261 compares an attribute, a child
or the node itself; here it may be any such path, since FHIR keeps its values in attributes one level further down.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from conformance.patch.errors import MalformedPatch, malformed
from conformance.patch.xml_tree import Comment, QName, Text, XmlElement, XmlNode

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"[^"]*"|'[^']*')|(?P<number>[0-9]+)"""
    r"""|(?P<test>text\(\s*\)|comment\(\s*\)|last\(\s*\))|(?P<namespace>namespace::(?P<prefix>[^\W\d][\w.-]*))"""
    r"""|(?P<name>(?:[^\W\d][\w.-]*:)?(?:[^\W\d][\w.-]*|\*))|(?P<symbol>[/@\[\]=.]))"""
)
MAX_SELECTOR = 2_000


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute, which may be absent where it is only to be added."""

    element: XmlElement
    name: QName

    def text(self) -> str:
        """Return the value."""
        return self.element.attributes[self.name]


@dataclass(frozen=True, slots=True)
class Declaration:
    """A namespace declaration of an element."""

    element: XmlElement
    prefix: str

    def text(self) -> str:
        """Return the namespace."""
        return self.element.declarations[self.prefix]


Selected: TypeAlias = XmlNode | Attribute | Declaration
Step: TypeAlias = Callable[[list[Selected]], list[Selected]]
_Filter: TypeAlias = Callable[[list[Selected]], list[Selected]]
_Condition: TypeAlias = Callable[[Selected], bool]


def select(selector: str, document: XmlElement, namespaces: Mapping[str, str]) -> list[Selected]:
    """Return what a selector finds, in document order; ``namespaces`` by prefix, also for names without one.

    Raises MalformedPatch for what is no such selector.
    """
    found: list[Selected] = [document]
    for step in _Parser(selector, namespaces).parse():
        found = step(found)
    return found


class _Parser:
    """Reads one selector."""

    def __init__(self, selector: str, namespaces: Mapping[str, str]) -> None:
        self._selector = selector
        self._namespaces = namespaces
        self._tokens = self._tokenize()
        self._at = 0

    def _refuse(self, reason: str) -> MalformedPatch:
        return malformed(f"'{self._selector[:200]}' can't be a selector here: {reason}.", code="value")

    def _tokenize(self) -> list[tuple[str, str]]:
        if len(self._selector) > MAX_SELECTOR:
            raise self._refuse(f"it is longer than {MAX_SELECTOR} characters")
        text, at, tokens = self._selector.rstrip(), 0, list[tuple[str, str]]()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._refuse(f"'{text[at : at + 10]}' is not understood")
            kind = "namespace" if match["namespace"] else str(match.lastgroup)
            tokens.append((kind, match["prefix"] if match["namespace"] else match[kind]))
            at = match.end()
        return [*tokens, ("end", "")]

    def _take(self, kind: str, value: str | None = None) -> str | None:
        found, text = self._tokens[self._at]
        if found != kind or (value is not None and text != value):
            return None
        self._at += 1
        return text

    def parse(self) -> list[Step]:
        """Return the steps of the whole selector, from the document on."""
        self._take("symbol", "/")
        steps = self._parse_path()
        if self._tokens[self._at][0] != "end":
            raise self._refuse(f"'{self._tokens[self._at][1]}' is out of place")
        return steps

    def _parse_path(self) -> list[Step]:
        steps = [*self._parse_step()]
        while self._take("symbol", "/"):
            steps += self._parse_step()
        return steps

    def _parse_step(self) -> Iterator[Step]:
        if self._take("symbol", "."):
            yield lambda found: found
            return
        if self._take("symbol", "@"):
            name = self._take("name")
            if name is None or name.endswith("*"):
                raise self._refuse("'@' needs the name of an attribute")
            yield _attributes(self._resolve(name, attribute=True))
            return
        if (prefix := self._take("namespace")) is not None:
            yield _declarations(prefix)
            return
        step = self._parse_node_test()
        filters = []
        while self._take("symbol", "["):
            filters.append(self._parse_predicate())
        yield _children(step, filters)

    def _parse_node_test(self) -> Callable[[XmlNode], bool]:
        if (test := self._take("test")) is not None and not test.startswith("last"):
            kind = Text if test.startswith("text") else Comment
            return lambda node: isinstance(node, kind)
        name = self._take("name")
        if name is None:
            raise self._refuse(f"a step is missing before '{self._tokens[self._at][1]}'")
        if name == "*":
            return lambda node: isinstance(node, XmlElement)
        namespace, local = self._resolve(name)
        if local == "*":
            return lambda node: isinstance(node, XmlElement) and node.name[0] == namespace
        return lambda node: isinstance(node, XmlElement) and node.name == (namespace, local)

    def _resolve(self, name: str, *, attribute: bool = False) -> QName:
        prefix, colon, local = name.rpartition(":")
        if not colon and attribute:
            return "", local
        if prefix and prefix not in self._namespaces:
            raise self._refuse(f"the prefix {prefix} is not declared")
        return self._namespaces.get(prefix, ""), local

    def _parse_predicate(self) -> _Filter:
        position = self._take("number")
        chosen: _Filter
        if position is not None:
            chosen = _at(int(position[:9]))
        elif self._take("test", "last()"):
            chosen = _last
        else:
            conditions = [self._parse_condition()]
            while self._take("name", "and"):
                conditions.append(self._parse_condition())
            chosen = _where(conditions)
        if not self._take("symbol", "]"):
            raise self._refuse("a ']' is missing")
        return chosen

    def _parse_condition(self) -> _Condition:
        steps = self._parse_path()
        expected: str | None = None
        if self._take("symbol", "="):
            literal = self._take("text")
            if literal is None:
                raise self._refuse("'=' compares with a quoted string")
            expected = literal[1:-1]

        def holds(node: Selected) -> bool:
            found = [node]
            for step in steps:
                found = step(found)
            return bool(found) if expected is None else any(_text(item) == expected for item in found)

        return holds


def _at(position: int) -> _Filter:
    return lambda found: found[position - 1 : position] if position else []


def _last(found: list[Selected]) -> list[Selected]:
    return found[-1:]


def _where(conditions: list[_Condition]) -> _Filter:
    return lambda found: [node for node in found if all(holds(node) for holds in conditions)]


def _text(node: Selected) -> str:
    return node.data if isinstance(node, Text | Comment) else node.text()


def _children(test: Callable[[XmlNode], bool], filters: list[_Filter]) -> Step:
    def step(found: list[Selected]) -> list[Selected]:
        out: list[Selected] = []
        for node in found:
            if isinstance(node, XmlElement):
                matching: list[Selected] = [child for child in node.children if test(child)]
                for choose in filters:
                    matching = choose(matching)
                out += matching
        return out

    return step


def _attributes(name: QName) -> Step:
    return lambda found: [Attribute(n, name) for n in found if isinstance(n, XmlElement) and name in n.attributes]


def _declarations(prefix: str) -> Step:
    return lambda found: [
        Declaration(n, prefix) for n in found if isinstance(n, XmlElement) and prefix in n.declarations
    ]
