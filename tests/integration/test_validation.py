"""The server's policy on what is written: enforced, warned about, or left alone, over HTTP and in both workers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from conformance.decode import check
from fhir_server.settings import Settings
from fhir_server.validation.policy import WritePolicy, parse_policy
from fhir_server.validation.validators import INLINE_BYTES, built_in_validator
from tests.integration.answers import Resource, find, resource_of
from tests.integration.test_packages import GZIP, everywhere, us_core
from tests.server import RunningServer

PROFILE = "http://example.org/fhir/StructureDefinition/patient-with-birth-date"
WARNINGS = "x-validation-warnings"
BROKEN: Resource = {"resourceType": "Patient", "contact": [{"gender": "female"}]}
SOUND: Resource = {"resourceType": "Patient", "name": [{"family": "Lovelace"}]}
US_PATIENT = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"


@pytest.fixture(scope="module")
def server(dsn: str) -> Iterator[RunningServer]:
    """A server with two workers over an empty database of this module's own; Encounters are warned about, Groups free."""
    running = RunningServer.on_database(dsn, workers=2)
    running.environment["PRAXIS_VALIDATION"] = "*=enforce,Encounter=warn,Group=off"
    with running:
        yield running


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    """A client whose every request is a new connection, which either worker may take."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=server.base_url, timeout=60, limits=limits) as client:
        yield client


def refused(response: httpx.Response) -> list[tuple[str, str]]:
    """Return codes and expressions of the errors of a 422."""
    assert response.status_code == 422, response.text
    return errors(resource_of(response))


def errors(outcome: Resource) -> list[tuple[str, str]]:
    """Return codes and expressions of the errors of a valid OperationOutcome."""
    check(outcome)
    return [(i["code"], i["expression"][0]) for i in outcome["issue"] if i["severity"] == "error"]


def bundle(type_: str, *resources: Resource) -> Resource:
    """Return a Bundle that creates resources."""
    entries = [{"resource": r, "request": {"method": "POST", "url": r["resourceType"]}} for r in resources]
    return {"resourceType": "Bundle", "type": type_, "entry": entries}


def encounter(**elements: Any) -> Resource:
    """Return an Encounter that refers to what can't be its subject."""
    class_ = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": class_,
        "subject": {"reference": "Location/1"},
        **elements,
    }


def structure(least: int) -> Resource:
    """Return a profile on Patient that wants a birth date, or doesn't."""
    return {
        "resourceType": "StructureDefinition",
        "id": "patient-with-birth-date",
        "url": PROFILE,
        "name": "PatientWithBirthDate",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {
            "element": [
                {"id": "Patient", "path": "Patient"},
                {"id": "Patient.birthDate", "path": "Patient.birthDate", "min": least},
            ]
        },
    }


def claiming(*profiles: str) -> Resource:
    """Return a Patient that claims profiles."""
    return {**SOUND, "meta": {"profile": list(profiles)}}


def test_create_update_and_patch_are_held_to_invariants(http: httpx.Client) -> None:
    wanted = [("invariant", "Patient.contact[0]")]
    assert refused(http.post("/Patient", json=BROKEN)) == wanted
    assert refused(http.put("/Patient/held", json={**BROKEN, "id": "held"})) == wanted
    assert http.put("/Patient/held", json={**SOUND, "id": "held"}).status_code == 201
    patch = [{"op": "add", "path": "/contact", "value": BROKEN["contact"]}]
    headers = {"content-type": "application/json-patch+json"}
    assert refused(http.patch("/Patient/held", json=patch, headers=headers)) == wanted
    assert resource_of(http.get("/Patient/held"))["meta"]["versionId"] == "1"


def test_required_bindings_and_targets_of_references_are_enforced(http: httpx.Client) -> None:
    odd = {**SOUND, "generalPractitioner": [{"reference": "Location/1"}]}
    assert [e for _, e in refused(http.post("/Patient", json=odd))] == ["Patient.generalPractitioner[0]"]
    odd = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "code": {"text": "x"}}
    odd["clinicalStatus"] = {"coding": [{"system": "http://example.org", "code": "better"}]}
    codes = refused(http.post("/Condition", json=odd))
    assert ("code-invalid", "Condition.clinicalStatus") in codes


def test_a_code_that_a_code_system_lacks_is_a_warning(http: httpx.Client) -> None:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    category = [{"coding": [{"system": system, "code": "vital-sign"}]}]
    sent = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "category": category}
    response = http.post("/Observation", json=sent)
    assert response.status_code == 201
    assert int(response.headers[WARNINGS]) >= 1


def test_a_transaction_tells_all_of_its_entries_and_stores_none(http: httpx.Client) -> None:
    name = "Transacted"
    kept = {**SOUND, "name": [{"family": name}]}
    response = http.post("/", json=bundle("transaction", kept, BROKEN, kept, BROKEN))
    places = [f"Bundle.entry[{n}].resource.contact[0]" for n in (1, 3)]
    assert refused(response) == [("invariant", place) for place in places]
    assert find(http, "Patient", family=name) == []


def test_references_within_a_transaction_are_judged_by_what_they_become(http: httpx.Client) -> None:
    one, other = "urn:uuid:0a3cbe5c-9a5e-4b1e-8a4e-3a1b9a9d0001", "urn:uuid:0a3cbe5c-9a5e-4b1e-8a4e-3a1b9a9d0002"
    sent = bundle(
        "transaction",
        {"resourceType": "Location", "name": "x"},
        {**SOUND, "generalPractitioner": [{"reference": one}]},
        {"resourceType": "Practitioner"},
        {**SOUND, "generalPractitioner": [{"reference": other}]},
    )
    sent["entry"][0]["fullUrl"], sent["entry"][2]["fullUrl"] = one, other
    (issue,) = refused(http.post("/", json=sent))
    assert issue[1] == "Bundle.entry[1].resource.generalPractitioner[0]"


def test_a_batch_refuses_only_what_is_invalid(http: httpx.Client) -> None:
    answer = resource_of(http.post("/", json=bundle("batch", SOUND, BROKEN)))
    assert [e["response"]["status"][:3] for e in answer["entry"]] == ["201", "422"]
    (issue,) = errors(answer["entry"][1]["response"]["outcome"])
    assert issue == ("invariant", "Bundle.entry[1].resource.contact[0]")


def test_under_warn_the_resource_is_stored_and_the_client_told(http: httpx.Client) -> None:
    plain = http.post("/Encounter", json=encounter())
    assert plain.status_code == 201
    assert plain.headers[WARNINGS] == "1"
    asked = http.post("/Encounter", json=encounter(), headers={"prefer": "return=OperationOutcome"})
    assert asked.status_code == 201
    found = resource_of(asked)["issue"]
    assert [(i["severity"], i.get("expression")) for i in found if i["severity"] != "information"] == [
        ("warning", ["Encounter.subject"])
    ]
    for type_ in ("batch", "transaction"):
        (entry,) = resource_of(http.post("/", json=bundle(type_, encounter())))["entry"]
        assert entry["response"]["status"].startswith("201")
        (issue,) = entry["response"]["outcome"]["issue"]
        assert issue["severity"] == "warning"


def test_what_is_valid_carries_no_warning(http: httpx.Client) -> None:
    response = http.post("/Patient", json=SOUND)
    assert response.status_code == 201
    assert WARNINGS not in response.headers
    (entry,) = resource_of(http.post("/", json=bundle("transaction", SOUND)))["entry"]
    assert "outcome" not in entry["response"]


def test_where_the_policy_is_off_nothing_is_checked_but_structure(http: httpx.Client) -> None:
    # grp-1: members only of groups that are actual
    group = {"resourceType": "Group", "type": "person", "actual": False, "member": [{"entity": {"display": "x"}}]}
    response = http.post("/Group", json=group)
    assert response.status_code == 201
    assert WARNINGS not in response.headers
    assert http.post("/Group", json={**group, "type": "nonsense"}).status_code == 422
    told = resource_of(http.post("/Group/$validate", json=group))
    assert [code for code, _ in errors(told)] == ["invariant"]


def test_an_unknown_claim_is_a_warning_and_a_known_one_binds(http: httpx.Client) -> None:
    unknown = http.post("/Patient", json=claiming("http://nowhere.example/profile"))
    assert (unknown.status_code, unknown.headers[WARNINGS]) == (201, "1")
    weight = {"resourceType": "Observation", "status": "final", "code": {"text": "weight"}}
    weight["meta"] = {"profile": ["http://hl7.org/fhir/StructureDefinition/bodyweight"]}
    assert ("required", "Observation.category") in refused(http.post("/Observation", json=weight))


def test_a_profile_takes_effect_in_every_worker_when_it_is_stored_changed_or_removed(http: httpx.Client) -> None:
    def status() -> int:
        return http.post("/Patient", json=claiming(PROFILE)).status_code

    def judged() -> bool:
        answer = http.post("/Patient/$validate", params={"profile": PROFILE}, json=SOUND)
        return ("required", "Patient.birthDate") in errors(resource_of(answer))

    assert status() == 201
    url = "/StructureDefinition/patient-with-birth-date"
    assert http.put(url, json=structure(1)).status_code == 201
    everywhere(lambda: status() == 422)
    everywhere(judged)
    assert http.put(url, json=structure(0)).status_code == 200
    everywhere(lambda: status() == 201)
    everywhere(lambda: not judged())
    assert http.put(url, json=structure(1)).status_code == 200
    everywhere(lambda: status() == 422)
    assert http.delete(url).status_code in {200, 204}
    everywhere(lambda: status() == 201)


def test_a_packages_profiles_bind_in_every_worker(http: httpx.Client) -> None:
    bare = claiming(US_PATIENT)
    assert http.post("/Patient", json=bare).status_code == 201
    content = us_core()
    response = http.post("/$install-package?ignoreMissing=true", content=content, headers=GZIP)
    assert response.status_code == 200, response.text
    full = {**bare, "gender": "female", "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:x"}]}
    everywhere(lambda: http.post("/Patient", json=bare).status_code == 422)
    found = refused(http.post("/Patient", json=bare))
    assert {("required", "Patient.identifier"), ("required", "Patient.gender")} <= set(found)
    assert http.post("/Patient", json=full).status_code == 201


def test_what_is_large_is_validated_off_the_event_loop() -> None:
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"display": "y"}}
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def validate(size: int) -> int:
        nonlocal turns
        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0)
        turns = 0
        found = await built_in_validator().validate([observation] * 3_000, size, no_session)
        ticking.cancel()
        assert [i.severity for issues in found for i in issues] == ["warning"] * 3_000  # dom-6
        return turns

    def no_session() -> Any:
        raise AssertionError("what is built in needs no database")

    asyncio.run(validate(0))
    assert asyncio.run(validate(0)) == 0
    assert asyncio.run(validate(INLINE_BYTES + 1)) > 0


def test_policies_are_read_and_wrong_ones_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_policy("warn") == WritePolicy("warn", {})
    read = parse_policy(" Patient = off , *=warn")
    assert (read.level("Patient"), read.level("Group")) == ("off", "warn")
    assert parse_policy("Patient=enforce").level("Group") == "warn"
    for wrong in ("", "strict", "Patient", "Person=", "Nobody=warn", "warn,*=off", "Patient=warn,Patient=off"):
        with pytest.raises(ValueError, match=r"none of|no resource type|twice"):
            parse_policy(wrong)
    monkeypatch.setenv("PRAXIS_VALIDATION", "loud")
    with pytest.raises(ValidationError, match="loud"):
        Settings(data_dir=tmp_path)
