"""``$extract-entities`` over HTTP: its levels, an answer that fits its definition, and proposals that can be posted."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.answers import create
from tests.server import RunningServer

TEXT = "Metformin 500 mg po bid. Type 2 diabetes \U0001f600. No chest pain. BP 150/90, potassium 4.1 mmol/L."


@pytest.fixture(scope="module")
def http(dsn: str) -> Iterator[httpx.Client]:
    """A client of a server."""
    with RunningServer.on_database(dsn) as running, running.client() as client:
        yield client


def test_a_documents_proposals_can_be_posted_and_name_their_model(http: httpx.Client) -> None:
    patient = create(http, {"resourceType": "Patient", "name": [{"family": "Entities"}]})
    subject = {"reference": f"Patient/{patient['id']}"}
    attachment = {"contentType": "text/plain", "data": b64encode(TEXT.encode()).decode()}
    document = create(
        http,
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": subject,
            "content": [{"attachment": attachment}],
        },
    )
    answered = http.get(f"/DocumentReference/{document['id']}/$extract-entities?proposals=true")
    assert answered.status_code == 200, answered.text
    parameters = answered.json()["parameter"]
    note = next(p["valueString"] for p in parameters if p["name"] == "note")
    for entity in (p["part"] for p in parameters if p["name"] == "entity"):
        said = {p["name"]: p.get("valueString", p.get("valueInteger")) for p in entity}
        assert note[said["start"] : said["end"]] == said["text"]
    bundle = next(p["resource"] for p in parameters if p["name"] == "proposals")
    posted = http.post("", json=bundle)
    assert posted.status_code == 200, posted.text
    assert {e["response"]["status"] for e in posted.json()["entry"]} == {"201 Created"}
    for resource_type in ("Condition", "MedicationStatement", "Observation"):
        found = http.get(f"/{resource_type}", params={"subject": subject["reference"], "_tag": "ai"}).json()
        assert found["entry"], resource_type


def test_a_text_is_read_on_the_system_and_not_on_a_type(http: httpx.Client) -> None:
    body = {"resourceType": "Parameters", "parameter": [{"name": "text", "valueString": TEXT}]}
    answered = http.post("/$extract-entities", json=body)
    assert answered.status_code == 200, answered.text
    types = [p["part"][0]["valueCode"] for p in answered.json()["parameter"] if p["name"] == "entity"]
    assert {"medication", "condition", "vital-sign", "measurement"} <= set(types)
    for url in ("/DocumentReference/$extract-entities", "/Binary/none/$extract-entities"):
        refused = http.post(url, json=body)
        assert (refused.status_code >= 400, refused.json()["resourceType"]) == (True, "OperationOutcome"), url
    empty = http.post("/$extract-entities", json={"resourceType": "Parameters"})
    assert (empty.status_code, empty.json()["issue"][0]["code"]) == (400, "required")
