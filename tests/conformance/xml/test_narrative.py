"""Narratives are the same string after XML as before, https://hl7.org/fhir/R4/narrative.html."""

from __future__ import annotations

from html.entities import name2codepoint
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conformance.xml import NotInXml, from_xml, to_xml

OPEN = '<div xmlns="http://www.w3.org/1999/xhtml">'


def patient(div: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "text": {"status": "generated", "div": div}}


def through_xml(div: str) -> str:
    text: str = from_xml(to_xml(patient(div)))["text"]["div"]
    assert from_xml(to_xml(patient(div), pretty=True))["text"]["div"] == text
    return text


@pytest.mark.parametrize(
    "div",
    [
        OPEN + "a</div>",
        OPEN + "</div >",
        '<div xmlns="http://www.w3.org/1999/xhtml"/>',
        '<div title="a > b" class=\'"/>\' xmlns="http://www.w3.org/1999/xhtml" />',
        '<div class="/>" xmlns="http://www.w3.org/1999/xhtml">x<br/></div>',
        OPEN + "<div>in<div/>ner</div><br/></div>",
        OPEN
        + "a\r\nb\n\tc &lt; &amp; &quot; &apos; &#160; &#xA0; \u00a0 \U0001f600 <!-- </div> --><![CDATA[<x>]]></div>",
        OPEN + "&nbsp;&copy;&eacute;&Alpha;&euro;</div>",
        OPEN + "&#0160;&#00160;&#000000160;&#065;&#0038;&#038;</div>",
        '<div xmlns="http://www.w3.org/1999/xhtml" xml:lang="de" lang="de">x</div>',
        '<h:div xmlns:h="http://www.w3.org/1999/xhtml"><h:p>x</h:p></h:div>',
    ],
)
def test_a_narrative_is_the_same_string_afterwards(div: str) -> None:
    assert through_xml(div) == div


def test_every_named_entity_of_html_comes_back() -> None:
    assert len(name2codepoint) == 252
    div = OPEN + "".join(f"&{name};" for name in name2codepoint) + "</div>"
    assert through_xml(div) == div
    # No reader of the XML needs to know the names.
    assert b"&#0160;" in to_xml(patient(div))
    assert b"&nbsp;" not in to_xml(patient(div))


@given(
    st.lists(st.sampled_from(["&", "#", "0", "00", "160", "38", "60", "x", ";", "&#0160;", "&nbsp;", "&lt;", "a", " "]))
)
@example(["&#0", "160", ";"])
def test_references_of_any_spelling_come_back(parts: list[str]) -> None:
    div = OPEN + "".join(parts) + "</div>"
    try:
        assert through_xml(div) == div
    except NotInXml:
        # Not well-formed, so nothing that XML could carry.
        assert "&" in div


def test_the_namespace_is_added_where_it_is_missing() -> None:
    assert through_xml("<div>x</div>") == OPEN + "x</div>"
    assert through_xml(' <div\nid="a">x</div>\n') == '<div xmlns="http://www.w3.org/1999/xhtml"\nid="a">x</div>'


def test_namespaces_declared_around_a_narrative_go_with_it() -> None:
    read = from_xml(
        b'<f:Patient xmlns:f="http://hl7.org/fhir" xmlns="http://www.w3.org/1999/xhtml" xmlns:h="http://www.w3.org/1999/xhtml">'
        b'<f:text><f:status value="generated"/><div><h:p>x</h:p></div></f:text></f:Patient>'
    )
    assert read["text"]["div"] == (
        '<div xmlns="http://www.w3.org/1999/xhtml" xmlns:h="http://www.w3.org/1999/xhtml"><h:p>x</h:p></div>'
    )
    assert through_xml(read["text"]["div"]) == read["text"]["div"]


def test_a_prefix_declared_inside_is_not_taken_from_outside() -> None:
    read = from_xml(
        b'<Patient xmlns="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><text><status value="generated"/>'
        b'<div xmlns="http://www.w3.org/1999/xhtml"><p xmlns:h="urn:x"><h:a/></p><h:b/></div></text></Patient>'
    )
    assert read["text"]["div"].startswith(
        '<div xmlns:h="http://www.w3.org/1999/xhtml" xmlns="http://www.w3.org/1999/xhtml">'
    )


@pytest.mark.parametrize(
    "div",
    [
        "plain", OPEN + "a", OPEN + "<br></div>", "<p>x</p>", '<div xmlns="urn:x"/>', "<div/><div/>", OPEN + "&unknown;</div>",
        "<!DOCTYPE div [<!ENTITY a 'b'>]>" + OPEN + "&a;</div>", '<?xml version="1.0"?>' + OPEN + "</div>",
        OPEN + "</div></text></Patient><Patient>", "", "<h:div/>",
    ],
)  # fmt: skip
def test_what_is_no_well_formed_div_has_no_xml(div: str) -> None:
    with pytest.raises(NotInXml):
        to_xml(patient(div))
