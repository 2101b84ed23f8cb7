"""XML Patch, https://www.rfc-editor.org/rfc/rfc5261, on the XML of a resource.

The document's root is ``patch`` (RFC 7351) or ``diff``, of any namespace. The prefixes ``f`` (FHIR) and ``h`` (XHTML) are
known without declaration; names without a prefix are in the default namespace of the patch (RFC 5261, 4.2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from conformance.issues import InvalidResource
from conformance.patch.errors import InapplicablePatch, MalformedPatch, inapplicable, malformed
from conformance.patch.selector import Attribute, Declaration, Selected, select
from conformance.patch.xml_tree import Comment, QName, Text, XmlElement, XmlNode, parse_tree, write_tree
from conformance.xml import FHIR, XHTML, NotInXml, from_xml, to_xml
from conformance.xml.plan import XML

MAX_OPERATIONS = 1_000
_PREFIXES = {"f": FHIR, "h": XHTML, "xml": XML}
_ROOTS = frozenset(("patch", "diff"))
_BLANK = " \t\r\n"
_POSITIONS = frozenset(("prepend", "before", "after"))
_WHITESPACE = frozenset(("before", "after", "both"))


def apply_xml_patch(resource: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return the resource patched; ``resource`` stays as it is. Raises MalformedPatch and InapplicablePatch."""
    try:
        document = to_xml(resource)
    except NotInXml as error:
        raise inapplicable(f"The resource has no XML to be patched: {error}") from error
    patched = patch_document(document, body)
    try:
        return from_xml(patched)
    except InvalidResource as error:
        raise InapplicablePatch(error.issues) from error


def patch_document(document: bytes, body: bytes) -> bytes:
    """Return an XML document after all operations of the patch, in order. Raises MalformedPatch and InapplicablePatch."""
    try:
        root = _outermost(parse_tree(body))
    except InvalidResource as error:
        raise MalformedPatch(error.issues) from error
    operations = [child for child in root.children if isinstance(child, XmlElement)]
    if root.name[1] not in _ROOTS:
        raise malformed(f"The root of an XML Patch is patch or diff, found {root.name[1][:60]}.")
    if not operations:
        raise malformed("The patch has no operations.", code="required")
    if len(operations) > MAX_OPERATIONS:
        raise malformed(f"The patch has more than {MAX_OPERATIONS} operations.", code="too-long")
    target = parse_tree(document)
    for number, operation in enumerate(operations):
        _Operation(operation, root.name[0], number).run(target)
    return write_tree(target, {}).encode()


def _outermost(document: XmlElement) -> XmlElement:
    return next(child for child in document.children if isinstance(child, XmlElement))


class _Operation:
    """One ``add``, ``replace`` or ``remove``."""

    def __init__(self, element: XmlElement, namespace: str, number: int) -> None:
        self._element = element
        self._kind = element.name[1]
        self._where = f"Operation {number} ({self._kind[:20]})"
        if element.name not in {(namespace, kind) for kind in ("add", "replace", "remove")}:
            raise malformed(f"{self._where}: an operation is add, replace or remove.")
        self._selector = self._attribute("sel")
        if self._selector is None:
            raise malformed(f"{self._where}: 'sel' is missing.", code="required")
        self._namespaces: Mapping[str, str] = {**_PREFIXES, **element.namespaces()}

    def _attribute(self, name: str) -> str | None:
        return self._element.attributes.get(("", name))

    def _fail(self, reason: str) -> NoReturn:
        raise inapplicable(f"{self._where}: {reason}.")

    def run(self, document: XmlElement) -> None:
        """Change the document."""
        selector = self._selector or ""
        found = select(selector, document, self._namespaces)
        if len(found) != 1:
            self._fail(f"'{selector[:200]}' selects {len(found) or 'nothing'}{' nodes, not one' if found else ''}")
        match self._kind:
            case "add":
                self._add(found[0], document)
            case "replace":
                self._replace(found[0], document)
            case "remove":
                self._remove(found[0], document)

    def _nodes(self) -> list[XmlNode]:
        """Return the nodes that the operation carries, which are used once."""
        return list(self._element.children)

    def _text(self) -> str:
        """Return the text that the operation carries, and nothing but text."""
        if any(isinstance(child, XmlElement) for child in self._element.children):
            raise malformed(f"{self._where}: only text can stand for a value.")
        return self._element.text()

    def _add(self, place: Selected, document: XmlElement) -> None:
        kind, position = self._attribute("type"), self._attribute("pos")
        if position is not None and position not in _POSITIONS:
            raise malformed(f"{self._where}: pos is one of {', '.join(sorted(_POSITIONS))}.", code="value")
        if kind is not None:
            self._add_property(place, kind)
        elif isinstance(place, Attribute | Declaration):
            self._fail("nothing can be added to an attribute; replace it")
        elif position in ("before", "after"):
            parent = place.parent
            if parent is None or (parent is document and any(not isinstance(n, Comment) for n in self._nodes())):
                self._fail("a document has one outermost element")
            parent.insert(parent.children.index(place) + (position == "after"), self._nodes())
        elif isinstance(place, XmlElement):
            place.insert(0 if position == "prepend" else len(place.children), self._nodes())
        else:
            self._fail("content can be added to an element only, or before or after a node")

    def _add_property(self, place: Selected, kind: str) -> None:
        """Add an attribute (``@name``) or a namespace declaration (``namespace::prefix``)."""
        if not isinstance(place, XmlElement):
            self._fail("only an element has attributes")
        if kind.startswith("namespace::"):
            prefix = kind.removeprefix("namespace::")
            if prefix in place.declarations:
                self._fail(f"the prefix {prefix[:40]} is declared already")
            place.declarations[prefix] = self._text()
        elif kind.startswith("@"):
            name = self._name(kind[1:])
            if name in place.attributes:
                self._fail(f"there is an attribute {name[1][:40]} already; replace it")
            place.attributes[name] = self._text()
        else:
            raise malformed(f"{self._where}: type is @name or namespace::prefix.", code="value")
        place.changed()

    def _name(self, text: str) -> QName:
        prefix, _, local = text.rpartition(":")
        if not local.isidentifier() and not local.replace("-", "_").replace(".", "_").isidentifier():
            raise malformed(f"{self._where}: '{text[:40]}' is no name of an attribute.", code="value")
        if prefix and prefix not in self._namespaces:
            raise malformed(f"{self._where}: the prefix {prefix[:40]} is not declared.", code="value")
        return (self._namespaces[prefix] if prefix else ""), local

    def _replace(self, place: Selected, document: XmlElement) -> None:
        if isinstance(place, Attribute):
            place.element.attributes[place.name] = self._text()
            place.element.changed()
        elif isinstance(place, Declaration):
            self._fail("a namespace that elements are in can't be replaced")
        elif isinstance(place, Text):
            place.data = self._text()
            if place.parent is not None:
                place.parent.changed()
        else:
            # Whitespace around the one node that takes the place is there for the eye.
            nodes = [n for n in self._nodes() if not (isinstance(n, Text) and not n.data.strip(_BLANK))]
            if len(nodes) != 1 or type(nodes[0]) is not type(place):
                raise malformed(f"{self._where}: an element or comment is replaced by one other.")
            parent = place.parent if place.parent is not None else document
            index = parent.children.index(place)
            parent.remove(place)
            parent.insert(index, nodes)

    def _remove(self, place: Selected, document: XmlElement) -> None:
        if self._nodes() and self._element.text().strip(_BLANK):
            raise malformed(f"{self._where}: remove has no content.")
        if isinstance(place, Attribute):
            del place.element.attributes[place.name]
            place.element.changed()
        elif isinstance(place, Declaration):
            self._fail("a namespace that elements are in can't be removed")
        else:
            parent = place.parent
            if parent is None or (parent is document and isinstance(place, XmlElement)):
                self._fail("the outermost element can't be removed")
            blanks = self._blanks_around(place, parent)
            for node in (place, *blanks):
                parent.children.remove(node)
            parent.changed()

    def _blanks_around(self, place: XmlNode, parent: XmlElement) -> list[XmlNode]:
        """Return the whitespace that ``ws`` says to remove along with a node."""
        sides = self._attribute("ws")
        if sides is None:
            return []
        if sides not in _WHITESPACE:
            raise malformed(f"{self._where}: ws is one of {', '.join(sorted(_WHITESPACE))}.", code="value")
        index = parent.children.index(place)
        blanks: list[XmlNode] = []
        for side, at in (("before", index - 1), ("after", index + 1)):
            if sides in (side, "both"):
                node = parent.children[at] if 0 <= at < len(parent.children) else None
                if not isinstance(node, Text) or node.data.strip(_BLANK):
                    self._fail(f"there is no whitespace {side} the node")
                blanks.append(node)
        return blanks
