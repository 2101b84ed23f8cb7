"""An XML document as a tree that can be changed, for XML Patch; https://www.w3.org/TR/xml-names/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from xml.sax.saxutils import escape, quoteattr

from conformance.issues import InvalidResource, Issue
from conformance.xml.parser import make_parser, parse_with, slice_element, split_name
from conformance.xml.plan import XHTML, XML

MAX_LEVELS = 200

QName: TypeAlias = tuple[str, str]
"""(namespace, local name); either may be empty but the second."""


@dataclass(eq=False)
class Text:
    """Character data between tags."""

    data: str
    parent: XmlElement | None = None


@dataclass(eq=False)
class Comment:
    """A comment, without its marks."""

    data: str
    parent: XmlElement | None = None


@dataclass(eq=False)
class XmlElement:
    """An element. ``declarations`` are the namespaces it declares, by prefix; ``source`` is how an unchanged narrative was written."""

    name: QName
    attributes: dict[QName, str] = field(default_factory=dict)
    declarations: dict[str, str] = field(default_factory=dict)
    children: list[XmlNode] = field(default_factory=list)
    parent: XmlElement | None = None
    source: str | None = None

    def namespaces(self) -> dict[str, str]:
        """Return the namespaces in scope, by prefix."""
        around = {} if self.parent is None else self.parent.namespaces()
        return {**around, **self.declarations}

    def insert(self, index: int, nodes: list[XmlNode]) -> None:
        """Put nodes among the children; text next to text becomes one node."""
        self.children[index:index] = nodes
        for node in nodes:
            node.parent = self
        self.changed()

    def remove(self, node: XmlNode) -> None:
        """Take a child out."""
        self.children.remove(node)
        self.changed()

    def changed(self) -> None:
        """Note that something inside is no longer as it was written."""
        merged: list[XmlNode] = []
        for child in self.children:
            last = merged[-1] if merged else None
            if isinstance(child, Text) and isinstance(last, Text):
                last.data += child.data
            elif not isinstance(child, Text) or child.data:
                merged.append(child)
        self.children = merged
        element: XmlElement | None = self
        while element is not None:
            element.source = None
            element = element.parent

    def text(self) -> str:
        """Return the element's string value: all text inside."""
        return "".join(
            child.data if isinstance(child, Text) else child.text()
            for child in self.children
            if not isinstance(child, Comment)
        )


XmlNode: TypeAlias = XmlElement | Text | Comment


class _Builder:
    """Builds the tree from the parser's events."""

    def __init__(self, data: bytes) -> None:
        # Stands for the document, whose only element is the outermost.
        self.document = XmlElement(("", ""))
        self._data = data
        self._open: list[tuple[XmlElement, int]] = [(self.document, 0)]
        self._declared: dict[str, str] = {}
        self.parser = make_parser()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = lambda data: self._append(Text(data))
        self.parser.CommentHandler = lambda data: self._append(Comment(data))
        self.parser.StartNamespaceDeclHandler = self._declare

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        self._declared[prefix or ""] = uri or ""

    def _append(self, node: XmlNode) -> None:
        parent = self._open[-1][0]
        last = parent.children[-1] if parent.children else None
        if isinstance(node, Text) and isinstance(last, Text):
            last.data += node.data
        else:
            node.parent = parent
            parent.children.append(node)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) > MAX_LEVELS:
            raise InvalidResource(
                [Issue("error", "structure", f"Elements are nested more than {MAX_LEVELS} levels deep")]
            )
        element = XmlElement(
            split_name(name)[:2], {split_name(key)[:2]: text for key, text in attributes.items()}, self._declared
        )
        self._declared = {}
        self._append(element)
        self._open.append((element, self.parser.CurrentByteIndex))

    def _end(self, _name: str) -> None:
        element, start = self._open.pop()
        around = element.parent
        if element.name[0] == XHTML and around is not None and around.name[0] != XHTML:
            element.source = slice_element(self._data, start, self.parser.CurrentByteIndex)


def parse_tree(data: bytes) -> XmlElement:
    """Return the document: a node without a name around the outermost element. Raises InvalidResource."""
    builder = _Builder(data)
    parse_with(builder.parser, data)
    return builder.document


def write_tree(node: XmlNode, scope: Mapping[str, str]) -> str:
    """Return the XML of a node; ``scope`` are the namespaces, by prefix, that are declared around it."""
    if isinstance(node, Text):
        return escape(node.data, {"\r": "&#13;"})
    if isinstance(node, Comment):
        return f"<!--{node.data}-->"
    if node.source is not None:
        return node.source
    if not node.name[1]:
        return "".join(write_tree(child, scope) for child in node.children)
    declared = dict(node.declarations)
    inside = {**scope, **declared}
    if inside.get("", "") != node.name[0]:
        declared[""] = inside[""] = node.name[0]
    attributes = "".join(
        f" {_prefixed(name, declared, inside)}={_quote(text)}" for name, text in node.attributes.items()
    )
    namespaces = "".join(
        f" xmlns{':' if prefix else ''}{prefix}={_quote(uri)}"
        for prefix, uri in declared.items()
        if scope.get(prefix, "" if not prefix else None) != uri
    )
    tag = node.name[1]
    content = "".join(write_tree(child, inside) for child in node.children)
    return f"<{tag}{namespaces}{attributes}>{content}</{tag}>" if content else f"<{tag}{namespaces}{attributes}/>"


def _quote(text: str) -> str:
    return quoteattr(text, {"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})


def _prefixed(name: QName, declared: dict[str, str], inside: dict[str, str]) -> str:
    """Return an attribute's name as written; declares a prefix for its namespace where there is none."""
    namespace, local = name
    if not namespace:
        return local
    if namespace == XML:
        return f"xml:{local}"
    for prefix, uri in inside.items():
        if prefix and uri == namespace:
            return f"{prefix}:{local}"
    prefix = next(f"n{number}" for number in range(len(inside) + 1) if f"n{number}" not in inside)
    declared[prefix] = inside[prefix] = namespace
    return f"{prefix}:{local}"
