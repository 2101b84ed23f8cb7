"""read, vread, update, delete, history over HTTP, https://hl7.org/fhir/R4/http.html."""

from __future__ import annotations

import gzip
import json
from email.utils import parsedate_to_datetime
from uuid import uuid4

import httpx
import pytest

from tests.integration.answers import Resource, create, outcome_of, resource_of

PATIENT: Resource = {"resourceType": "Patient", "name": [{"family": "Doe"}]}
JSON = {"content-type": "application/fhir+json"}


def test_a_create_tells_where_and_which_version(client: httpx.Client) -> None:
    response = client.post("/Patient", json={**PATIENT, "id": "not-this"})
    stored = resource_of(response)
    assert response.status_code == 201
    assert stored["id"] != "not-this"
    assert response.headers["location"] == str(client.base_url).rstrip("/") + f"/Patient/{stored['id']}/_history/1"
    assert response.headers["etag"] == 'W/"1"'
    updated = stored["meta"]["lastUpdated"]
    assert parsedate_to_datetime(response.headers["last-modified"]).strftime("%Y-%m-%dT%H:%M:%S") == updated[:19]


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [("minimal", None), ("representation", "Patient"), ("OperationOutcome", "OperationOutcome")],
)
def test_prefer_return_says_what_a_write_answers_with(client: httpx.Client, prefer: str, expected: str | None) -> None:
    headers = {"prefer": f"return={prefer}"}
    created = client.post("/Patient", json=PATIENT, headers=headers)
    id_ = created.headers["location"].split("/")[-3]
    updated = client.put(f"/Patient/{id_}", json={**PATIENT, "id": id_}, headers=headers)
    assert (created.status_code, updated.status_code) == (201, 200)
    assert updated.headers["content-location"].endswith(f"/Patient/{id_}/_history/2")
    for response in (created, updated):
        if expected is None:
            assert response.content == b""
            assert "content-type" not in response.headers
        else:
            assert resource_of(response)["resourceType"] == expected


def test_versions_deletion_and_coming_back(client: httpx.Client) -> None:
    id_ = create(client, PATIENT)["id"]
    path = f"/Patient/{id_}"
    assert client.put(path, json={**PATIENT, "id": id_, "active": True}).headers["etag"] == 'W/"2"'
    deleted = client.delete(path)
    assert (deleted.status_code, deleted.content, deleted.headers["etag"]) == (204, b"", 'W/"3"')
    again = client.delete(path)
    assert (again.status_code, again.headers["etag"]) == (204, 'W/"3"')
    outcome_of(client.get(path), 410)
    outcome_of(client.get(f"{path}/_history/3"), 410)
    assert "active" not in resource_of(client.get(f"{path}/_history/1"))
    assert resource_of(client.get(f"{path}/_history/2"))["active"] is True
    back = client.put(path, json={**PATIENT, "id": id_, "active": False})
    assert (back.status_code, back.headers["etag"]) == (201, 'W/"4"')
    assert resource_of(client.get(path))["active"] is False
    outcome_of(client.get(f"{path}/_history/5"), 404)
    history = resource_of(client.get(f"{path}/_history"))
    assert (history["type"], history["total"]) == ("history", 4)
    told = [(e["request"]["method"], e["response"]["status"], e["response"]["etag"]) for e in history["entry"]]
    assert told == [
        ("PUT", "201", 'W/"4"'),
        ("DELETE", "204", 'W/"3"'),
        ("PUT", "200", 'W/"2"'),
        ("POST", "201", 'W/"1"'),
    ]
    assert ["resource" in e for e in history["entry"]] == [True, False, True, True]
    stamps = [e["response"]["lastModified"] for e in history["entry"]]
    assert stamps == sorted(stamps, reverse=True)


def test_a_history_is_walked_page_by_page(client: httpx.Client) -> None:
    id_ = create(client, PATIENT)["id"]
    for _ in range(6):
        client.put(f"/Patient/{id_}", json={**PATIENT, "id": id_})
    url, versions = f"/Patient/{id_}/_history?_count=3", []
    while url:
        page = resource_of(client.get(url))
        versions += [e["resource"]["meta"]["versionId"] for e in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        assert "self" in links
        url = links.get("next", "")
    assert versions == ["7", "6", "5", "4", "3", "2", "1"]
    outcome_of(client.get(f"/Patient/{id_}/_history?_count=many"), 400)
    outcome_of(client.get(f"/Patient/{uuid4()}/_history"), 404)


def test_a_conditional_read_answers_304(client: httpx.Client) -> None:
    response = client.post("/Patient", json=PATIENT)
    path = f"/Patient/{resource_of(response)['id']}"
    modified = response.headers["last-modified"]
    for headers in (
        {"if-none-match": 'W/"1"'},
        {"if-none-match": '"1"'},
        {"if-none-match": 'W/"7", W/"1"'},
        {"if-none-match": "*"},
        {"if-modified-since": modified},
    ):
        unchanged = client.get(path, headers=headers)
        assert (unchanged.status_code, unchanged.content) == (304, b""), headers
        assert unchanged.headers["etag"] == 'W/"1"'
    for headers in (
        {"if-none-match": 'W/"2"'},
        {"if-none-match": 'W/"2"', "if-modified-since": modified},
        {"if-modified-since": "Sat, 01 Jan 2000 00:00:00 GMT"},
    ):
        assert client.get(path, headers=headers).status_code == 200, headers


def test_version_aware_updates(client: httpx.Client) -> None:
    id_ = create(client, PATIENT)["id"]
    path, body = f"/Patient/{id_}", {**PATIENT, "id": id_}
    outcome = outcome_of(client.put(path, json=body, headers={"if-match": 'W/"2"'}), 412)
    assert 'the current version is W/"1"' in outcome["issue"][0]["diagnostics"]
    assert client.put(path, json=body, headers={"if-match": 'W/"1"'}).status_code == 200
    assert client.put(path, json=body, headers={"if-match": "2"}).status_code == 200
    assert client.put(path, json=body, headers={"if-match": "*"}).status_code == 200
    outcome_of(client.delete(path, headers={"if-match": 'W/"1"'}), 412)
    outcome_of(client.put(path, json=body, headers={"if-none-match": "*"}), 412)
    assert client.delete(path, headers={"if-match": 'W/"4"'}).status_code == 204
    outcome_of(client.put(path, json=body, headers={"if-match": "*"}), 412)
    other = str(uuid4())
    outcome_of(client.put(f"/Patient/{other}", json={**PATIENT, "id": other}, headers={"if-match": 'W/"1"'}), 412)
    created = client.put(f"/Patient/{other}", json={**PATIENT, "id": other}, headers={"if-none-match": "*"})
    assert created.status_code == 201


@pytest.mark.parametrize("id_", ["a", "-", ".", "..", "A-b.9", "0", "x" * 64, "1.2.840.10008"])
def test_an_update_creates_under_ids_of_any_legal_shape(client: httpx.Client, id_: str) -> None:
    path = f"/Basic/{id_.replace('.', '%2E')}"  # a client would resolve dot segments
    response = client.put(path, json={"resourceType": "Basic", "id": id_, "code": {"text": "x"}})
    assert response.status_code == 201, response.text
    assert resource_of(client.get(path))["id"] == id_
    client.delete(path)


@pytest.mark.parametrize("id_", ["a_b", "x" * 65, "a%20b", "%C3%A9", "a%2Fb"])
def test_an_update_refuses_other_ids(client: httpx.Client, id_: str) -> None:
    outcome_of(client.put(f"/Basic/{id_}", json={"resourceType": "Basic", "id": "a", "code": {"text": "x"}}), 400)


def test_the_id_in_the_url_is_that_of_the_resource(client: httpx.Client) -> None:
    missing = outcome_of(client.put("/Patient/p1", json=PATIENT), 400)
    other = outcome_of(client.put("/Patient/p1", json={**PATIENT, "id": "p2"}), 400)
    assert [o["issue"][0]["expression"] for o in (missing, other)] == [["Patient.id"], ["Patient.id"]]


@pytest.mark.parametrize("version", ["0", "01", "2", "x", "99999999999", "-1"])
def test_versions_that_are_not_there(client: httpx.Client, version: str) -> None:
    id_ = create(client, PATIENT)["id"]
    outcome_of(client.get(f"/Patient/{id_}/_history/{version}"), 404)


def test_content_comes_back_digit_by_digit(client: httpx.Client) -> None:
    body = (
        b'{"resourceType":"Observation","_status":{"id":"s"},"status":"final","code":{"text":"caf\xc3\xa9 \\u00e9 \\\\ \\/"},'
        b'"valueQuantity":{"value":1.10},"component":[{"code":{"text":"a"},"valueQuantity":{"value":1E+3}},'
        b'{"code":{"text":"b"},"valueQuantity":{"value":0.00000100}},{"code":{"text":"c"},"valueQuantity":{"value":12345678901234567.89}}],'
        b'"_effectiveDateTime":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}}'
    )
    response = client.post("/Observation", content=body, headers=JSON)
    assert response.status_code == 201, response.text
    text = client.get(f"/Observation/{resource_of(response)['id']}").text
    for digits in ("1.10}", "0.00000100}", "12345678901234567.89}"):
        assert digits in text
    kept = json.loads(text)
    assert kept["_status"] == {"id": "s"}
    assert kept["code"]["text"] == "café é \\ /"
    assert kept["_effectiveDateTime"]["extension"][0]["valueCode"] == "unknown"
    assert kept["component"][0]["valueQuantity"]["value"] == 1000


def test_head_is_get_without_a_body(client: httpx.Client) -> None:
    id_ = create(client, PATIENT)["id"]
    for path in (f"/Patient/{id_}", f"/Patient/{id_}/_history", "/metadata"):
        get, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("etag", "last-modified", "content-type", "content-encoding"):
            assert head.headers.get(name) == get.headers.get(name)
        assert int(head.headers["content-length"]) > 0
    assert client.head(f"/Patient/{uuid4()}").status_code == 404


def test_formats(client: httpx.Client) -> None:
    path = f"/Patient/{create(client, PATIENT)['id']}"
    for accept in (
        "application/fhir+json",
        "application/json",
        "*/*",
        "text/html, application/xml;q=0.9, */*;q=0.1",
        "application/fhir+json; fhirVersion=3.0, application/fhir+json; fhirVersion=4.0",
    ):
        assert client.get(path, headers={"accept": accept}).status_code == 200, accept
    for accept in (
        "text/turtle",
        "application/fhir+json;q=0",
        "application/json; fhirVersion=5.0",
    ):
        outcome_of(client.get(path, headers={"accept": accept}), 406)
    for format_ in ("json", "application/json", "application/fhir+json", "application/fhir%2Bjson"):
        assert client.get(f"{path}?_format={format_}", headers={"accept": "text/turtle"}).status_code == 200, format_
    for format_ in ("ttl", "", "html", "ndjson"):
        outcome_of(client.get(f"{path}?_format={format_}"), 406)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/fhir+json", 201),
        ("application/json; charset=UTF-8", 201),
        ('application/fhir+json; charset="utf-8"; fhirVersion=4.0', 201),
        ("application/fhir+xml", 400),
        ("application/fhir+ndjson", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/fhir+json; charset=latin1", 415),
        ("application/fhir+json; fhirVersion=3.0", 415),
        ("", 415),
    ],
)
def test_content_types(client: httpx.Client, content_type: str, status: int) -> None:
    response = client.post("/Patient", content=json.dumps(PATIENT), headers={"content-type": content_type})
    assert response.status_code == status
    if status != 201:
        outcome_of(response, status)


def test_pretty_changes_layout_only(client: httpx.Client) -> None:
    path = f"/Patient/{create(client, PATIENT)['id']}"
    plain, pretty = client.get(path), client.get(f"{path}?_pretty=true")
    assert pretty.text.startswith('{\n  "resourceType": "Patient"')
    assert plain.json() == pretty.json()
    assert client.get("/Patient/none?_pretty=true").text.startswith("{\n")
    form = client.post("/Patient/_search", data={"_id": "none", "_pretty": "true"})
    assert form.text.startswith("{\n")
    outcome_of(client.post("/Patient/_search", data={"_format": "ttl"}), 406)


def test_gzip_both_ways(client: httpx.Client) -> None:
    large = {**PATIENT, "name": [{"family": f"Family {n}"} for n in range(200)]}
    packed = gzip.compress(json.dumps(large).encode())
    headers = {**JSON, "content-encoding": "gzip"}
    response = client.post("/Patient", content=packed, headers=headers)
    assert response.status_code == 201
    path = f"/Patient/{resource_of(response)['id']}"
    answered = client.get(path, headers={"accept-encoding": "gzip"})
    assert answered.headers["content-encoding"] == "gzip"
    assert answered.headers["vary"] == "accept, accept-encoding"
    assert resource_of(answered)["name"] == large["name"]
    for refused in ("identity", "gzip;q=0", "br"):
        assert "content-encoding" not in client.get(path, headers={"accept-encoding": refused}).headers
    two_members = gzip.compress(b'{"resourceType":') + gzip.compress(b'"Patient"}')
    assert client.post("/Patient", content=two_members, headers=headers).status_code == 201


def test_a_405_names_the_methods_that_work(client: httpx.Client) -> None:
    for method, path, allowed in (
        ("POST", "/Patient/1", "GET, HEAD, PUT, PATCH, DELETE"),
        ("DELETE", "/metadata", "GET, HEAD"),
        ("PUT", "/Patient/1/_history", "GET, HEAD"),
        ("PUT", "/Patient/_search", "GET, HEAD, POST"),
    ):
        response = client.request(method, path)
        outcome_of(response, 405)
        assert response.headers["allow"] == allowed, path
