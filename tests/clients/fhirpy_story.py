"""What a user of fhirpy (PyPI) does with a FHIR server: ``python fhirpy_story.py BASE_URL``."""

from __future__ import annotations

import sys
from uuid import uuid4

from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import ResourceNotFound

SYSTEM = "http://example.org/fhirpy"


def main(base_url: str) -> None:
    """Create, read, change, search, page, include, patch, delete, and run an operation and a transaction."""
    client = SyncFHIRClient(base_url)
    number = uuid4().hex
    patient = client.resource(
        "Patient",
        identifier=[{"system": SYSTEM, "value": number}],
        name=[{"family": f"Fhirpy{number}", "given": ["Zoë"]}],
        birthDate="1980-02-29",
    )
    patient.save()
    assert patient.id
    assert patient["meta"]["versionId"] == "1"

    patient["gender"] = "female"
    patient.save()
    assert patient["meta"]["versionId"] == "2"
    patient["active"] = True
    patient.save()  # its partial saves are a merge patch, which R4 doesn't have
    again = client.reference("Patient", patient.id).to_resource()
    assert (again["gender"], again["active"]) == ("female", True)

    for day in range(1, 8):
        client.resource(
            "Observation",
            status="final",
            code={"coding": [{"system": "http://loinc.org", "code": "8302-2"}]},
            subject=patient.to_reference(),
            effectiveDateTime=f"2024-03-0{day}",
            valueQuantity={"value": 170 + day, "unit": "cm"},
        ).save()
    observations = client.resources("Observation").search(patient=patient.id, code="http://loinc.org|8302-2")
    assert observations.count() == 7
    assert [o["effectiveDateTime"] for o in observations.sort("-date").limit(2).fetch()] == ["2024-03-07", "2024-03-06"]
    assert len(observations.limit(2).fetch_all()) == 7  # over four pages
    assert len(observations.search(date__ge="2024-03-03", date__lt="2024-03-06").fetch_all()) == 3
    raw = observations.include("Observation", "subject").limit(1).fetch_raw()
    assert {e["resource"]["resourceType"] for e in raw["entry"]} == {"Observation", "Patient"}
    found = client.resources("Patient").search(name__exact=f"Fhirpy{number}").first()
    assert found.id == patient.id
    made, created = (
        client.resources("Patient")
        .search(identifier=f"{SYSTEM}|{number}")
        .update(client.resource("Patient", identifier=[{"system": SYSTEM, "value": number}]))
    )
    assert (made.id, created) == (patient.id, False)

    everything = patient.execute("$everything", "get")
    assert len(everything["entry"]) == 8
    answer = client.execute(
        "",
        method="post",
        data={
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {"request": {"method": "DELETE", "url": f"Observation?patient={patient.id}"}},
                {"request": {"method": "DELETE", "url": f"Patient/{patient.id}"}},
            ],
        },
    )
    assert len(answer["entry"]) == 2
    try:
        client.reference("Patient", patient.id).to_resource()
    except ResourceNotFound:
        return
    raise AssertionError("the deleted patient is still there")


if __name__ == "__main__":
    main(sys.argv[1])
