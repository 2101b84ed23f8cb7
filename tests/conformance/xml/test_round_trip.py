"""Resources of any type and shape survive the way to XML and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.definitions import resource_types, types
from conformance.primitives import INTEGER_RANGES
from conformance.shape import is_primitive, properties
from conformance.xml import NotInXml, from_xml, to_xml
from tests.conformance.xml.digits import digits_of

TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r &<>\"'"),
    min_size=1,
    max_size=12,
)
DECIMAL = st.from_regex(r"-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,12}|[eE][+-]?[0-9]{1,2})", fullmatch=True).map(Decimal)
DIV = TEXT.map(lambda t: t.replace("&", "&nbsp;").replace(">", "&gt;").replace("<", "<br/>")).map(
    lambda t: f'<div xmlns="http://www.w3.org/1999/xhtml">{t}</div>'
)
FREE_TEXT = ("string", "markdown", "base64Binary")


def primitives(type_name: str) -> st.SearchStrategy[Any]:
    """Return values that JSON would carry, of any format."""
    if type_name == "boolean":
        return st.booleans()
    if type_name in INTEGER_RANGES:
        return st.integers(*INTEGER_RANGES[type_name])
    if type_name == "decimal":
        return DECIMAL | st.integers(-(10**20), 10**20)
    if type_name == "xhtml":
        return DIV
    return TEXT if type_name in FREE_TEXT else TEXT.map(lambda t: t.strip(" \t\r\n") or "x")


@st.composite
def extras(draw: st.DrawFn) -> dict[str, Any]:
    """Return an object beside a primitive."""
    id_ = {"id": draw(TEXT)} if draw(st.booleans()) else {}
    return {**id_, "extension": [{"url": "u", "valueString": draw(TEXT)}]}


@st.composite
def objects(draw: st.DrawFn, type_name: str, depth: int) -> dict[str, Any]:
    """Return an object of a type with a few of its properties; at the bottom only primitive ones."""
    out: dict[str, Any] = {"resourceType": type_name} if types()[type_name].kind == "resource" else {}
    elements = [
        (e, p)
        for e in types()[type_name].elements.values()
        for p in properties(type_name)[e.name]
        if depth > 0 or is_primitive(p.type)
    ]
    for element, p in draw(
        st.lists(st.sampled_from(elements), min_size=1, max_size=5, unique_by=lambda pair: pair[0].name)
    ):
        size = draw(st.integers(1, 3)) if element.is_list else 1
        if not is_primitive(p.type):
            kind = draw(st.sampled_from(("Patient", "Basic", "Binary"))) if p.type == "Resource" else p.type
            values = [draw(objects(kind, depth - 1)) for _ in range(size)]
            out[p.name] = values if element.is_list else values[0]
            continue
        pairs = [
            (draw(primitives(p.type)), draw(extras()) if p.sibling and draw(st.integers(0, 3)) == 0 else None)
            for _ in range(size)
        ]
        pairs = [(None if extra and draw(st.booleans()) else value, extra) for value, extra in pairs]
        values, beside = [v for v, _ in pairs], [x for _, x in pairs]
        if any(v is not None for v in values):
            out[p.name] = values if element.is_list else values[0]
        if p.sibling and any(beside):
            out[p.sibling] = beside if element.is_list else beside[0]
    return out


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(resource_types()).flatmap(lambda name: objects(name, 3)), st.booleans())
def test_any_resource_survives(resource: dict[str, Any], pretty: bool) -> None:
    assert digits_of(from_xml(to_xml(resource, pretty=pretty))) == digits_of(resource)


@pytest.mark.parametrize("character", ["\x00", "\x08", "\x1f", "\ufffe", "\uffff"])
def test_characters_that_xml_does_not_have_are_refused(character: str) -> None:
    with pytest.raises(NotInXml):
        to_xml({"resourceType": "Patient", "language": f"a{character}"})


def test_elements_stand_in_the_order_of_the_definitions() -> None:
    patient = {
        "birthDate": "2020",
        "resourceType": "Patient",
        "name": [{"given": ["a"], "family": "b", "id": "n"}],
        "id": "p",
    }
    assert to_xml(patient) == (
        b'<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir"><id value="p"/>'
        b'<name id="n"><family value="b"/><given value="a"/></name><birthDate value="2020"/></Patient>'
    )
    assert to_xml(patient, pretty=True).decode().splitlines()[1:4] == [
        '<Patient xmlns="http://hl7.org/fhir">',
        '  <id value="p"/>',
        '  <name id="n">',
    ]


def test_unknown_properties_are_no_silent_loss() -> None:
    with pytest.raises(ValueError, match="Patient has no property 'nme'"):
        to_xml({"resourceType": "Patient", "nme": "x"})
