"""What messages do to the record: create, correct, update, and leave alone what they do not speak of."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhir_server.operations.contract import Resource
from tests.jobs.feed import Feed, run
from tests.mappers.hl7v2.messages import PID, adt, message, oru

NPI = "1234567893^Smith^John^^^^^^^^^^NPI"
VISIT = "PV1|1|I|WARD^101^A^HOSP" + "|" * 4 + NPI + "|" * 12 + "V1^^^HOSP" + "|" * 25 + "20260301"


def glucose(value: str, status: str) -> str:
    """Return an OBX."""
    return f"OBX|1|NM|2345-7^Glucose^LN||{value}|mmol/L|||||{status}"


def sodium(value: str) -> str:
    """Return an OBX of another test."""
    return f"OBX|2|NM|2951-2^Sodium^LN||{value}|mmol/L|||||F"


def entry(resource: Resource) -> Resource:
    """Return the transaction entry that updates a resource."""
    request = {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
    return {"resource": resource, "request": request}


async def write(feed: Feed, resource: Resource) -> None:
    """Update a resource as another client does."""
    async with feed.units() as unit:
        await unit.context.write({"resourceType": "Bundle", "type": "transaction", "entry": [entry(resource)]})


def test_a_result_is_found_by_the_patients_identifier(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(oru("1"))
        await feed.settle()
        patient = await feed.one("Patient", identifier="urn:oid:2.16.840.1.113883.19.5|P1")
        report = await feed.one("DiagnosticReport", patient=f"Patient/{patient['id']}")
        assert report["result"][0]["reference"].startswith("Observation/")
        result = await feed.one("Observation", code="http://loinc.org|2345-7")
        assert str(result["valueQuantity"]["value"]) == "5.10"
        assert result["subject"] == report["subject"]

    run(dsn, story)


def test_final_updates_preliminary_and_a_correction_replaces(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        history: list[tuple[str, Any, str]] = []
        for number, (value, status) in enumerate([("5.1", "P"), ("5.1", "F"), ("5.9", "C"), ("5.9", "W")]):
            await feed.take(oru(str(number), glucose(value, status)))
            await feed.settle()
            result = await feed.one("Observation")
            history.append((result["status"], result["valueQuantity"]["value"], result["meta"]["versionId"]))
        assert history == [
            ("preliminary", Decimal("5.1"), "1"),
            ("final", Decimal("5.1"), "2"),
            ("corrected", Decimal("5.9"), "3"),
            ("entered-in-error", Decimal("5.9"), "4"),
        ]

    run(dsn, story)


def test_a_status_change_without_the_value_keeps_it(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(oru("1", glucose("5.1", "P")))
        await feed.settle()
        await feed.take(oru("2", "OBX|1|NM|2345-7^Glucose^LN||||||||U"))
        await feed.settle()
        result = await feed.one("Observation")
        assert (result["status"], result["valueQuantity"]["value"]) == ("final", Decimal("5.1"))

    run(dsn, story)


def test_a_report_keeps_results_that_a_later_message_does_not_repeat(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(oru("1", glucose("5.1", "F"), sodium("140")))
        await feed.settle()
        await feed.take(oru("2", glucose("5.2", "C")))
        await feed.settle()
        report = await feed.one("DiagnosticReport")
        assert len(report["result"]) == 2
        assert len(await feed.search("Observation")) == 2

    run(dsn, story)


def test_a_message_that_says_nothing_new_changes_nothing(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        types = ("Patient", "Observation", "DiagnosticReport", "ServiceRequest", "Organization")
        for number in range(3):
            await feed.take(oru(str(number)))
            await feed.settle()
        for resource_type in types:
            assert [r["meta"]["versionId"] for r in await feed.search(resource_type)] == ["1"], resource_type
        assert await feed.rows() == ["processed"] * 3

    run(dsn, story)


def test_an_update_replaces_what_it_says_deletes_what_it_asks_and_keeps_the_rest(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        whole = "PID|1||P1^^^HOSP^MR||Doe^Jane||19800215|F|||1 Main St^^Springfield||^PRN^PH^^^217^5551234|||M"
        await feed.take(adt("A01", "1", whole, VISIT))
        await feed.settle()
        patient = await feed.one("Patient")
        patient["photo"] = [{"title": "kept"}]
        patient["identifier"].append({"system": "urn:example:other", "value": "X"})
        await write(feed, patient)
        await feed.take(adt("A08", "2", 'PID|1||P1^^^HOSP^MR||Roe^Jane|||||||||""', VISIT))
        await feed.settle()
        after = await feed.one("Patient")
        assert after["name"] == [{"family": "Roe", "given": ["Jane"]}]
        assert (after["birthDate"], after["gender"]) == ("1980-02-15", "female")
        assert "address" in after
        assert "maritalStatus" in after
        assert after["photo"] == [{"title": "kept"}]
        assert {i["value"] for i in after["identifier"]} == {"P1", "X"}
        assert after["id"] == patient["id"]

    run(dsn, story)


def test_deletion_of_a_field(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(adt("A01", "1", "PID|1||P1^^^HOSP^MR||Doe^Jane||19800215|F|||||^PRN^PH^^^217^5551234"))
        await feed.settle()
        await feed.take(adt("A08", "2", 'PID|1||P1^^^HOSP^MR||Doe^Jane||""|F|||||""'))
        await feed.settle()
        patient = await feed.one("Patient")
        assert "birthDate" not in patient
        assert "telecom" not in patient
        assert patient["gender"] == "female"

    run(dsn, story)


def test_an_update_of_the_visit_does_not_reopen_it(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(adt("A01", "1", PID, VISIT))
        await feed.take(adt("A08", "2", PID, VISIT + "|20260302"))
        await feed.take(adt("A08", "3", PID, VISIT))
        await feed.settle()
        visit = await feed.one("Encounter")
        assert visit["status"] == "finished"
        assert visit["location"][0]["location"]["reference"].startswith("Location/")
        assert visit["participant"][0]["individual"]["reference"].startswith("Practitioner/")
        assert len(await feed.search("Location")) == 4

    run(dsn, story)


def test_a_death_takes_the_place_of_being_alive(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        alive = "PID|1||P1^^^HOSP^MR||Doe^Jane" + "|" * 25
        await feed.take(adt("A01", "1", alive + "N"))
        await feed.settle()
        assert (await feed.one("Patient"))["deceasedBoolean"] is False
        await feed.take(adt("A08", "2", alive[:-1] + "20260301|Y"))
        await feed.settle()
        patient = await feed.one("Patient")
        assert patient["deceasedDateTime"] == "2026-03-01"
        assert "deceasedBoolean" not in patient

    run(dsn, story)


def test_an_ambiguous_patient_is_nobodys_guess(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        twin = {"resourceType": "Patient", "identifier": [{"system": "urn:oid:2.16.840.1.113883.19.5", "value": "P1"}]}
        entries = [{"resource": dict(twin), "request": {"method": "POST", "url": "Patient"}} for _ in range(2)]
        async with feed.units() as unit:
            await unit.context.write({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        await feed.take(oru("1"))
        await feed.settle()
        assert await feed.rows() == ["quarantined"]
        assert await feed.search("Observation") == []

    run(dsn, story)


def test_the_report_tells_what_was_not_mapped(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(oru("1") + b"ZDS|1.2.3^secret\r")
        await feed.settle()
        (report,) = await feed.rows("report")
        assert report["notMapped"] == {"ZDS-1": 1}
        assert report["resources"]["Observation"] == 1
        assert "secret" not in str(report)

    run(dsn, story)


def test_identifiers_with_separators_in_them(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        odd = "PID|1||a,b\\S\\c$d\\F\\e\\E\\f^^^HOSP^MR||Doe"
        for number in range(2):
            await feed.take(message(f"MSH|^~\\&|LAB|CITY|||2026||ADT^A08|{number}|P|2.5", odd))
            await feed.settle()
        assert await feed.rows() == ["processed", "processed"]
        assert len(await feed.search("Patient")) == 1

    run(dsn, story)
