"""The XHTML of a narrative between JSON, where it is a string, and XML, where it is markup.

https://hl7.org/fhir/R4/narrative.html, https://hl7.org/fhir/R4/json.html#xhtml. The string is the markup as written, byte for
byte, so a narrative that goes to XML and back is the same string. HTML's named entities (``&nbsp;``), which XML doesn't
know without a DTD, travel as numeric references with a leading zero (``&#0160;``): the same character for every reader,
and the name comes back from it. References that have leading zeros of their own get one more on the way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.entities import codepoint2name, name2codepoint
from xml.sax.saxutils import quoteattr

from conformance.issues import InvalidResource
from conformance.xml.errors import NotInXml
from conformance.xml.parser import make_parser, parse_with, split_name
from conformance.xml.plan import XHTML

_PREDEFINED = frozenset(("amp", "lt", "gt", "quot", "apos"))
_TO_XML = re.compile(r"&(?:#0([0-9]+)|([A-Za-z][A-Za-z0-9]*));")
_TO_JSON = re.compile(r"&#0([0-9]+);")
_TAG_NAME = re.compile(r"<[^\s/>]+")


def write_narrative(div: str, path: str) -> str:
    """Return the markup that stands for a narrative's string. Raises NotInXml where it is no well-formed ``div``."""
    markup = _TO_XML.sub(_number_entity, div).strip() if "&" in div else div.strip()
    root: list[str] = []
    parser = make_parser()
    parser.StartElementHandler = lambda name, _attributes: None if root else root.append(name)
    try:
        parse_with(parser, markup.encode())
    except InvalidResource as error:
        raise NotInXml(f"{path} is no well-formed XHTML, which XML can't carry: {error}") from error
    namespace, name, _ = split_name(root[0])
    if markup.startswith("<?xml") or name != "div" or namespace not in ("", XHTML):
        raise NotInXml(f"{path} is no XHTML div, which XML can't carry")
    # Without a namespace it would be taken for an element of FHIR.
    return markup if namespace else declare_namespaces(markup, {"": XHTML})


def read_narrative(markup: str, missing: Mapping[str, str]) -> str:
    """Return the string for the markup of a ``div``; ``missing`` are the namespaces (by prefix) that it has from around it."""
    if "&#0" in markup:
        markup = _TO_JSON.sub(_name_entity, markup)
    return declare_namespaces(markup, missing) if missing else markup


def declare_namespaces(markup: str, namespaces: Mapping[str, str]) -> str:
    """Add declarations of namespaces, by prefix, to the first tag of the markup."""
    declarations = "".join(
        f" xmlns{':' if prefix else ''}{prefix}={quoteattr(uri)}" for prefix, uri in sorted(namespaces.items())
    )
    return _TAG_NAME.sub(lambda tag: tag[0] + declarations, markup, count=1)


def _number_entity(match: re.Match[str]) -> str:
    digits, name = match.groups()
    if digits is not None:
        return f"&#00{digits};"
    known = name not in _PREDEFINED and name in name2codepoint
    return f"&#0{name2codepoint[name]};" if known else match[0]


def _name_entity(match: re.Match[str]) -> str:
    digits = match[1]
    if digits.startswith("0"):
        return f"&#{digits};"
    name = codepoint2name.get(int(digits)) if len(digits) < 8 else None  # noqa: PLR2004 - no character has more
    return f"&{name};" if name is not None and name not in _PREDEFINED else match[0]
