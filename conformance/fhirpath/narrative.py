"""The rules for XHTML in a narrative, https://hl7.org/fhir/R4/narrative.html#xhtml (txt-1 and txt-2)."""

from __future__ import annotations

import re
from functools import lru_cache
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
    return type(text) is str and find_narrative_fault(text) is None


@lru_cache(maxsize=8)  # R4 has two constraints that ask the same of each narrative
def find_narrative_fault(text: str) -> str | None:
    """Return what is wrong with a narrative, with the key of the rule, None if nothing is."""
    if "<!" in text.replace("<!--", ""):
        return "A narrative has no document type, CDATA or the like (txt-1)"
    try:
        # HTML's named entities are allowed, but unknown to an XML parser
        root = ElementTree.fromstring(_ENTITY.sub("x", text))  # noqa: S314
    except ElementTree.ParseError as error:
        return f"The narrative is not well-formed XML: {error} (txt-1)"
    if root.tag != _XHTML + "div":
        return "A narrative is a div of the namespace http://www.w3.org/1999/xhtml (txt-1)"
    for element in root.iter():
        name = str(element.tag).removeprefix(_XHTML)
        if type(element.tag) is not str or name not in _ELEMENTS:
            return f"The element {name[:60]} is not allowed in a narrative (txt-1)"
        for attribute, value in element.attrib.items():
            if attribute not in _ATTRIBUTES or _ACTIVE_LINK.match(value):
                return f"The attribute {attribute[:60]} of {name} is not allowed in a narrative, or not so (txt-1)"
    if "".join(root.itertext()).strip() or root.find(f".//{_XHTML}img") is not None:
        return None
    return "A narrative has some content besides whitespace (txt-2)"
