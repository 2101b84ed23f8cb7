"""$validate: all forms of the call, its modes, and what it says of each."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from conformance.decode import encode
from conformance.xml import to_xml
from fhir_server.auth.caller import DEFAULT_TENANT, Caller, Grant
from fhir_server.errors import FhirError
from tests.integration.answers import Resource, outcome_of, resource_of
from tests.operations.conftest import Clinic, observation, resource

JSON = {"content-type": "application/fhir+json"}
XML = {"content-type": "application/fhir+xml"}
VITAL_SIGNS = "http://hl7.org/fhir/StructureDefinition/vitalsigns"
LINE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line"
COLUMN = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col"
NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Ada</div>'}
VALID: Resource = {"resourceType": "Patient", "text": NARRATIVE, "name": [{"family": "Lovelace"}]}
# A contact needs a name, an address, a telecom or an organization.
BROKEN: Resource = {"resourceType": "Patient", "text": NARRATIVE, "contact": [{"gender": "female"}]}


def parameters(*parts: Resource) -> Resource:
    """Return Parameters."""
    return {"resourceType": "Parameters", "parameter": list(parts)}


def sent(content: Resource, **others: str) -> Resource:
    """Return the operation's Parameters: a resource and, by name with type, values such as ``modeCode``."""
    values = [{"name": name.partition("_")[0], f"value{name.partition('_')[2]}": v} for name, v in others.items()]
    return parameters({"name": "resource", "resource": content}, *values)


def issues(client: httpx.Client, url: str, content: Resource | bytes, headers: dict[str, str] = JSON) -> list[Any]:
    """Call by POST; return the issues."""
    body = content if isinstance(content, bytes) else encode(content)
    response = client.post(url, content=body, headers=headers)
    assert response.status_code == 200, response.text
    return list(resource_of(response)["issue"])


def errors(found: list[Any]) -> list[tuple[str, str]]:
    """Return the codes and expressions of the errors."""
    return [(i["code"], i.get("expression", [""])[0]) for i in found if i["severity"] in ("error", "fatal")]


def place(issue: Any) -> tuple[int, int]:
    """Return line and column of an issue."""
    by_url = {e["url"]: e["valueInteger"] for e in issue["extension"]}
    return by_url[LINE], by_url[COLUMN]


def test_a_valid_resource_gets_one_informational_issue(client: httpx.Client) -> None:
    for body in (VALID, sent(VALID), sent(VALID, mode_Code="create")):
        (issue,) = issues(client, "/Patient/$validate", body)
        assert (issue["severity"], issue["code"]) == ("information", "informational")


@pytest.mark.parametrize("wrap", [False, True])
def test_an_invariant_is_told_with_expression_line_and_column(client: httpx.Client, wrap: bool) -> None:
    inner = '{"resourceType": "Patient",\n "name": [{"text": "Łucja"}],\n "contact": [{"gender": "female"}]}'
    body = f'{{"resourceType": "Parameters", "parameter": [\n{{"name": "resource", "resource": {inner}}}]}}'
    found = issues(client, "/Patient/$validate", (body if wrap else inner).encode())
    (broken,) = [i for i in found if i["severity"] == "error"]
    assert broken["expression"] == ["Patient.contact[0]"]
    assert broken["diagnostics"].endswith("(pat-1)")
    assert place(broken) == ((4 if wrap else 3), 14)


@pytest.mark.parametrize("wrap", [False, True])
def test_xml_is_taken_in_both_forms(client: httpx.Client, wrap: bool) -> None:
    body = to_xml(sent(BROKEN) if wrap else BROKEN)
    assert errors(issues(client, "/Patient/$validate", body, XML)) == [("invariant", "Patient.contact[0]")]


def test_structure_is_told_with_the_rest(client: httpx.Client) -> None:
    found = issues(client, "/Patient/$validate", {**BROKEN, "birthDate": "yesterday", "nonsense": 1})
    assert {e for _, e in errors(found)} == {"Patient.birthDate", "Patient.nonsense", "Patient.contact[0]"}


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff\xfe", b"<Patient", b'{"resourceType":"Nothing"}'])
def test_what_is_no_resource_is_invalid_all_the_same(client: httpx.Client, body: bytes) -> None:
    assert errors(issues(client, "/Patient/$validate", body))


def test_the_answer_comes_as_xml_where_that_is_asked_for(client: httpx.Client) -> None:
    response = client.post(
        "/Patient/$validate", content=encode(BROKEN), headers={**JSON, "accept": XML["content-type"]}
    )
    assert response.status_code == 200
    assert b"<OperationOutcome xmlns" in response.content


def test_a_profile_is_named_in_the_query_or_in_parameters(client: httpx.Client) -> None:
    weight = observation("w", "p", valueQuantity={"value": 70, "unit": "kg"})
    assert errors(issues(client, "/Observation/$validate", weight)) == []
    wanted = ("required", "Observation.category")
    in_query = f"/Observation/$validate?profile={VITAL_SIGNS}&mode=profile"
    assert wanted in errors(issues(client, in_query, weight))
    assert wanted in errors(issues(client, "/Observation/$validate", sent(weight, profile_Uri=VITAL_SIGNS)))


def test_an_unknown_profile_is_an_error(client: httpx.Client) -> None:
    found = issues(client, "/Patient/$validate?profile=http://nowhere.example/p", VALID)
    assert errors(found) == [("not-found", "Patient")]


def test_a_resource_of_another_type_than_the_url_names_is_an_error(client: httpx.Client) -> None:
    assert ("invalid", "Patient") in errors(issues(client, "/Observation/$validate", VALID))


def test_parameters_themselves_can_be_validated(client: httpx.Client) -> None:
    odd = parameters({"name": "x"})  # inv-1: a value, a resource or parts
    assert errors(issues(client, "/Parameters/$validate", odd)) == [("invariant", "Parameters.parameter[0]")]
    assert errors(issues(client, "/Parameters/$validate", sent(odd))) == [("invariant", "Parameters.parameter[0]")]


@pytest.mark.parametrize(
    ("url", "body", "code"),
    [
        ("/Patient/$validate", None, "required"),
        ("/Patient/$validate", parameters({"name": "mode", "valueCode": "create"}), "required"),
        ("/Patient/$validate?mode=update", VALID, "invalid"),
        ("/Patient/$validate?mode=delete", VALID, "invalid"),
        ("/Patient/1/$validate?mode=create", VALID, "invalid"),
        ("/Patient/$validate?mode=guess", VALID, "value"),
        ("/Patient/$validate?mode=profile", VALID, "required"),
        ("/Patient/$validate?colour=red", VALID, "not-supported"),
        ("/Patient/$validate", sent(VALID, colour_String="red"), "not-supported"),
        ("/Patient/$validate?mode=create&mode=create", VALID, "structure"),
    ],
)
def test_what_cannot_be_asked_is_refused(client: httpx.Client, url: str, body: Resource | None, code: str) -> None:
    response = client.post(url, content=b"" if body is None else encode(body), headers=JSON)
    assert response.status_code == 400, response.text
    assert outcome_of(response)["issue"][0]["code"] == code


def test_another_media_type_is_refused(client: httpx.Client) -> None:
    response = client.post("/Patient/$validate", content=b"a,b", headers={"content-type": "text/csv"})
    assert response.status_code == 415


def test_a_stored_resource_is_validated_by_get(client: httpx.Client) -> None:
    client.put("/Observation/stored-weight", json=observation("stored-weight", "p")).raise_for_status()
    plain = client.get("/Observation/stored-weight/$validate")
    assert errors(resource_of(plain)["issue"]) == []
    held = client.get("/Observation/stored-weight/$validate", params={"profile": VITAL_SIGNS})
    assert ("required", "Observation.category") in errors(resource_of(held)["issue"])
    assert client.get("/Observation/not-there/$validate").status_code == 404
    assert client.get("/Observation/$validate").status_code == 400


def test_an_update_has_to_carry_the_id(client: httpx.Client) -> None:
    assert errors(issues(client, "/Patient/1/$validate?mode=update", {**VALID, "id": "1"})) == []
    assert errors(issues(client, "/Patient/1/$validate?mode=update", {**VALID, "id": "2"})) == [("value", "Patient.id")]
    assert errors(issues(client, "/Patient/1/$validate?mode=update", VALID)) == [("value", "Patient.id")]


def test_delete_tells_whether_the_resource_may_go(client: httpx.Client) -> None:
    client.put("/Patient/may-go", json={**VALID, "id": "may-go"}).raise_for_status()
    (issue,) = resource_of(client.get("/Patient/may-go/$validate?mode=delete"))["issue"]
    assert issue["severity"] == "information"
    assert errors(resource_of(client.get("/Patient/was-never/$validate?mode=delete"))["issue"]) == [("not-found", "")]


def test_delete_minds_who_refers_to_the_resource(clinic: Clinic) -> None:
    clinic.put(resource("Patient", "p"), observation("o", "p"))
    clinic.enforce_references = True
    assert [i["code"] for i in clinic.fetch("Patient/p/$validate?mode=delete")["issue"]] == ["business-rule"]
    assert [i["code"] for i in clinic.fetch("Observation/o/$validate?mode=delete")["issue"]] == ["informational"]


def test_grants_count(clinic: Clinic) -> None:
    clinic.put(resource("Patient", "p"))
    reader = Caller("reader", DEFAULT_TENANT, (Grant(interactions=frozenset(("read", "operation"))),))
    found = clinic.call("Patient/$validate?mode=create", VALID, caller=reader)
    assert [i["code"] for i in found["issue"]] == ["forbidden"]
    assert [i["code"] for i in clinic.fetch("Patient/p/$validate?mode=delete", reader)["issue"]] == ["forbidden"]
    blind = Caller("blind", DEFAULT_TENANT, (Grant(interactions=frozenset(("operation",))),))
    with pytest.raises(FhirError) as refused:
        clinic.fetch("Patient/p/$validate", blind)
    assert refused.value.status == 403
