"""Texts to resources, JSON or XML, with every issue of structure: https://hl7.org/fhir/R4/formats.html."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from conformance.decode import check, decode, parse
from conformance.issues import InvalidResource, Issue
from conformance.shape import MAX_DEPTH
from conformance.xml import from_xml

# Strings come first, for what looks like a comment in them is none.
_COMMENT = re.compile(rb'"(?:[^"\\]|\\.)*+"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def _blank(match: re.Match[bytes]) -> bytes:
    # As long as it was, and with its lines, so that positions stay.
    return match[0] if match[0][:1] == b'"' else re.sub(rb"[^\n]", b" ", match[0])


class Reading(NamedTuple):
    """The resource of a text, None where it could not be read, and the issues of its structure."""

    resource: Any
    issues: list[Issue]


def is_xml(text: bytes) -> bool:
    """Tell whether a text looks like XML, not JSON."""
    return text.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def read(text: bytes, *, comments: bool = False) -> Reading:
    """Return the resource of a text in JSON or XML, and what is wrong with its structure.

    ``comments`` lets JSON have comments, which are no part of it.
    """
    if comments and not is_xml(text):
        text = _COMMENT.sub(_blank, text)
    try:
        if not is_xml(text):
            return Reading(decode(text), [])
        resource = from_xml(text)
        return Reading(resource, check_structure(resource))
    except InvalidResource as refused:
        found = list(refused.issues)
    if is_xml(text):
        return Reading(None, found)
    try:
        return Reading(parse(text), found)
    except (InvalidResource, RecursionError):
        return Reading(None, found)


def check_structure(resource: Any) -> list[Issue]:
    """Return the issues of a parsed resource's structure."""
    try:
        check(resource)
    except InvalidResource as refused:
        return list(refused.issues)
    except RecursionError:
        return [Issue("error", "structure", f"Elements are nested more than {MAX_DEPTH} levels deep")]
    return []
