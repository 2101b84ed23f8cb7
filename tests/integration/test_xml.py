"""XML, NDJSON and the choice between formats over HTTP, https://hl7.org/fhir/R4/http.html#mime-type."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from conformance.xml import from_xml, to_xml
from tests.integration.answers import outcome_of, resource_of
from tests.server import RunningServer

XML = "application/fhir+xml"
HUNDRED_MB = 100_000_000
MAX_GROWTH = 30_000_000


def patient(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "text": {
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml">Ada&nbsp;&quot;O&quot;</div>',
        },
        "name": [
            {
                "family": "Okafor",
                "given": ["Ada", "B"],
                "_given": [None, {"extension": [{"url": "u", "valueCode": "c"}]}],
            }
        ],
        "birthDate": "1990-02-03",
        **more,
    }


def xml_of(response: httpx.Response, status: int = 200) -> dict[str, Any]:
    """Return the resource of an XML response as JSON."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert "accept" in response.headers["vary"]
    return from_xml(response.content)


def content_of(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a resource without what the server sets."""
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}


def test_every_interaction_speaks_xml(client: httpx.Client) -> None:
    sent = {"content-type": XML, "accept": XML}
    created = client.post("/Patient", content=to_xml(patient()), headers=sent)
    stored = xml_of(created, 201)
    assert content_of(stored) == patient()
    path = f"/Patient/{stored['id']}"
    assert resource_of(client.get(path)) == stored
    assert xml_of(client.get(path, headers={"accept": XML})) == stored
    changed = {**stored, "active": True}
    assert xml_of(client.put(path, content=to_xml(changed), headers=sent))["active"] is True
    assert xml_of(client.get(f"{path}/_history/1?_format=xml")) == stored
    history = xml_of(client.get(f"{path}/_history?_format=application/fhir%2Bxml"))
    assert [e["resource"]["meta"]["versionId"] for e in history["entry"]] == ["2", "1"]
    found = xml_of(client.get(f"/Patient?_id={stored['id']}&_format=xml"))
    assert content_of(found["entry"][0]["resource"]) == {**patient(), "active": True}
    by_form = client.post("/Patient/_search", data={"_id": stored["id"], "_format": "xml", "_pretty": "true"})
    assert len(xml_of(by_form)["entry"]) == 1
    assert by_form.text.splitlines()[1] == '<Bundle xmlns="http://hl7.org/fhir">'
    told = xml_of(client.get("/metadata", headers={"accept": "application/xml"}))
    assert told["resourceType"] == "CapabilityStatement"
    assert {"xml", "application/fhir+xml"} <= set(told["format"])
    assert client.delete(path, headers={"accept": XML}).status_code == 204
    assert xml_of(client.get(path, headers={"accept": XML}), 410)["issue"][0]["code"] == "deleted"


def test_bundles_in_xml(client: httpx.Client) -> None:
    for kind in ("batch", "transaction"):
        bundle = {
            "resourceType": "Bundle",
            "type": kind,
            "entry": [{"resource": patient(), "request": {"method": "POST", "url": "Patient"}}],
        }
        headers = {"content-type": "text/xml; charset=utf-8", "accept": XML}
        answered = xml_of(client.post("/", content=to_xml(bundle), headers=headers))
        assert answered["type"] == f"{kind}-response"
        location = answered["entry"][0]["response"]["location"].removeprefix(str(client.base_url)).split("/_history")[0]
        assert content_of(resource_of(client.get(f"/{location.removeprefix('/')}"))) == patient()


def test_digits_survive_either_way(client: httpx.Client) -> None:
    observation = (
        '<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="c"/></code>'
        '<valueQuantity><value value="1.10"/></valueQuantity></Observation>'
    )
    response = client.post("/Observation", content=observation, headers={"content-type": XML})
    assert '"value":1.10' in response.text
    path = f"/Observation/{resource_of(response)['id']}"
    assert '<value value="1.10"/>' in client.get(f"{path}?_format=xml").text


def test_all_faults_of_a_document_are_told_with_their_places(client: httpx.Client) -> None:
    document = (
        '<Patient xmlns="http://hl7.org/fhir"><nme value="x"/><gender value="nope"/><active value="yes"/></Patient>'
    )
    response = client.post("/Patient", content=document, headers={"content-type": XML, "accept": XML})
    told = xml_of(response, 400)
    assert [i["expression"] for i in told["issue"]] == [["Patient.nme"], ["Patient.active"], ["Patient.gender"]]
    assert (
        outcome_of(client.post("/Patient", content=document, headers={"content-type": XML}), 400)["issue"]
        == told["issue"]
    )
    for refused in (b"<", b"<!DOCTYPE Patient><Patient/>", b"<Patient/>", b'{"resourceType":"Patient"}'):
        outcome_of(client.post("/Patient", content=refused, headers={"content-type": XML}), 400)
    other_type = b'<Observation xmlns="http://hl7.org/fhir"/>'
    outcome_of(client.post("/Patient", content=other_type, headers={"content-type": XML}), 400)


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        ("", "json"), ("*/*", "json"), ("application/*", "json"), ("application/fhir+xml", "xml"), ("text/xml", "xml"),
        ("application/xml;q=0.9,*/*;q=0.8", "xml"), ("application/fhir+xml;q=0.5,application/fhir+json;q=0.6", "json"),
        ("application/fhir+json,application/fhir+xml", "json"), ("application/fhir+xml,application/fhir+json", "json"),
        ("application/fhir+xml,*/*", "xml"), ("application/fhir+json;q=0,*/*", "xml"), ("*/*,application/json;q=0.1", "xml"),
        ("application/fhir+xml;fhirVersion=3.0,application/json;q=0.1", "json"), ("application/fhir+ndjson,application/xml;q=0.1", "xml"),
        ("application/fhir+xml; fhirVersion=4.0; q=1, text/turtle", "xml"),
    ],
)  # fmt: skip
def test_the_best_format_that_accept_names_is_written(client: httpx.Client, accept: str, format_: str) -> None:
    for path, status in (("/metadata", 200), ("/Patient/none", 404), ("/Nope", 404)):
        response = client.get(path, headers={"accept": accept})
        assert response.status_code == status
        assert response.headers["content-type"].startswith(f"application/fhir+{format_};"), path


def test_format_goes_before_accept(client: httpx.Client) -> None:
    told = client.get("/Patient/none?_format=xml", headers={"accept": "application/fhir+json"})
    assert xml_of(told, 404)["issue"][0]["code"] == "not-found"
    outcome_of(client.get("/Patient/none?_format=json", headers={"accept": XML}), 404)
    for unknown in ("html", "ttl", "", "application/fhir+ndjson"):
        outcome_of(client.get(f"/metadata?_format={unknown}"), 406)
    outcome_of(client.get("/metadata", headers={"accept": "application/fhir+ndjson"}), 406)


def test_errors_are_written_like_answers(client: httpx.Client) -> None:
    pretty = client.get("/Patient/none?_format=xml&_pretty=true")
    assert pretty.text.splitlines()[2] == "  <issue>"
    refused = client.post("/Patient", content="x", headers={"content-type": "text/turtle", "accept": XML})
    assert xml_of(refused, 415)["issue"][0]["code"] == "not-supported"
    assert xml_of(client.request("PUT", "/metadata", headers={"accept": XML}), 405)
    # What no XML can hold is told in JSON.
    outcome_of(client.get("/Patient?nope%EF%BF%BE=1&_format=xml", headers={"prefer": "handling=strict"}), 400)


def test_what_xml_can_not_carry_is_said(client: httpx.Client) -> None:
    odd = patient(text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">&unknown;</div>'})
    created = client.post(
        "/Patient", content=json.dumps(odd), headers={"content-type": "application/json", "accept": XML}
    )
    # The write happened, so it is told in the form that is left.
    path = f"/Patient/{resource_of(created)['id']}"
    assert resource_of(client.get(path))["text"] == odd["text"]
    told = xml_of(client.get(path, headers={"accept": XML}), 406)
    assert "ask for JSON" in told["issue"][0]["diagnostics"]


def test_head_and_gzip_work_in_xml(client: httpx.Client) -> None:
    packed = gzip.compress(to_xml(patient(name=[{"family": f"Family {n}"} for n in range(100)])))
    created = client.post("/Patient", content=packed, headers={"content-type": XML, "content-encoding": "gzip"})
    path = f"/Patient/{resource_of(created)['id']}?_format=xml"
    got, head = client.get(path), client.head(path)
    assert got.headers["content-encoding"] == "gzip"
    assert len(xml_of(got)["name"]) == 100
    assert (head.content, head.headers["content-length"]) == (b"", got.headers["content-length"])


def test_searches_and_histories_as_ndjson(client: httpx.Client) -> None:
    family = f"Lines{uuid4().hex}"
    made = [resource_of(client.post("/Patient", json=patient(name=[{"family": family}]))) for _ in range(3)]
    response = client.get(f"/Patient?name={family}&_count=2", headers={"accept": "application/fhir+ndjson"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/fhir+ndjson; charset=utf-8"
    assert response.text.endswith("\n")
    page = [json.loads(line) for line in response.text.splitlines()]
    assert response.links["self"]["url"].startswith(f"{client.base_url}Patient?name={family}")
    rest = client.get(response.links["next"]["url"] + "&_format=ndjson")
    assert "next" not in rest.links
    page += [json.loads(line) for line in rest.text.splitlines()]
    assert {r["id"]: r for r in page} == {r["id"]: r for r in made}
    nothing = client.get(f"/Patient?name={uuid4().hex}&_format=application/fhir%2Bndjson")
    assert (nothing.status_code, nothing.content) == (200, b"")
    assert nothing.headers["content-type"].startswith("application/fhir+ndjson")
    client.delete(f"/Patient/{made[0]['id']}")
    deleted, stored = client.get(f"/Patient/{made[0]['id']}/_history?_format=ndjson").text.splitlines()
    assert json.loads(stored) == made[0]
    issue = json.loads(deleted)["issue"][0]
    assert (issue["code"], issue["diagnostics"]) == ("deleted", f"DELETE Patient/{made[0]['id']}")
    outcome_of(client.get("/Patient?birthdate=x&_format=ndjson"), 400)


def test_ndjson_in_a_request_has_no_meaning(client: httpx.Client) -> None:
    lines = json.dumps(patient()) + "\n"
    for path in ("/", "/Patient"):
        told = outcome_of(client.post(path, content=lines, headers={"content-type": "application/fhir+ndjson"}), 415)
        assert "Bundle" in told["issue"][0]["diagnostics"]


PATCHES = [
    ("application/json-patch+json", '[{"op":"replace","path":"/birthDate","value":"1991"}]'),
    ("application/xml-patch+xml", '<diff><replace sel="f:Patient/f:birthDate/@value">1991</replace></diff>'),
    (
        "application/fhir+xml; charset=utf-8",
        '<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/><part><name value="type"/>'
        '<valueCode value="replace"/></part><part><name value="path"/><valueString value="Patient.birthDate"/></part>'
        '<part><name value="value"/><valueDate value="1991"/></part></parameter></Parameters>',
    ),
    (
        "application/fhir+json",
        '{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},'
        '{"name":"path","valueString":"Patient.birthDate"},{"name":"value","valueDate":"1991"}]}]}',
    ),
]


@pytest.mark.parametrize(("media_type", "body"), PATCHES)
def test_patches_of_each_format(client: httpx.Client, media_type: str, body: str) -> None:
    stored = resource_of(client.post("/Patient", json=patient()))
    path = f"/Patient/{stored['id']}"
    response = client.patch(path, content=body, headers={"content-type": media_type, "accept": XML})
    assert content_of(xml_of(response)) == patient(birthDate="1991")
    inapplicable = body.replace("/birthDate", "/photo").replace(":birthDate", ":photo").replace(".birthDate", ".photo")
    for wrong, status in ((inapplicable, 422), ("", 400), ("{", 400)):
        outcome_of(client.patch(path, content=wrong, headers={"content-type": media_type}), status)
    assert content_of(resource_of(client.get(path))) == patient(birthDate="1991")


@pytest.mark.parametrize(
    "media_type", ["application/json", "text/plain", "", "application/json-patch+json; charset=latin1"]
)
def test_other_formats_of_patches_are_refused(client: httpx.Client, media_type: str) -> None:
    path = f"/Patient/{resource_of(client.post('/Patient', json=patient()))['id']}"
    outcome_of(client.patch(path, content="[]", headers={"content-type": media_type}), 415)


LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10 if n else b"ha" * 100) for n in range(12))


@pytest.fixture(scope="module")
def worker(server: RunningServer) -> psutil.Process:
    """The one process that answers HTTP for the module's own server: of its children the largest Python process."""
    assert server.process is not None
    with server.client() as warm:
        for _ in range(3):
            warm.post("/Patient", content=to_xml(patient()), headers={"content-type": XML})
    python = [p for p in psutil.Process(server.process.pid).children(recursive=True) if "postgres" not in p.name()]
    listening = [p for p in python if any(c.laddr.port == server.port for c in p.net_connections("tcp"))]
    return max(listening, key=lambda p: p.memory_info().rss)


def chunks(start: bytes, size: int) -> Iterator[bytes]:
    """Yield a document that goes on for ``size`` bytes, in pieces, so that the client needs no memory either."""
    yield start
    piece = b'<name><family value="x"/></name>' * 2_000
    for _ in range(size // len(piece) + 1):
        yield piece


@pytest.mark.parametrize("content_type", [XML, "application/fhir+json"])
@pytest.mark.parametrize("length", [{}, {"content-length": str(HUNDRED_MB)}], ids=["chunked", "announced"])
def test_a_body_of_100_mb_is_refused_in_constant_memory(
    server: RunningServer, worker: psutil.Process, content_type: str, length: dict[str, str]
) -> None:
    before = peak = worker.memory_info().rss
    sent = 0

    def watched() -> Iterator[bytes]:
        nonlocal peak, sent
        for piece in chunks(b'<Patient xmlns="http://hl7.org/fhir">', HUNDRED_MB):
            peak = max(peak, worker.memory_info().rss)
            yield piece[: HUNDRED_MB - sent]
            sent = min(HUNDRED_MB, sent + len(piece))

    with server.client() as http:
        response = http.post("/Patient", content=watched(), headers={"content-type": content_type, **length})
    outcome_of(response, 413)
    assert max(peak, worker.memory_info().rss) - before < MAX_GROWTH
    with server.client() as http:
        assert http.get("/metadata").status_code == 200


@pytest.mark.parametrize(
    "document",
    [
        b"<!DOCTYPE Patient [" + LAUGHS + b']><Patient xmlns="http://hl7.org/fhir"><id value="&l11;"/></Patient>',
        b'<!DOCTYPE Patient [<!ENTITY x SYSTEM "file:///etc/hostname">]><Patient xmlns="http://hl7.org/fhir">&x;</Patient>',
        gzip.compress(b'<Patient xmlns="http://hl7.org/fhir">' + b" " * HUNDRED_MB),
    ],
    ids=["billion laughs", "external entity", "gzip bomb"],
)
def test_bombs_are_refused(server: RunningServer, worker: psutil.Process, document: bytes) -> None:
    before = worker.memory_info().rss
    packed = {"content-encoding": "gzip"} if document.startswith(b"\x1f\x8b") else {}
    with server.client() as http:
        response = http.post("/Patient", content=document, headers={"content-type": XML, **packed})
    told = outcome_of(response, 413 if packed else 400)
    assert packed or "DOCTYPE" in told["issue"][0]["diagnostics"]
    assert worker.memory_info().rss - before < MAX_GROWTH
