"""What a user of fhirclient (PyPI, SMART's Python client) does with a FHIR server: ``python fhirclient_story.py BASE_URL``."""

from __future__ import annotations

import sys
from uuid import uuid4

from fhirclient import client
from fhirclient.models.bundle import Bundle
from fhirclient.models.encounter import Encounter
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.humanname import HumanName
from fhirclient.models.identifier import Identifier
from fhirclient.models.patient import Patient

SYSTEM = "http://example.org/fhirclient"


def main(base_url: str) -> None:
    """Create, read, update, search with paging and an include, resolve a reference, delete."""
    smart = client.FHIRClient(settings={"app_id": "praxis_story", "api_base": base_url + "/"})
    server = smart.server
    assert server.capabilityStatement.fhirVersion == "4.0.1"
    number = uuid4().hex

    patient = Patient()
    patient.identifier = [Identifier({"system": SYSTEM, "value": number})]
    patient.name = [HumanName({"family": "Ångström", "given": ["Ada"]})]
    created = patient.create(server)
    assert created is not None
    patient_id = created["id"]

    stored = Patient.read(patient_id, server)
    assert stored.name[0].family == "Ångström"
    stored.birthDate = None
    stored.gender = "female"
    stored.update(server)
    assert Patient.read(patient_id, server).meta.versionId == "2"

    for _ in range(5):
        encounter = Encounter({"status": "finished", "class": {"code": "AMB"}})
        encounter.subject = FHIRReference({"reference": f"Patient/{patient_id}"})
        encounter.create(server)
    search = Encounter.where({"patient": patient_id, "_count": "2"})
    assert len(list(search.perform_resources_iter(server))) == 5  # over three pages
    found = Patient.where({"identifier": f"{SYSTEM}|{number}"}).perform_resources(server)
    assert [p.id for p in found] == [patient_id]
    bundle: Bundle = Encounter.where({"patient": patient_id}).include("subject").perform(server)
    kinds = [entry.resource.resource_type for entry in bundle.entry]
    assert (kinds.count("Encounter"), kinds.count("Patient")) == (5, 1)
    assert bundle.entry[0].resource.subject.resolved(Patient).id == patient_id

    for entry in bundle.entry:
        if entry.resource.resource_type == "Encounter":
            entry.resource.origin_server = server
            entry.resource.delete()
    assert Encounter.where({"patient": patient_id}).perform(server).entry is None
    Patient.read(patient_id, server).delete()


if __name__ == "__main__":
    main(sys.argv[1])
