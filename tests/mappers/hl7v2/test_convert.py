"""Messages become valid R4 with the facts they carry."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from conformance.decode import check
from fhir_server.operations.feed import ContentError
from mappers.hl7v2.convert import Conversion, convert
from mappers.hl7v2.receive import receive
from mappers.hl7v2.tokenizer import tokenize
from tests.mappers.hl7v2.messages import OBR, PID, adt, corpus, header, message, oru

Json = dict[str, Any]
HOSP = "urn:oid:2.16.840.1.113883.19.5"
KILOGRAM = {"unit": "kilogram", "system": "http://unitsofmeasure.org", "code": "kg"}
DETECTED = {"system": "http://snomed.info/sct", "code": "260373001", "display": "Detected"}


def of_type(conversion: Conversion, resource_type: str) -> list[Json]:
    """Return the resources of a type."""
    return [d.resource for d in conversion.drafts if d.resource["resourceType"] == resource_type]


def converted(raw: bytes) -> Conversion:
    """Convert and check every resource."""
    conversion = convert(tokenize(raw))
    for draft in conversion.drafts:
        check(draft.resource)
    return conversion


def observation(obx: str) -> Json:
    """Return the observation made of one OBX."""
    (found,) = of_type(converted(oru("1", obx)), "Observation")
    return found


def test_every_accepted_public_message_becomes_valid_fhir() -> None:
    done = 0
    for path, raw in corpus():
        if receive(raw).status != "received":
            continue
        conversion = converted(raw)
        done += 1
        assert of_type(conversion, "Patient"), path
        tokens = tokenize(raw)
        if tokens.header.value(9) == "ORU":
            assert of_type(conversion, "DiagnosticReport"), path
            assert bool(of_type(conversion, "Observation")) == (tokens.first("OBX") is not None), path
        urls = {d.full_url for d in conversion.drafts}
        for draft in conversion.drafts:
            assert set(references(draft.resource)) <= urls, path
        assert len(urls) == len(conversion.drafts)
    assert done == 526


def references(value: Any) -> list[str]:
    """Return every reference in a value."""
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [r for inner in value.values() for r in references(inner)]
    return [r for inner in value for r in references(inner)] if isinstance(value, list) else []


def test_the_same_message_always_becomes_the_same_bundle() -> None:
    assert convert(tokenize(oru())).bundle == convert(tokenize(oru())).bundle


def test_a_lab_result_becomes_linked_resources_known_by_identifiers() -> None:
    conversion = converted(
        message(
            header(),
            PID,
            "PV1|1|O|CLIN^101^A^HOSP||||1234567893^Smith^John^^^Dr^MD^^NPI^L^^^NPI||||||||||||V1^^^HOSP",
            "ORC|RE|O1^EHR|F1^LAB||CM",
            OBR + "|||||||||1234567893^Smith^John^^^^^^^^^^NPI||||||20260301115500||HM|F",
            "OBX|1|NM|2345-7^Glucose^LN||5.10|mmol/L^mmol/L^UCUM|4.0-6.0|H|||F|||20260301",
            "NTE|1||first",
            "NTE|2||second",
            "SPM|1|S1&EHR^SF1&LAB||119297000^Blood^SCT|||||||||||||20260301100000",
        )
    )
    (patient,) = of_type(conversion, "Patient")
    (encounter,) = of_type(conversion, "Encounter")
    (report,) = of_type(conversion, "DiagnosticReport")
    (request,) = of_type(conversion, "ServiceRequest")
    (result,) = of_type(conversion, "Observation")
    (specimen,) = of_type(conversion, "Specimen")
    (practitioner,) = of_type(conversion, "Practitioner")
    (organization,) = of_type(conversion, "Organization")
    urls = {
        d.resource["resourceType"]: d.full_url for d in conversion.drafts if d.resource["resourceType"] != "Location"
    }

    assert patient["identifier"][0]["system"] == HOSP
    assert (patient["birthDate"], patient["gender"], patient["name"][0]["given"]) == (
        "1980-02-15",
        "female",
        ["Jane", "Q"],
    )
    assert encounter["class"]["code"] == "AMB"
    assert practitioner["identifier"][0]["system"] == "http://hl7.org/fhir/sid/us-npi"
    assert organization["name"] == "CITY"
    assert {i["type"]["coding"][0]["code"] for i in report["identifier"] if "type" in i} == {"PLAC", "FILL"}
    assert (report["status"], report["issued"], report["code"]["coding"][0]["system"]) == (
        "final",
        "2026-03-01T11:55:00+01:00",
        "http://loinc.org",
    )
    assert (request["status"], request["intent"]) == ("completed", "order")
    assert result["valueQuantity"] == {
        "value": Decimal("5.10"),
        "unit": "mmol/L",
        "system": "http://unitsofmeasure.org",
        "code": "mmol/L",
    }
    assert str(result["valueQuantity"]["value"]) == "5.10"
    assert result["interpretation"][0]["coding"][0]["code"] == "H"
    assert result["referenceRange"] == [{"text": "4.0-6.0"}]
    assert [n["text"] for n in result["note"]] == ["first", "second"]
    assert result["effectiveDateTime"] == "2026-03-01"
    assert result["performer"][0]["reference"] == urls["Organization"]
    assert specimen["type"]["coding"][0]["code"] == "119297000"
    assert specimen["collection"]["collectedDateTime"] == "2026-03-01T10:00:00+01:00"
    for resource in (encounter, report, request, result, specimen):
        assert resource["subject"]["reference"] == urls["Patient"]
    assert report["result"] == [{"reference": urls["Observation"]}]
    assert report["basedOn"] == [{"reference": urls["ServiceRequest"]}]
    assert report["specimen"] == [{"reference": urls["Specimen"]}]
    assert result["encounter"]["reference"] == urls["Encounter"]


def test_requests_find_resources_by_identifier() -> None:
    entries = {e["resource"]["resourceType"]: e["request"] for e in convert(tokenize(oru())).bundle["entry"]}
    assert entries["Patient"] == {"method": "PUT", "url": f"Patient?identifier={HOSP}%7CP1".replace("|", "%7C")}
    assert entries["Observation"]["url"].startswith("Observation?identifier=urn:x-hl7v2:observation%7C")
    assert entries["Organization"]["method"] == "POST"
    assert entries["Organization"]["ifNoneExist"].startswith("identifier=")


@pytest.mark.parametrize(
    ("obx", "element", "value"),
    [
        ("NM|a||12|kg", "valueQuantity", {"value": 12, "unit": "kg"}),
        ("NM|a||<0.50|kg^kilogram^UCUM", "valueQuantity", {**KILOGRAM, "value": Decimal("0.50"), "comparator": "<"}),
        ("NM|a||NEG", "valueString", "NEG"),
        ("SN|a||>^90", "valueQuantity", {"value": 90, "comparator": ">"}),
        ("SN|a||^10^-^20|s", "valueRange", {"low": {"value": 10, "unit": "s"}, "high": {"value": 20, "unit": "s"}}),
        ("SN|a||^1^:^128", "valueRatio", {"numerator": {"value": 1}, "denominator": {"value": 128}}),
        ("SN|a||^2^+", "valueString", "^2^+"),
        ("ST|a||A\\T\\B", "valueString", "A&B"),
        ("FT|a||one\\.br\\two", "valueString", "one\ntwo"),
        ("TX|a||one~two", "valueString", "one\ntwo"),
        ("CWE|a||260373001^Detected^SCT", "valueCodeableConcept", {"coding": [DETECTED]}),
        ("CE|a||^only text", "valueCodeableConcept", {"text": "only text"}),
        ("DT|a||20200229", "valueDateTime", "2020-02-29"),
        ("DT|a||202002", "valueDateTime", "2020-02"),
        ("TS|a||202002291530-0500", "valueDateTime", "2020-02-29T15:30:00-05:00"),
        ("DTM|a||20200229153001.25", "valueDateTime", "2020-02-29T15:30:01.25+01:00"),
        ("DT|a||20200230", "valueString", "20200230"),
        ("TM|a||0915", "valueTime", "09:15:00"),
        ("NR|a||1^2", "valueRange", {"low": {"value": 1}, "high": {"value": 2}}),
        ("DR|a||20200101^20200102", "valuePeriod", {"start": "2020-01-01", "end": "2020-01-02"}),
        ("CX|a||123^^^X", "valueString", "123^^^X"),
    ],
)  # fmt: skip
def test_values(obx: str, element: str, value: object) -> None:
    found = observation(f"OBX|1|{obx}")
    assert {k: v for k, v in found.items() if k.startswith("value")} == {element: value}


@pytest.mark.parametrize(
    ("code", "status"),
    [("F", "final"), ("P", "preliminary"), ("C", "corrected"), ("D", "entered-in-error"), ("W", "entered-in-error"),
     ("X", "cancelled"), ("A", "amended"), ("I", "registered"), ("C^Correction^HL70085", "corrected"), ("??", "unknown"), ("", "unknown")],
)  # fmt: skip
def test_observation_status(code: str, status: str) -> None:
    assert observation(f"OBX|1|ST|a||b||||||{code}")["status"] == status


def test_unknown_codes_of_required_bindings_are_reported_and_left_out() -> None:
    conversion = converted(oru(patient="PID|1||1||Doe^Jane||1980|Z"))
    (patient,) = of_type(conversion, "Patient")
    assert "gender" not in patient
    assert {"location": "PID^1^8", "reason": "the code has no counterpart in AdministrativeSex"} in conversion.report[
        "warnings"
    ]


def test_several_coded_values_become_components() -> None:
    found = observation("OBX|1|CWE|a||x^X^L~y^Y^L||||||F")
    assert [c["valueCodeableConcept"]["coding"][0]["code"] for c in found["component"]] == ["x", "y"]


def test_lines_of_one_text_become_one_observation() -> None:
    conversion = converted(
        oru("1", "OBX|1|TX|a||one", "OBX|2|TX|a||two", "OBX|3|TX|b||three", "OBX|4|NM|c||1", "OBX|5|NM|c||2")
    )
    results = of_type(conversion, "Observation")
    assert [r.get("valueString") for r in results] == ["one\ntwo", "three", None, None]
    assert len({r["identifier"][-1]["value"] for r in results}) == 4


def test_documents_are_shown_with_the_report() -> None:
    conversion = converted(oru("1", "OBX|1|ED|PDF^Report^L||LAB^application^pdf^Base64^aGVsbG8="))
    (report,) = of_type(conversion, "DiagnosticReport")
    assert report["presentedForm"] == [{"contentType": "application/pdf", "data": "aGVsbG8="}]


def test_what_no_mapping_covers_is_listed() -> None:
    conversion = converted(oru("1", "OBX|1|ST|a||b||||||F||secret-12") + b"ZDS|1^x|2\r")
    assert conversion.report["notMapped"] == {"OBX-13": 1, "ZDS-1": 1, "ZDS-2": 1}
    assert "secret" not in str(conversion.report)


def test_an_admission_becomes_patient_encounter_location_and_practitioners() -> None:
    conversion = converted(
        adt(
            "A01",
            "1",
            "PID|1||P1^^^HOSP^MR~999^^^SSA^SS||Doe^Jane^^Jr^Dr^^L||19800215103000|F||2106-3|1 Main St^Apt 2^Springfield^IL^62701^USA^H||"
            "^PRN^PH^^1^217^5551234|^NET^Internet^jane@example.org||M",
            "PV1|1|I|WARD^101^A^HOSP|E|||12^Atend^A^^^^^^HOSP||||||||||||V9^^^HOSP|||||||||||||||||||||||||20260301110000",
        )
    )
    (patient,) = of_type(conversion, "Patient")
    (encounter,) = of_type(conversion, "Encounter")
    assert patient["address"] == [
        {
            "line": ["1 Main St", "Apt 2"],
            "city": "Springfield",
            "state": "IL",
            "postalCode": "62701",
            "country": "USA",
            "use": "home",
        }
    ]
    assert patient["telecom"] == [
        {"system": "phone", "value": "+1 217 5551234", "use": "home"},
        {"system": "email", "value": "jane@example.org", "use": "work"},
    ]
    assert patient["maritalStatus"]["coding"][0]["code"] == "M"
    assert patient["_birthDate"]["extension"][0]["valueDateTime"] == "1980-02-15T10:30:00+01:00"
    assert {i["system"] for i in patient["identifier"]} == {
        "urn:x-hl7v2:authority:HOSP",
        "http://hl7.org/fhir/sid/us-ssn",
    }
    assert (encounter["status"], encounter["class"]["code"]) == ("in-progress", "IMP")
    assert encounter["period"] == {"start": "2026-03-01T11:00:00+01:00"}
    assert encounter["participant"][0]["type"][0]["coding"][0]["code"] == "ATND"
    names = {r["name"]: r for r in of_type(conversion, "Location")}
    assert set(names) == {"HOSP", "WARD", "101", "A"}
    assert names["A"]["partOf"]["display"] == "101"
    assert encounter["location"][0]["location"]["display"] == "A"
    assert len(of_type(conversion, "Practitioner")) == 1


def test_people_without_a_number_are_named_only() -> None:
    conversion = converted(adt("A01", "1", PID, "PV1|1|O|||||^Nobody^Known||||||||||||V9"))
    (encounter,) = of_type(conversion, "Encounter")
    assert encounter["participant"][0]["individual"] == {"display": "Known Nobody"}
    assert not of_type(conversion, "Practitioner")


def test_a_discharge_ends_the_visit() -> None:
    visit = "PV1|1|I" + "|" * 17 + "V9" + "|" * 25 + "20260301|20260302"
    (encounter,) = of_type(converted(adt("A08", "1", PID, visit)), "Encounter")
    assert (encounter["status"], encounter["period"]) == ("finished", {"start": "2026-03-01", "end": "2026-03-02"})


def test_deletions_are_kept_apart_from_silence() -> None:
    conversion = converted(adt("A08", "1", 'PID|1||P1^^^HOSP||Doe^Jane||""||||||""'))
    assert conversion.drafts[0].deleted == {"birthDate", "_birthDate", "telecom"} or conversion.drafts[0].deleted == {
        "birthDate",
        "telecom",
    }
    assert "birthDate" not in conversion.drafts[0].resource


def test_numbers_without_an_authority_belong_to_their_sender() -> None:
    (patient,) = of_type(converted(oru(patient="PID|1||7^^^^MR||Doe")), "Patient")
    assert patient["identifier"][0]["system"] == "urn:x-hl7v2:sender:LAB:CITY:MR"


def test_two_patients_in_one_message() -> None:
    second = PID.replace("P1^", "P2^")
    conversion = converted(
        message(header(), PID, OBR, "OBX|1|ST|a||x", second, OBR.replace("F1^", "F2^"), "OBX|1|ST|a||y")
    )
    subjects = {o["valueString"]: o["subject"]["reference"] for o in of_type(conversion, "Observation")}
    patients = {d.identity.value: d.full_url for d in conversion.drafts if d.resource["resourceType"] == "Patient"}
    assert subjects == {"x": patients["P1"], "y": patients["P2"]}


def test_types_without_a_mapping_are_refused() -> None:
    with pytest.raises(ContentError, match="No mapping covers"):
        convert(tokenize(message(header("1", "SIU^S12"), PID)))
