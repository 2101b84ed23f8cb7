"""Requests that are wrong in every way we could think of: a 4xx OperationOutcome each, a 5xx never, and no trace left."""

# ruff: noqa: E501 - the requests are data, easier to compare on one line

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPResponse

import httpx
import pytest

from conformance.decode import check, decode
from tests.integration.answers import count, create
from tests.server import RunningServer

MAX_BODY = 300_000
JSON = {"content-type": "application/fhir+json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
EXTENSION = '{"extension":[{"url":"http://x","valueCode":"x"}]}'


@dataclass(frozen=True)
class Bad:
    """A request that must be refused. ``path`` is sent as it is, below the FHIR base."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def post(body: str | bytes, path: str = "/Patient", method: str = "POST", **headers: str) -> Bad:
    """Send a body."""
    content = body.encode() if isinstance(body, str) else body
    return Bad(method, path, content, {**JSON, **{k.replace("_", "-"): v for k, v in headers.items()}})


def get(path: str, **headers: str) -> Bad:
    """Send no body."""
    return Bad("GET", path, b"", {k.replace("_", "-"): v for k, v in headers.items()})


NOT_JSON = [
    b"", b" ", b"{", b"}", b"[", b"[]", b"null", b"true", b"1", b'"Patient"', b"Patient", b"<Patient/>", b"{}", b"[{}]",
    b'{"resourceType":"Patient"', b'{"resourceType":"Patient"}}', b'{"resourceType":"Patient",}', b"{'resourceType':'Patient'}",
    b'{"resourceType":"Patient"} {"resourceType":"Patient"}', b'{"resourceType":"Patient","active":tru}',
    b'{"resourceType":"Patient","multipleBirthInteger":01}', b'{"resourceType":"Patient","multipleBirthInteger":NaN}',
    b'{"resourceType":"Patient","multipleBirthInteger":Infinity}', b'\xff\xfe{\x00}\x00', b"\xef\xbb\xbf\xef\xbb\xbf{}",
    b'{"resourceType":"Patient","name":[{"family":"\xff\xfe"}]}', b'{"resourceType":"Patient","name":[{"family":"\xc3"}]}',
    b'{"resourceType":"Patient","name":[{"family":"\xed\xa0\x80"}]}', b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}',
    b'{"resourceType":"Patient","name":[{"family":"\\u0000"}]}', b'{"resourceType":"Patient","name":[{"family":"\x00"}]}',
    b'{"resourceType":"Patient","name":[{"family":"a\nb"}]}', b'{"resourceType":"Patient","name":[{"family":"\\x41"}]}',
    b"\x00" * 100, b"\x1f\x8b" + b"x" * 50, b"%PDF-1.4", b"resourceType=Patient", b"// x\n{}", b'{"a":1}', b"[" * 1000,
]  # fmt: skip
WRONG_CONTENT = [
    '{"resourceType":"Nonsense"}', '{"resourceType":"patient"}', '{"resourceType":null}', '{"resourceType":1}',
    '{"resourceType":["Patient"]}', '{"resourceType":""}', '{"resourceType":"DomainResource"}', '{"resourceType":"Resource"}',
    '{"resourceType":"Observation","status":"final","code":{"text":"x"}}', '{"resourceType":"HumanName"}',
    '{"resourceType":"Patient","nonsense":1}', '{"resourceType":"Patient","":1}', '{"resourceType":"Patient","a\\u0000b":1}',
    '{"resourceType":"Patient","resourceType":"Patient"}', '{"resourceType":"Patient","active":true,"active":false}',
    '{"resourceType":"Patient","active":"true"}', '{"resourceType":"Patient","active":1}', '{"resourceType":"Patient","active":null}',
    '{"resourceType":"Patient","active":[true]}', '{"resourceType":"Patient","name":{"family":"x"}}',
    '{"resourceType":"Patient","name":[]}', '{"resourceType":"Patient","name":[null]}', '{"resourceType":"Patient","name":["x"]}',
    '{"resourceType":"Patient","name":[{}]}', '{"resourceType":"Patient","name":[{"family":""}]}',
    '{"resourceType":"Patient","name":[{"family":1}]}', '{"resourceType":"Patient","name":[{"given":"x"}]}',
    '{"resourceType":"Patient","name":[{"given":[""]}]}', '{"resourceType":"Patient","name":[{"use":"nope"}]}',
    '{"resourceType":"Patient","gender":"m"}', '{"resourceType":"Patient","gender":{}}', '{"resourceType":"Patient","id":1}',
    '{"resourceType":"Patient","id":"a b"}', '{"resourceType":"Patient","id":""}', '{"resourceType":"Patient","meta":[]}',
    '{"resourceType":"Patient","meta":{"lastUpdated":"now"}}', '{"resourceType":"Patient","meta":{}}',
    '{"resourceType":"Patient","birthDate":"2020-13-01"}', '{"resourceType":"Patient","birthDate":"2020-02-30x"}',
    '{"resourceType":"Patient","birthDate":"01.02.2020"}', '{"resourceType":"Patient","birthDate":"20200101"}',
    '{"resourceType":"Patient","birthDate":"0000-00-00"}', '{"resourceType":"Patient","birthDate":20200101}',
    '{"resourceType":"Patient","birthDate":"2020-01-01T00:00:00Z"}', '{"resourceType":"Patient","deceasedDateTime":"yesterday"}',
    '{"resourceType":"Patient","deceasedDateTime":"2020-01-01T10:00"}', '{"resourceType":"Patient","deceasedDateTime":"2020-01-01T25:00:00Z"}',
    '{"resourceType":"Patient","deceasedBoolean":true,"deceasedDateTime":"2020"}', '{"resourceType":"Patient","deceasedString":"x"}',
    '{"resourceType":"Patient","deceased":true}', '{"resourceType":"Patient","multipleBirthInteger":1.5}',
    '{"resourceType":"Patient","multipleBirthInteger":99999999999}', '{"resourceType":"Patient","multipleBirthInteger":1e400}',
    '{"resourceType":"Patient","multipleBirthInteger":' + "9" * 5000 + "}", '{"resourceType":"Patient","_active":1}',
    '{"resourceType":"Patient","_active":{}}', '{"resourceType":"Patient","_name":[{}]}', '{"resourceType":"Patient","extension":[{}]}',
    '{"resourceType":"Patient","extension":[{"url":"http://x"}]}', '{"resourceType":"Patient","extension":[{"valueCode":"x"}]}',
    '{"resourceType":"Patient","extension":[{"url":"http://x","valueCode":"x","valueString":"y"}]}',
    '{"resourceType":"Patient","extension":[{"url":"http://x","valueNonsense":"x"}]}', '{"resourceType":"Patient","contained":[{}]}',
    '{"resourceType":"Patient","contained":[{"resourceType":"Nonsense"}]}', '{"resourceType":"Patient","contained":{"resourceType":"Basic"}}',
    '{"resourceType":"Patient","contained":[{"resourceType":"Observation"}]}', '{"resourceType":"Patient","link":[{"type":"replaces"}]}',
    '{"resourceType":"Patient","link":[{"other":{"reference":"Patient/1"}}]}', '{"resourceType":"Patient","photo":[{"data":"not base64!"}]}',
    '{"resourceType":"Patient","text":{"status":"generated"}}', '{"resourceType":"Patient","text":{"div":"<div/>"}}',
    '{"resourceType":"Patient","communication":[{}]}', '{"resourceType":"Patient","identifier":[{"system":"has space"}]}',
    '{"resourceType":"Patient","name":[{"given":["a"],"_given":[null,null]}]}',
    '{"resourceType":"Patient","extension":' + '[{"url":"http://x","extension":' * 200 + "[]" + "}]" * 200 + "}",
]  # fmt: skip
DEEP = [
    "[" * 100_000,
    '{"resourceType":"Patient","a":' + "[" * 100_000 + "]" * 100_000 + "}",
    '{"a":' * 50_000 + "1" + "}" * 50_000,
]
PATHS = [
    "/Nonsense", "/patient", "/Nonsense/1", "/Patient/a_b", "/Patient/" + "x" * 65, "/Patient/%00", "/Patient/%ff", "/Patient/%zz",
    "/Patient/%", "/Patient/1%2F..%2F2", "/Patient/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd",
    "/Patient/1';DROP%20TABLE%20resource;--", "/Patient/1%27%20OR%201=1", "/Patient/1/2/3/4/5", "/Patient/1/Nonsense",
    "/Patient/1/_history/x", "/Patient/1/_history/-1", "/Patient/1/_history/1/2", "/Patient/1/_history/99999999999999999999",
    "/Patient/_history?_at=x", "/_history?_at=x", "/_search/x", "/?_type=Nonsense", "/Patient/$nonsense", "/$nonsense", "/Patient/1/$nonsense", "/Patient/$",
    "/Patient/x" + "/x" * 3000, "/" + "A" * 9000, "/Patient\\1", "/Patient;a=b/1",
    "/metadata/x", "/Patient/nobody", "/Patient/nobody/_history", "/Patient/%ED%A0%80",
]  # fmt: skip
QUERIES = [
    "birthdate=yesterday", "birthdate=2020-13", "birthdate=xx2020", "birthdate=gt", "birthdate=2020-01-01T99:00", "_count=-1",
    "_count=x", "_count=1.5", "_count=99999999999999999999", "_count=%D9%A3", "_summary=nope", "_total=many", "_include=x",
    "_include=Nonsense:x", "_include=:::", "_cursor=x", "_cursor=%00", "_cursor=" + "A" * 10_000,
    "_cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "name=%00", "name=%ff", "name=%zz", "name=%", "%ff=1", "%00=1",
    "_lastUpdated=soon", "_lastUpdated=gt';DROP TABLE resource", "birthdate=2020%27%20OR%20%271%27=%271", "_format=ttl",
    "_format=nonsense", "active:missing=maybe", "&".join(f"name={n}" for n in range(300)), "birthdate=" + "9" * 5000,
    "birthdate=ge99999-01-01", "general-practitioner=a b%00", "_id=%00",
]  # fmt: skip
STRICT_QUERIES = [
    "nonsense=1", "name:nonsense=x", "_sort=nonsense", "_sort=-", "subject.nonsense.more=x", "_has:x:y:z=1", "name'--=1",
    "_include=Patient:nonsense", "_revinclude=Patient", "_id:nonsense=x", "birthdate:exact=2020", "_contained=maybe;--",
]  # fmt: skip
OBSERVATION_QUERIES = [
    "value-quantity=x", "value-quantity=1e", "value-quantity=1|2|3|4|5|6", "value-quantity=gt", "value-quantity=1e99999999",
    "value-quantity=NaN", "value-quantity=--1", "date=", "date=2020-02-31", "date=apple",
]  # fmt: skip
BAD_ENTRIES = [
    "1", "null", "[]", '"x"', "{}", '{"request":{}}', '{"request":{"method":"GET"}}', '{"request":{"url":"Patient"}}',
    '{"request":{"method":"get","url":"Patient"}}', '{"request":{"method":"FOO","url":"Patient"}}', '{"request":{"method":"POST","url":"Patient"}}',
    '{"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Basic","code":{"text":"x"}}}',
    '{"request":{"method":"PUT","url":"Patient/1"},"resource":{"resourceType":"Patient"}}', '{"request":{"method":"GET","url":"Patient/%zz"}}',
    '{"request":{"method":"PUT","url":"Patient"},"resource":{"resourceType":"Patient"}}', '{"request":{"method":"DELETE","url":"Patient"}}',
    '{"request":{"method":"DELETE","url":"Patient/nobody"}}', '{"request":{"method":"GET","url":"Patient?birthdate=never"}}',
    '{"request":{"method":"GET","url":"metadata"}}', '{"request":{"method":"POST","url":"/"}}', '{"request":{"method":"GET","url":"Patient?name=%00"}}',
    '{"request":{"method":"POST","url":"Patient","ifNoneExist":""},"resource":{"resourceType":"Patient"}}',
    '{"request":{"method":"POST","url":"Patient","ifNoneExist":"nonsense=1"},"resource":{"resourceType":"Patient"}}',
    '{"request":{"method":"PUT","url":"Patient/1","ifMatch":"W/"},"resource":{"resourceType":"Patient","id":"1"}}',
    '{"request":{"method":"GET","_url":' + EXTENSION + "}}", '{"request":{"_method":' + EXTENSION + ',"url":"Patient"}}',
    '{"fullUrl":1,"request":{"method":"GET","url":"Patient"}}', '{"request":{"method":"GET","url":"Patient"},"nonsense":1}',
    '{"request":{"method":"PATCH","url":"Patient/1"}}', '{"request":{"method":"GET","url":"../../etc/passwd"}}',
    '{"request":{"method":"POST","url":"Observation"},"resource":{"resourceType":"Observation","status":"final","code":{"text":"x"},'
    '"subject":{"reference":"Patient?identifier=nobody"}}}',
]  # fmt: skip
BUNDLES = [
    '{"resourceType":"Bundle"}', '{"resourceType":"Bundle","type":"nope"}', '{"resourceType":"Bundle","type":"collection"}',
    '{"resourceType":"Bundle","type":"transaction","entry":{}}', '{"resourceType":"Bundle","type":"transaction","entry":[]}',
    '{"resourceType":"Bundle","_type":' + EXTENSION + "}", '{"resourceType":"Patient"}', "{}", "", "[]",
    '{"resourceType":"Bundle","type":"batch","entry":[1]}', '{"resourceType":"Bundle","type":"batch","total":-1}',
    *(f'{{"resourceType":"Bundle","type":"transaction","entry":[{item}]}}' for item in BAD_ENTRIES),
]  # fmt: skip
PATIENT = '{"resourceType":"Patient"}'
KNOWN = '{"resourceType":"Patient","id":"known"}'
HEADERS = [
    *(post(PATIENT, content_type=t) for t in ("", "text/plain", "application/fhir+xml", "nonsense", ";;;", "multipart/form-data",
      "application/json; charset=utf-16", "application/json; charset=", "application/json; fhirVersion=9", "application/json,text/xml")),
    *(post(PATIENT, content_encoding=e) for e in ("gzip", "br", "deflate", "gzip, gzip", "nonsense")),
    *(post(body, content_encoding="gzip") for body in (b"\x1f\x8b\x08", gzip.compress(PATIENT.encode())[:-4], gzip.compress(b""),
      gzip.compress(b"\x00" * 50_000_000), gzip.compress(PATIENT.encode()) + b"garbage", zlib.compress(PATIENT.encode()))),
    *(post(PATIENT, prefer=p) for p in ("return=nonsense", "return=", "handling=maybe", "return=minimal, handling=")),
    *(post(PATIENT, accept=a) for a in ("text/turtle", "application/fhir+ndjson", "nonsense", "application/json;q=0", "image/*")),
    *(post(PATIENT, if_none_exist=c) for c in ("", "x", "=", "&&", "nonsense=1", "name=%00", "name=%zz", "_count=1", "Basic?code=x",
      "birthdate=never", "identifier=x&_include=Patient:link")),
    *(post(KNOWN, "/Patient/known", "PUT", if_match=m) for m in ("W/", 'W/"', 'W/"9"', "a b", "'1'", '"1" or 1=1', 'W/"99999999999999999999"', "")),
    *(get("/Patient/known", if_none_match=m) for m in ("W/", "a b", '"', "\"'; DROP")),
    *(get("/Patient/known", if_modified_since=d) for d in ("yesterday", "", "Mon, 99 Foo 2020", "99999999999999", "Mon, 01 Jan 2020 99:00:00 GMT")),
]  # fmt: skip
METHODS = [
    *(Bad(method, "/Patient/known") for method in ("POST", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "LOCK")),
    *(Bad(method, "/Patient") for method in ("PATCH", "OPTIONS", "DELETE")),
    Bad("PUT", "/Patient", PATIENT.encode(), JSON),
    *(Bad(method, "/metadata") for method in ("POST", "PUT", "DELETE")),
    *(Bad(method, "/") for method in ("PUT", "DELETE", "PATCH")),
    Bad("POST", "/Patient/_search", b"name=%zz", FORM), Bad("POST", "/Patient/_search", b"name=\xc3\xa9", FORM),
    Bad("POST", "/Patient/_search", b"name=%00", FORM), Bad("POST", "/Patient/_search", b"_count=x", FORM),
    Bad("POST", "/Patient/_search", b"{}", JSON), Bad("POST", "/Patient/_search", b"name=x", {"content-type": "text/plain"}),
    post('{"resourceType":"Patient","id":"other"}', "/Patient/known", "PUT"), post(PATIENT, "/Patient/known", "PUT"),
    post(PATIENT, "/Patient/a_b", "PUT"), post(PATIENT, "/Basic/known", "PUT"), Bad("DELETE", "/Patient/nobody"),
    Bad("DELETE", "/Patient?nonsense=1"), Bad("DELETE", "/Patient?name="), Bad("DELETE", "/Patient?_count=1"),
]  # fmt: skip
HUGE = json.dumps({"resourceType": "Patient", "name": [{"family": "x" * (MAX_BODY + 1)}]})

REQUESTS: list[Bad] = [
    *(post(body) for body in NOT_JSON),
    *(post(body) for body in WRONG_CONTENT),
    *(post(body, path) for body in DEEP for path in ("/Patient", "/")),
    *(get(path) for path in PATHS),
    *(get(f"/Patient?{query.replace(' ', '%20')}") for query in QUERIES),
    *(get(f"/Patient?{query.replace(' ', '%20')}", prefer="handling=strict") for query in STRICT_QUERIES),
    *(get(f"/Observation?{query}") for query in OBSERVATION_QUERIES if query != "date="),
    *(post(body, "/") for body in BUNDLES),
    *HEADERS,
    *METHODS,
    post(HUGE),
    post(HUGE, "/"),
    post(gzip.compress(HUGE.encode()), content_encoding="gzip"),
]


@pytest.fixture(scope="module")
def server(dsn: str) -> Iterator[RunningServer]:
    """A server that takes small bodies only."""
    running = RunningServer.on_database(dsn)
    running.environment["PRAXIS_MAX_BODY_BYTES"] = str(MAX_BODY)
    with running:
        yield running


def send(server: RunningServer, bad: Bad) -> tuple[int, str, bytes]:
    """Send a request as it is written, since a client library would put some of them right.

    Returns status, content type and body.
    """
    lines = [f"{bad.method} /fhir{bad.path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(bad.body)}"]
    lines += [f"{name}: {value}" for name, value in bad.headers.items()]
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + bad.body)
        with HTTPResponse(connection, method=bad.method) as response:
            response.begin()
            return response.status, response.headers["content-type"], response.read()


def test_every_malformed_request_is_refused_with_a_reason_and_leaves_no_trace(server: RunningServer) -> None:
    assert len(REQUESTS) > 200
    with server.client() as client:
        client.put("/Patient/known", json={"resourceType": "Patient", "id": "known"})
        before = {name: count(client, name) for name in ("Patient", "Observation", "Basic", "Bundle")}
        wrong = []
        for bad in REQUESTS:
            status, content_type, body = send(server, bad)
            told = decode(body) if content_type == "application/fhir+json; charset=utf-8" else {}
            fine = 400 <= status < 500 and told.get("resourceType") == "OperationOutcome"
            if not fine:
                wrong.append(f"{bad.method} {bad.path[:80]} {bad.headers} {bad.body[:120]!r}: {status} {body[:200]!r}")
                continue
            check(told)
            assert all(issue["severity"] in ("error", "fatal") and issue["diagnostics"] for issue in told["issue"])
        assert not wrong, "\n".join(wrong)
        assert {name: count(client, name) for name in before} == before
        assert client.get("/Patient/known").headers["etag"] == 'W/"1"'
        assert create(client, {"resourceType": "Patient"})["id"]
    assert httpx.get(f"http://127.0.0.1:{server.port}/health").status_code == 200


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(server: RunningServer) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * (MAX_BODY // 10)

    with server.client() as client:
        response = client.post("/Patient", content=endless(), headers=JSON)
        assert response.status_code == 413
        assert decode(response.content)["issue"][0]["code"] == "too-long"


def test_a_client_that_leaves_in_the_middle_does_no_harm(server: RunningServer) -> None:
    head = f"POST /fhir/Patient HTTP/1.1\r\nhost: x\r\ncontent-type: application/fhir+json\r\ncontent-length: {MAX_BODY}\r\n\r\n"
    with server.client() as client:
        before = count(client, "Patient")
        for part in (head[:40], head, head + '{"resourceType":"Patient"}'):
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
                connection.sendall(part.encode())
        assert count(client, "Patient") == before
