"""What from_xml makes of single elements, and what it refuses, https://hl7.org/fhir/R4/xml.html."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from typing import Any

import pytest

from conformance.decode import check
from conformance.issues import InvalidResource
from conformance.xml import from_xml, to_xml
from tests.conformance.xml.digits import digits_of


def read(content: str, name: str = "Patient") -> dict[str, Any]:
    return from_xml(f'<{name} xmlns="http://hl7.org/fhir">{content}</{name}>'.encode())


def issues(content: str, name: str = "Patient") -> list[tuple[str, str | None]]:
    with pytest.raises(InvalidResource) as refused:
        read(content, name)
    return [(issue.code, issue.expression) for issue in refused.value.issues]


def refusal(document: bytes) -> str:
    with pytest.raises(InvalidResource) as refused:
        from_xml(document)
    assert refused.value.issues[0].severity == "fatal"
    return refused.value.issues[0].diagnostics


def test_values_are_typed() -> None:
    observation = read(
        '<id value="o"/><valueQuantity><value value="1.10"/></valueQuantity><component><valueInteger value="-3"/></component>'
        '<component><valueBoolean value="true"/></component><component><valueString value=" 1 "/></component>'
        '<component><valueQuantity><value value="7"/></valueQuantity></component>',
        "Observation",
    )
    assert str(observation["valueQuantity"]["value"]) == "1.10"
    integer, boolean, string, quantity = observation["component"]
    assert (integer["valueInteger"], boolean["valueBoolean"], string["valueString"]) == (-3, True, " 1 ")
    assert type(quantity["valueQuantity"]["value"]) is int


@pytest.mark.parametrize("digits", ["0", "-1", "1.0", "0.000000100", "1e3", "-2.50E-7", "123456789.123456789123456789"])
def test_decimals_keep_their_digits(digits: str) -> None:
    range_ = read(f'<valueQuantity><value value="{digits}"/></valueQuantity>', "Observation")
    assert Decimal(range_["valueQuantity"]["value"]).as_tuple() == Decimal(digits).as_tuple()
    assert digits_of(from_xml(to_xml(range_))) == digits_of(range_)


def test_primitives_with_ids_and_extensions_keep_their_place() -> None:
    extension = '<extension url="u"><valueCode value="c"/></extension>'
    patient = read(
        f'<name id="n"><given value="a"/><given id="g">{extension}</given><given value="c">{extension}</given></name>'
        f'<name><given>{extension}</given></name><birthDate id="b" value="2020"/>'
    )
    told = {"extension": [{"url": "u", "valueCode": "c"}]}
    assert patient == {
        "resourceType": "Patient",
        "name": [
            {"id": "n", "given": ["a", None, "c"], "_given": [None, {"id": "g", **told}, told]},
            {"_given": [told]},
        ],
        "birthDate": "2020",
        "_birthDate": {"id": "b"},
    }
    assert from_xml(to_xml(patient)) == patient
    check(patient)


def test_resources_inside_resources() -> None:
    bundle = read(
        '<type value="collection"/><entry><resource><Patient><id value="p"/><contained><Basic><id value="b"/></Basic>'
        "</contained></Patient></resource></entry>",
        "Bundle",
    )
    patient = bundle["entry"][0]["resource"]
    assert patient == {
        "resourceType": "Patient",
        "id": "p",
        "contained": [{"resourceType": "Basic", "id": "b"}],
    }


def test_prefixes_comments_and_instructions_do_not_matter() -> None:
    plain = read('<active value="true"/>')
    other = from_xml(
        b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8" standalone="yes"?><?xml-stylesheet href="x"?><!-- a -->\n'
        b'<f:Patient xmlns:f="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        b'xsi:schemaLocation="http://hl7.org/fhir ../fhir.xsd"><!-- b --><f:active value=" true&#10;"><!-- c --></f:active>'
        b"<![CDATA[ ]]></f:Patient><!-- d -->"
    )
    assert other == plain


def test_elements_may_stand_in_any_order() -> None:
    assert read(
        '<gender value="male"/><name><text value="a"/></name><active value="true"/><name><text value="b"/></name>'
    ) == {
        "resourceType": "Patient",
        "gender": "male",
        "name": [{"text": "a"}, {"text": "b"}],
        "active": True,
    }


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('<nme value="x"/>', [("structure", "Patient.nme")]),
        ('<name><givn value="x"/></name>', [("structure", "Patient.name[0].givn"), ("structure", "Patient.name[0]")]),
        ('<gender value="male" code="x"/>', [("structure", "Patient.gender")]),
        ('<gender value="male"/><gender value="female"/>', [("structure", "Patient.gender")]),
        ("<gender/>", [("structure", "Patient.gender")]),
        ("<name/>", []),
        ('text<active value="true"/>', [("structure", "Patient")]),
        ('<name>text<text value="x"/></name>', [("structure", "Patient.name[0]")]),
        ('<gender xmlns="" value="male"/>', [("structure", "Patient.gender")]),
        ('<id value="x" id="y"/>', [("structure", "Patient.id")]),
        ("<contained/>", [("structure", "Patient.contained[0]")]),
        ("<contained><Nope/></contained>", [("structure", "Patient.contained[0]")] * 2),
        ("<contained><Basic/><Basic/></contained>", [("structure", "Patient.contained[0]"), ("required", "Patient.contained[0].code")]),
        ("<text><div>x</div></text>", [("structure", "Patient.text.div")]),
        ('<active value="yes"/>', [("value", "Patient.active")]),
        ('<multipleBirthInteger value="1.0"/>', [("value", "Patient.multipleBirth")]),
        ('<multipleBirthInteger value="01"/>', [("value", "Patient.multipleBirth")]),
        ('<multipleBirthInteger value="' + "9" * 5000 + '"/>', [("value", "Patient.multipleBirth")]),
    ],
)  # fmt: skip
def test_what_is_refused_names_its_place(content: str, found: list[tuple[str, str | None]]) -> None:
    if not found:
        # What JSON can say, too, is left to the check.
        with pytest.raises(InvalidResource):
            check(read(content))
        return
    assert issues(content)[: len(found)] == found


def test_all_issues_come_at_once() -> None:
    found = issues(
        '<nme value="x"/><gender value="nope"/><birthDate value="1.1.2000"/><active value="yes"/><name>x</name>'
    )
    assert found == [
        ("structure", "Patient.nme"),
        ("structure", "Patient.name[0]"),
        ("value", "Patient.active"),
        ("code-invalid", "Patient.gender"),
        ("value", "Patient.birthDate"),
    ]


def test_issues_without_end_are_cut() -> None:
    with pytest.raises(InvalidResource) as refused:
        read("<x/>" * 5_000)
    assert len(refused.value.issues) == 1_001
    assert refused.value.issues[-1].code == "too-costly"


def test_the_outermost_element_is_a_resource_of_fhir() -> None:
    for document in (
        b"<Patient/>",
        b'<Patient xmlns="http://hl7.org/fhir1"/>',
        b'<Nope xmlns="http://hl7.org/fhir"/>',
        b'<HumanName xmlns="http://hl7.org/fhir"/>',
    ):
        with pytest.raises(InvalidResource) as refused:
            from_xml(document)
        assert [issue.code for issue in refused.value.issues] == ["structure"]


@pytest.mark.parametrize(
    "document",
    [
        b"", b" ", b"{}", b"<", b"<Patient", b'<Patient xmlns="http://hl7.org/fhir">', b"\x00", b"\xff\xfe<\x00",
        b'<Patient xmlns="http://hl7.org/fhir"><id value="\xff"/></Patient>',
        b'<Patient xmlns="http://hl7.org/fhir"><id value="&#0;"/></Patient>',
        b'<Patient xmlns="http://hl7.org/fhir"><id value="a" value="b"/></Patient>',
        b'<Patient xmlns="http://hl7.org/fhir"/><Patient/>', b"<f:Patient/>",
    ],
)  # fmt: skip
def test_what_is_not_xml_is_refused_with_a_position(document: bytes) -> None:
    assert refusal(document).startswith("Not XML: ")
    assert "(line " in refusal(document)


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-16"])
def test_other_encodings_are_refused(encoding: str) -> None:
    document = f'<?xml version="1.0" encoding="{encoding}"?><Patient xmlns="http://hl7.org/fhir"/>'
    assert "UTF-8" in refusal(document.encode())


LAUGHS = b"".join(
    b'<!ENTITY l%d "%s">' % (level, b"&l%d;" % (level - 1) * 10 if level else b"ha" * 100) for level in range(12)
)


@pytest.mark.parametrize(
    "declaration",
    [
        b"<!DOCTYPE Patient>",
        b'<!DOCTYPE Patient SYSTEM "http://example.org/x.dtd">',
        b"<!DOCTYPE Patient [" + LAUGHS + b"]>",
        b'<!DOCTYPE Patient [<!ENTITY l11 SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE Patient [<!ENTITY % p SYSTEM "http://example.org/p"> %p;]>',
    ],
)
def test_document_types_and_entities_are_refused_unread(declaration: bytes) -> None:
    document = declaration + b'<Patient xmlns="http://hl7.org/fhir"><id value="&l11;"/></Patient>'
    tracemalloc.start()
    try:
        told = refusal(document)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "DOCTYPE" in told
    assert "root" not in told
    assert peak < 1_000_000


def test_depth_is_bounded() -> None:
    levels = 20_000
    document = '<extension url="u">' * levels + "</extension>" * levels
    found = issues(document)
    assert ("structure", "Patient" + ".extension[0]" * 127) in found


def test_a_narrative_may_nest_deeply() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">' + "<b>" * 3000 + "x" + "</b>" * 3000 + "</div>"
    patient = read(f'<text><status value="generated"/>{div}</text>')
    assert patient["text"]["div"] == div
    assert from_xml(to_xml(patient)) == patient
