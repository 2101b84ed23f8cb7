"""A guarded XML parser: UTF-8 only, no DTD and so no entities beyond XML's own five, https://hl7.org/fhir/R4/security.html#narrative.

A document type declaration is refused at its first byte. So nothing is ever fetched or expanded, and memory stays in
proportion to the document.
"""

from __future__ import annotations

import re
from pyexpat import ErrorString, ExpatError, ParserCreate, XMLParserType, errors
from typing import Any, NoReturn

from conformance.issues import InvalidResource, Issue

SEPARATOR = "\f"
"""Stands between namespace, local name and prefix in the names that the parser reports; XML can't contain it."""

_UTF_8 = frozenset(("utf-8", "utf8", "us-ascii", "ascii"))
_START_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*+"|'[^']*+')*+>""")
_ENTITY = re.compile(rb"&([A-Za-z][A-Za-z0-9]*);")


class _Refused(Exception):
    """Parsing stops: the document declares what is not accepted."""


def make_parser() -> XMLParserType:
    """Return a parser; the caller sets its handlers and passes it to :func:`parse_with`."""
    parser = ParserCreate("utf-8", SEPARATOR)
    parser.namespace_prefixes = True
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.XmlDeclHandler = _check_declaration
    return parser


def parse_with(parser: XMLParserType, data: bytes) -> None:
    """Parse a whole document. Raises InvalidResource, with line and column, when it is not well-formed or is refused."""
    try:
        parser.Parse(data, True)
    except ExpatError as error:
        raise _not_well_formed(error, data) from error
    except _Refused as error:
        raise InvalidResource([Issue("fatal", "structure", f"{error}{_position(parser)}")]) from error


def split_name(name: str) -> tuple[str, str, str]:
    """Return (namespace, local name, prefix) of a name that the parser reported; each may be empty but the second."""
    parts = name.split(SEPARATOR)
    if len(parts) == 1:
        return "", name, ""
    return parts[0], parts[1], parts[2] if len(parts) > 2 else ""  # noqa: PLR2004


def slice_element(data: bytes, start: int, end_event: int) -> str:
    """Return an element as written: its tag starts at byte ``start``, the parser reported its end at ``end_event``."""
    tag = _START_TAG.match(data, start)
    # The end of an empty element is reported at either end of its only tag.
    end = tag.end() if tag is not None and tag[0].endswith(b"/>") else data.index(b">", end_event) + 1
    return data[start:end].decode()


def _refuse_doctype(*_declaration: Any) -> NoReturn:
    raise _Refused("A document type declaration (DOCTYPE) is not allowed")


def _check_declaration(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _UTF_8:
        raise _Refused(f"The encoding of FHIR is UTF-8, not {encoding[:40]}")


def _position(parser: XMLParserType) -> str:
    return f" (line {parser.CurrentLineNumber}, column {parser.CurrentColumnNumber + 1})"


def _not_well_formed(error: ExpatError, data: bytes) -> InvalidResource:
    reason = ErrorString(error.code)
    if reason == errors.XML_ERROR_UNDEFINED_ENTITY:
        # The parser stands at the entity, but counts columns in characters.
        lines = data.split(b"\n", error.lineno)
        line = lines[error.lineno - 1].decode(errors="replace") if len(lines) >= error.lineno else ""
        entity = _ENTITY.match(line[error.offset :].encode())
        if entity:
            reason = f"undefined entity &{entity[1].decode()}; (XML has only amp, lt, gt, quot and apos; write the character)"
    text = f"Not XML: {reason} (line {error.lineno}, column {error.offset + 1})"
    return InvalidResource([Issue("fatal", "structure", text, None, error.lineno, error.offset + 1)])
