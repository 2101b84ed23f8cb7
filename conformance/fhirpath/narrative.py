"""The rules for XHTML in a narrative, https://hl7.org/fhir/R4/narrative.html#xhtml (txt-1 and txt-2)."""

from __future__ import annotations

import re
from xml.etree import ElementTree  # entity declarations are refused before anything is parsed

_XHTML = "{http://www.w3.org/1999/xhtml}"
_ELEMENTS = frozenset(
    """
    a abbr acronym address b bdo big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6
    hr i img kbd li ol p pre q s samp small span strong strike sub sup table tbody td tfoot th thead tr tt u ul var
    """.split()  # noqa: SIM905 (a hundred quoted names would be harder to read)
)
_ATTRIBUTES = frozenset(
    """
    abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite
    class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev
    rowspan rules scope shape span src start style summary tabindex title type usemap valign value width
    {http://www.w3.org/XML/1998/namespace}lang
    """.split()  # noqa: SIM905
)
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9A-Fa-f]+);)[A-Za-z][A-Za-z0-9]*;")
_ACTIVE_LINK = re.compile(r"\s*(?:javascript|vbscript)\s*:", re.IGNORECASE)


def is_safe_narrative(text: object) -> bool:
    """Tell whether ``text`` is a ``div`` of allowed elements and attributes, with some content and nothing active."""
    if type(text) is not str or "<!" in text.replace("<!--", ""):
        return False
    try:
        # HTML's named entities are allowed, but unknown to an XML parser
        root = ElementTree.fromstring(_ENTITY.sub("x", text))  # noqa: S314
    except ElementTree.ParseError:
        return False
    if root.tag != _XHTML + "div":
        return False
    for element in root.iter():
        if type(element.tag) is not str or element.tag.removeprefix(_XHTML) not in _ELEMENTS:
            return False
        if any(name not in _ATTRIBUTES or _ACTIVE_LINK.match(value) for name, value in element.attrib.items()):
            return False
    return bool("".join(root.itertext()).strip()) or root.find(f".//{_XHTML}img") is not None
