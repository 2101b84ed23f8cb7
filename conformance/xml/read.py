"""FHIR XML to FHIR JSON, https://hl7.org/fhir/R4/xml.html.

Elements of one name may stand apart, and in any order: nothing is lost by accepting that. Comments and processing
instructions are no part of a resource, nor is ``xsi:schemaLocation``. Whatever else a type doesn't define is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from typing import Any

from conformance.definitions import resource_types
from conformance.issues import InvalidResource, Issue
from conformance.primitives import INTEGER_RANGES, MAX_EXPONENT, describe
from conformance.shape import MAX_DEPTH
from conformance.walk import step, walk
from conformance.xml.narrative import read_narrative
from conformance.xml.parser import make_parser, parse_with, slice_element, split_name
from conformance.xml.plan import FHIR, XHTML, XML, Field, Plan, plan

MAX_ISSUES = 1_000
"""How many issues are collected before reading stops: a hostile document could have millions."""

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_RESOURCES = frozenset(resource_types())
_BLANK = " \t\r\n"
_INTEGER = re.compile(r"\+?(-?(?:0|[1-9][0-9]*))")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# The types in which whitespace at the ends may mean something; elsewhere it may be there but doesn't count.
_FREE_TEXT = frozenset(("string", "markdown", "base64Binary"))


def from_xml(data: bytes) -> dict[str, Any]:
    """Return the resource as plain FHIR JSON; numbers and booleans are typed, decimals are Decimals with their digits.

    What JSON has no place for is refused here; the rest (formats, cardinality, bindings) is for
    conformance.decode.check. Raises InvalidResource with all issues, those of the content included.
    """
    reader = _Reader(data)
    resource = reader.read()
    if reader.issues or reader.suspect:
        known = {(issue.expression, issue.code) for issue in reader.issues}
        found = [i for i in walk(resource) if (i.expression, i.code) not in known] if resource is not None else []
        if reader.issues or found:
            raise InvalidResource([*reader.issues, *found])
    return resource if resource is not None else {}


class _Frame:
    """An open element.

    ``shape`` is None where a resource has to follow. ``value`` collects the JSON object: of a primitive, that of its id
    and extensions, while ``text`` is its value. ``loose`` are the arrays in which something has no value or extension.
    """

    __slots__ = ("field", "index", "loose", "parent", "shape", "text", "value")

    def __init__(self, parent: _Frame | None, field: Field | None, shape: Plan | None, index: int) -> None:
        self.parent = parent
        self.field = field
        self.shape = shape
        self.index = index
        self.value: dict[str, Any] = {}
        self.text: Any = None
        self.loose: set[Field] | None = None

    def path(self) -> str:
        """Return the FHIRPath of the element."""
        if self.parent is None:
            return str(self.value["resourceType"])
        if self.field is None:
            return self.parent.path()
        here = step(self.parent.path(), self.field.element)
        return f"{here}[{self.index}]" if self.field.is_list else here


class _Reader:
    """One document; ``suspect`` says that a value is not what its type demands, which the walk explains."""

    def __init__(self, data: bytes) -> None:
        self.issues: list[Issue] = []
        self.suspect = False
        self._data = data
        self._root: _Frame | None = None
        self._frame: _Frame | None = None
        self._depth = 0
        # Levels of elements that are skipped, since there is no place for them.
        self._ignored = 0
        # The narrative that is open, if any: where it starts, its levels, and the namespaces it has from around it.
        self._start = 0
        self._levels = 0
        self._missing: dict[str, str] = {}
        self._inside: Counter[str] = Counter()
        # Prefixes whose declarations belong to the tag that is about to open.
        self._declared: list[str] = []
        self._names: dict[str, tuple[str, str, str]] = {}
        self._parser = make_parser()
        self._parser.StartElementHandler = self._open
        self._parser.EndElementHandler = self._close
        self._parser.CharacterDataHandler = self._take_text
        self._parser.StartNamespaceDeclHandler = self._declare
        self._parser.EndNamespaceDeclHandler = self._forget

    def read(self) -> dict[str, Any] | None:
        """Parse, and return what could be read; None when the outermost element is no resource."""
        try:
            parse_with(self._parser, self._data)
        finally:
            # The parser and its handlers refer to each other.
            self._parser.StartElementHandler = self._parser.EndElementHandler = None
            self._parser.CharacterDataHandler = None
            self._parser.StartNamespaceDeclHandler = self._parser.EndNamespaceDeclHandler = None
        return None if self._root is None else self._root.value

    def _report(self, code: str, diagnostics: str, path: str | None) -> None:
        if len(self.issues) >= MAX_ISSUES:
            more = Issue("error", "too-costly", f"There are more issues; these are the first {MAX_ISSUES}")
            raise InvalidResource([*self.issues, more])
        where = f" (line {self._parser.CurrentLineNumber})"
        self.issues.append(Issue("error", code, diagnostics + where, path))

    def _split(self, name: str) -> tuple[str, str, str]:
        split = self._names.get(name)
        if split is None:
            split = self._names[name] = split_name(name)
        return split

    def _declare(self, prefix: str | None, _uri: str | None) -> None:
        if self._levels:
            self._inside[prefix or ""] += 1
        else:
            self._declared.append(prefix or "")

    def _forget(self, prefix: str | None) -> None:
        if self._levels:
            self._inside[prefix or ""] -= 1

    def _take_text(self, text: str) -> None:
        if not self._levels and not self._ignored and text.strip(_BLANK):
            here = self._frame.path() if self._frame is not None else None
            self._report("structure", f"Text has no place here: {describe(text.strip(_BLANK))}", here)

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        if self._levels:
            self._levels += 1
            self._note_namespaces(name, attributes)
            return
        if self._ignored:
            self._ignored += 1
        else:
            namespace, local, _ = self._split(name)
            frame = self._frame
            if frame is None:
                self._open_resource(namespace, local, attributes)
            elif self._depth >= 2 * MAX_DEPTH:
                self._skip("structure", f"Elements are nested more than {MAX_DEPTH} levels deep", frame.path())
            elif frame.shape is None:
                self._open_resource(namespace, local, attributes)
            else:
                self._open_element(frame, frame.shape, name, attributes)
        self._declared.clear()

    def _skip(self, code: str, diagnostics: str, path: str | None) -> None:
        self._report(code, diagnostics, path)
        self._ignored = 1

    def _push(self, frame: _Frame) -> None:
        self._frame = frame
        self._depth += 1

    def _open_resource(self, namespace: str, local: str, attributes: dict[str, str]) -> None:
        """Open the element that a resource is: the outermost, or the only one inside of a contained one's wrapper."""
        parent = self._frame
        path = parent.path() if parent is not None else None
        if namespace != FHIR:
            self._skip("structure", f"{describe(local)} is not in the namespace {FHIR}", path)
        elif local not in _RESOURCES:
            self._skip("structure", f"Not a FHIR R4 resource type: {describe(local)}", path)
        elif parent is not None and parent.value:
            self._skip("structure", "There is room for one resource here", path)
        else:
            frame = _Frame(parent, None, plan(local), 0)
            frame.value["resourceType"] = local
            if parent is None:
                self._root = frame
            else:
                parent.value = frame.value
            self._push(frame)
            self._take_attributes(frame, attributes)

    def _open_element(self, frame: _Frame, shape: Plan, name: str, attributes: dict[str, str]) -> None:
        namespace, local, _ = self._split(name)
        field = shape.elements.get(local)
        if field is None:
            self._skip("structure", f"{shape.type} has no element {describe(local)}", step(frame.path(), local))
            return
        expected = XHTML if field.kind == "narrative" else FHIR
        if namespace != expected:
            self._skip("structure", f"{describe(local)} is not in the namespace {expected}", step(frame.path(), local))
            return
        present = field.name in frame.value or (field.sibling is not None and field.sibling in frame.value)
        if present and not field.is_list:
            self._report("structure", f"{field.element} takes one value", step(frame.path(), field.element))
        if field.kind == "narrative":
            self._open_narrative(name, attributes)
            return
        index = len(frame.value[field.name]) if present and field.is_list else 0
        if field.kind == "object":
            opened = _Frame(frame, field, plan(field.type), index)
            _put(frame, field, opened.value)
        elif field.kind == "primitive":
            opened = _Frame(frame, field, plan("Element"), index)
            opened.text = attributes.pop("value", None)
        else:
            opened = _Frame(frame, field, None, index)
            _put(frame, field, None)
        self._push(opened)
        self._take_attributes(opened, attributes)

    def _take_attributes(self, frame: _Frame, attributes: dict[str, str]) -> None:
        known = frame.shape.attributes if frame.shape is not None else {}
        for name, text in attributes.items():
            if name in known:
                frame.value[name] = text.strip(_BLANK) if known[name].type not in _FREE_TEXT else text
                continue
            namespace, local, _ = self._split(name)
            if namespace != _XSI or local not in ("schemaLocation", "noNamespaceSchemaLocation"):
                self._report("structure", f"There is no attribute {describe(local)} here", frame.path())

    def _close(self, _name: str) -> None:
        if self._levels:
            self._levels -= 1
            if not self._levels:
                self._close_narrative()
            return
        if self._ignored:
            self._ignored -= 1
            return
        frame = self._frame
        if frame is None:
            return
        if frame.loose:
            _align(frame)
        parent, field = frame.parent, frame.field
        if parent is not None and field is not None:
            if field.kind == "primitive":
                self._close_primitive(frame, parent, field)
            elif field.kind == "resource":
                self._close_wrapper(frame, parent, field)
        self._frame = parent
        self._depth -= 1

    def _close_primitive(self, frame: _Frame, parent: _Frame, field: Field) -> None:
        extra = frame.value or None
        value = None if frame.text is None else self._typed(frame.text, field.type)
        if value is None and extra is None:
            self._report("structure", "An element needs a value or extensions", frame.path())
        if not field.is_list:
            if value is not None:
                parent.value[field.name] = value
            if extra is not None and field.sibling is not None:
                parent.value[field.sibling] = extra
        else:
            values = parent.value.setdefault(field.name, [])
            values.append(value)
            if value is None or extra is not None:
                parent.loose = {field} if parent.loose is None else {field, *parent.loose}
            if extra is not None and field.sibling is not None:
                extras = parent.value.setdefault(field.sibling, [])
                extras += [None] * (len(values) - 1 - len(extras))
                extras.append(extra)
        if extra is not None and field.sibling is None:
            self._report("structure", f"{field.element} can't have an id or extensions", frame.path())

    def _close_wrapper(self, frame: _Frame, parent: _Frame, field: Field) -> None:
        if not frame.value:
            self._report("structure", "Expected a resource, found nothing", frame.path())
        if field.is_list:
            parent.value[field.name][frame.index] = frame.value
        else:
            parent.value[field.name] = frame.value

    def _typed(self, text: str, type_name: str) -> Any:
        """Return the JSON value; text that isn't what the type demands stays text, for the walk to judge."""
        if type_name in _FREE_TEXT:
            return text
        text = text.strip(_BLANK)
        if type_name == "boolean" and text in ("true", "false"):
            return text == "true"
        if type_name in INTEGER_RANGES and len(text) <= MAX_EXPONENT and (match := _INTEGER.fullmatch(text)):
            return int(match[1])
        if type_name == "decimal" and (match := _DECIMAL.fullmatch(text)):
            if match[1] or match[2] or len(text) > MAX_EXPONENT:
                return _decimal(text)
            return int(text)
        self.suspect = self.suspect or type_name in INTEGER_RANGES or type_name in ("boolean", "decimal")
        return text

    def _open_narrative(self, name: str, attributes: dict[str, str]) -> None:
        self._levels = 1
        self._start = self._parser.CurrentByteIndex
        self._missing = {}
        self._inside = Counter(self._declared)
        self._note_namespaces(name, attributes)

    def _note_namespaces(self, name: str, attributes: dict[str, str]) -> None:
        """Remember namespaces that a narrative uses and does not declare itself."""
        namespace, _, prefix = self._split(name)
        if namespace and not self._inside[prefix]:
            self._missing[prefix] = namespace
        for attribute in attributes:
            namespace, _, prefix = self._split(attribute)
            if namespace not in ("", XML) and not self._inside[prefix]:
                self._missing[prefix] = namespace

    def _close_narrative(self) -> None:
        markup = slice_element(self._data, self._start, self._parser.CurrentByteIndex)
        if self._frame is not None:
            self._frame.value["div"] = read_narrative(markup, self._missing)


def _put(frame: _Frame, field: Field, value: Any) -> None:
    if field.is_list:
        frame.value.setdefault(field.name, []).append(value)
    else:
        frame.value[field.name] = value


def _align(frame: _Frame) -> None:
    """Bring the values and extras of primitive arrays to one length; drop values where there are none."""
    for field in frame.loose or ():
        values, extras = frame.value[field.name], frame.value.get(field.sibling or "")
        if extras is not None:
            extras += [None] * (len(values) - len(extras))
        if all(value is None for value in values):
            del frame.value[field.name]


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:
        return Decimal("Infinity")  # beyond what Decimal can hold; the check refuses it as out of range
