"""XML Patch on resources, https://www.rfc-editor.org/rfc/rfc5261."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from conformance.decode import check
from conformance.patch import InapplicablePatch, MalformedPatch, apply_patch
from conformance.patch.xml_patch import patch_document
from tests.conformance.xml.digits import digits_of

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">a&nbsp;&quot;b&#34; <p>old</p></div>'
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "text": {"status": "generated", "div": DIV},
    "extension": [{"url": "u", "valueDecimal": Decimal("1.10")}],
    "identifier": [{"system": "s", "value": "1"}, {"system": "t", "value": "2"}],
    "active": True,
    "name": [{"family": "Okafor \t&<>\"' x"}],
    "birthDate": "1990",
}


def patched(operations: str, opening: str = '<diff xmlns="http://hl7.org/fhir">') -> dict[str, Any]:
    before = copy.deepcopy(PATIENT)
    body = f'<?xml version="1.0"?>{opening}{operations}</{opening[1:].split(maxsplit=1)[0]}>'
    try:
        return apply_patch(PATIENT, body.encode(), "application/xml-patch+xml")
    finally:
        assert before == PATIENT


def test_only_what_is_patched_changes() -> None:
    after = patched('<replace sel="f:Patient/f:birthDate/@value">1991</replace>')
    assert digits_of(after) == digits_of({**PATIENT, "birthDate": "1991"})
    check(after)


def test_prefixes_of_the_patch_count() -> None:
    rfc7351 = '<p:patch xmlns:p="urn:ietf:rfc:7351" xmlns="http://hl7.org/fhir" xmlns:x="http://hl7.org/fhir">'
    after = patched(
        '<p:remove sel="Patient/identifier[2]"/><p:replace sel="/x:Patient/x:active/@value">false</p:replace>'
        '<p:add sel="*/name[1]" pos="before"><gender value="male"/></p:add>',
        rfc7351,
    )
    assert after["identifier"] == [{"system": "s", "value": "1"}]
    assert (after["active"], after["gender"]) == (False, "male")


def test_elements_are_found_by_their_values() -> None:
    after = patched(
        "<replace sel=\"Patient/identifier[system/@value='t' and value]/value/@value\">9</replace>"
        "<remove sel='f:Patient/f:identifier[f:system[@value = \"s\"]]'/>"
        '<add sel="Patient/identifier[last()]" pos="prepend"><use value="usual"/></add>'
        '<add sel="Patient/identifier[1]" type="@id">i</add>'
        '<add sel="Patient/extension" pos="after"><extension url="v"><valueCode value="c"/></extension></add>'
    )
    assert after["identifier"] == [{"id": "i", "use": "usual", "system": "t", "value": "9"}]
    assert [e["url"] for e in after["extension"]] == ["u", "v"]
    check(after)


def test_narratives_can_be_patched() -> None:
    after = patched('<replace sel="f:Patient/f:text/h:div/h:p/text()">new &amp; shiny</replace>')
    assert after["text"]["div"] == ('<div xmlns="http://www.w3.org/1999/xhtml">a\u00a0"b" <p>new &amp; shiny</p></div>')
    new = '<div xmlns="http://www.w3.org/1999/xhtml">b</div>'
    assert patched(f'<replace sel="Patient/text/h:div">{new}</replace>')["text"]["div"] == new


@pytest.mark.parametrize(
    "operation",
    [
        '<remove sel="f:Patient/f:photo"/>',
        '<remove sel="Patient/identifier"/>',
        '<remove sel="f:Patient"/>',
        '<remove sel="Patient/birthDate" ws="before"/>',
        '<remove sel="Patient/identifier[0]"/>',
        '<remove sel="Patient/identifier[99999999999999999999]"/>',
        '<remove sel="Patient/identifier[@value]"/>',
        '<remove sel="Patient/namespace::x"/>',
        '<add sel="Patient" type="@id">x</add>',
        '<add sel="Patient/birthDate" type="@value">x</add>',
        '<add sel="Patient/birthDate/@value">x</add>',
        '<add sel="Patient"><nope value="x"/></add>',
        '<add sel="Patient"><birthDate value="1991"/></add>',
        '<add sel="Patient">text</add>',
        '<add sel="Patient" pos="after"><Patient/></add>',
        '<replace sel="Patient/birthDate"><nope value="x"/></replace>',
        '<replace sel="Patient/active/@value">yes</replace>',
    ],
)
def test_what_does_not_fit_the_resource(operation: str) -> None:
    with pytest.raises(InapplicablePatch) as refused:
        patched(operation)
    assert refused.value.issues


@pytest.mark.parametrize(
    "operation",
    [
        "", "<nope sel='Patient'/>", "<remove/>", '<remove xmlns="urn:x" sel="Patient"/>', '<remove sel=""/>',
        '<remove sel="//birthDate"/>', '<remove sel="Patient/"/>', '<remove sel="Patient/x:y"/>', '<remove sel="Patient/birthDate["/>',
        '<remove sel="Patient/birthDate[1"/>', '<remove sel="Patient/birthDate]"/>', '<remove sel="Patient/birthDate[@value=1]"/>',
        '<remove sel="count(Patient)"/>', '<remove sel="Patient/..">x</remove>', '<remove sel="Patient/@*"/>',
        '<remove sel="Patient/birthDate" ws="x"/>', '<remove sel="Patient/birthDate">x</remove>',
        '<add sel="Patient" pos="x"/>', '<add sel="Patient" type="x"/>', '<add sel="Patient" type="@a b">x</add>',
        '<add sel="Patient" type="@x:a">x</add>', '<add sel="Patient" type="@id"><a/></add>',
        '<replace sel="Patient/birthDate"/>', '<replace sel="Patient/birthDate">x</replace>',
        '<replace sel="Patient/birthDate"><a/><b/></replace>',
        '<replace sel="Patient/birthDate/@value"><a/></replace>', "<remove sel='" + "a/" * 2000 + "a'/>",
        "<remove sel='Patient/birthDate'/>" * 1001, "<add sel='Patient'>" + "<a>" * 300 + "</a>" * 300 + "</add>", "<", "&nbsp;",
    ],
)  # fmt: skip
def test_what_is_no_patch(operation: str) -> None:
    with pytest.raises(MalformedPatch) as refused:
        patched(operation)
    assert refused.value.issues


def test_no_document_type_is_read() -> None:
    bomb = b'<!DOCTYPE diff [<!ENTITY a "b">]><diff><remove sel="&a;"/></diff>'
    with pytest.raises(MalformedPatch, match="DOCTYPE"):
        apply_patch(PATIENT, bomb, "application/xml-patch+xml")
    with pytest.raises(MalformedPatch, match="root"):
        apply_patch(PATIENT, b"<other/>", "application/xml-patch+xml")


def test_whitespace_around_a_removed_node_can_go_with_it() -> None:
    document = b"<a> <b/> <c/> <d/></a>"
    for sides, expected in (
        ("before", b"<a> <c/> <d/></a>"),
        ("after", b"<a> <c/> <d/></a>"),
        ("both", b"<a><c/> <d/></a>"),
    ):
        assert patch_document(document, b'<diff><remove sel="a/b" ws="%s"/></diff>' % sides.encode()) == expected


def test_attributes_in_namespaces_keep_them() -> None:
    document = b'<a xmlns:x="urn:x" x:b="1" xml:lang="de"/>'
    assert patch_document(document, b'<diff xmlns:y="urn:x"><replace sel="a/@y:b">2</replace></diff>') == (
        b'<a xmlns:x="urn:x" x:b="2" xml:lang="de"/>'
    )
    assert patch_document(b"<a/>", b'<diff xmlns:y="urn:x"><add sel="a" type="@y:b">2</add></diff>') == (
        b'<a xmlns:n0="urn:x" n0:b="2"/>'
    )
