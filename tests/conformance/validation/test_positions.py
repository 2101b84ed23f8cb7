"""Lines and columns of issues, in JSON and in XML."""

from conformance.issues import operation_outcome
from tests.conformance.validation.definitions import validator

JSON = b"""{
  "resourceType": "Patient",
  "name": [{"text": "a"},
    { "use": "nope" }],
  "deceasedDateTime": "2020-13",
  "_birthDate": {"extension": [{"url": "x", "valueCode": "y"}]},
  "contact": [{"gender": "male"}]
}"""
XML = b"""<Patient xmlns="http://hl7.org/fhir">
  <name><text value="a"/></name>
  <name>
    <use value="nope"/>
  </name>
  <contact><gender value="male"/></contact>
</Patient>"""


def places(text: bytes) -> dict[str | None, tuple[int | None, int | None]]:
    return {i.expression: (i.line, i.column) for i in validator().validate_text(text) if i.severity == "error"}


def test_positions_in_json() -> None:
    assert places(JSON) == {
        "Patient.name[1].use": (4, 7),
        "Patient.deceased": (5, 3),
        "Patient.birthDate.extension[0]": (6, 32),
        "Patient.contact[0]": (7, 15),
    }


def test_positions_in_xml() -> None:
    assert places(XML) == {"Patient.name[1].use": (4, 5), "Patient.contact[0]": (6, 3)}


def test_resources_inside_others_in_both_formats() -> None:
    json = b'{"resourceType": "Bundle", "type": "collection",\n "entry": [{"resource":\n {"resourceType": "Patient",\n "gender": "x"}}]}'
    xml = (
        b'<Bundle xmlns="http://hl7.org/fhir"><type value="collection"/><entry><resource>\n'
        b'<Patient>\n<gender value="x"/></Patient></resource></entry></Bundle>'
    )
    assert places(json) == {"Bundle.entry[0].resource.gender": (4, 2)}
    assert places(xml) == {"Bundle.entry[0].resource.gender": (3, 1)}


def test_what_is_missing_has_the_position_of_what_should_have_it() -> None:
    assert places(b'{"resourceType": "Observation",\n "status": "final"}') == {"Observation.code": (1, 1)}


def test_the_outcome_carries_them_as_extensions() -> None:
    found = [i for i in validator().validate_text(JSON) if i.expression == "Patient.name[1].use"]
    outcome = operation_outcome(found)["issue"][0]
    assert {e["url"].rpartition("-")[2]: e["valueInteger"] for e in outcome["extension"]} == {"line": 4, "col": 7}


def test_without_a_source_there_are_none() -> None:
    issues = validator().validate({"resourceType": "Patient", "gender": "x"})
    assert {(i.line, i.column) for i in issues} == {(None, None)}
