"""Grants are respected by every interaction: by type, by interaction and by criteria on the content."""

from __future__ import annotations

from uuid import uuid4

import pytest

from conformance.decode import decode, encode
from fhir_server.auth.caller import Caller, Grant, Interaction
from fhir_server.errors import Forbidden
from fhir_server.interactions.request import Request, parse_target
from fhir_server.interactions.run import run
from tests.interactions.conftest import Desk, Resource, caller_with

SYSTEM = "http://example.org/ward"


def patient(ward: str, **more: object) -> Resource:
    """Return a Patient of a ward."""
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": ward}], **more}


def of_ward(ward: str, *interactions: str) -> Grant:
    """Return the grant for the Patients of one ward."""
    every = frozenset(interactions or ("create", "read", "update", "delete", "search"))
    return Grant("Patient", every, (("identifier", f"{SYSTEM}|{ward}"),))  # type: ignore[arg-type]


@pytest.fixture
def ours() -> Caller:
    """A caller for ward A."""
    return caller_with(of_ward("A"))


def put(desk: Desk, anyone: Caller, ward: str) -> str:
    """Store a Patient of a ward and return its id."""
    id_ = str(uuid4())
    desk.ask(anyone, "PUT", f"Patient/{id_}", patient(ward, id=id_))
    return id_


def test_without_a_grant_nothing_is_allowed(desk: Desk, anyone: Caller) -> None:
    id_ = put(desk, anyone, "A")
    nobody, reader = caller_with(), caller_with(Grant("Patient", frozenset(("read", "search"))))
    requests: list[tuple[str, str, Resource | None]] = [
        ("POST", "Patient", patient("A")),
        ("PUT", f"Patient/{id_}", patient("A", id=id_)),
        ("DELETE", f"Patient/{id_}", None),
    ]
    reads = [
        ("GET", u, None) for u in (f"Patient/{id_}", "Patient", f"Patient/{id_}/_history", f"Patient/{id_}/_history/1")
    ]
    for method, url, body in [*requests, *reads]:
        assert desk.status(nobody, method, url, body) == 403, (method, url)
    for method, url, body in requests:
        assert desk.status(reader, method, url, body) == 403, (method, url)
    for method, url, body in reads:
        assert desk.status(reader, method, url, body) == 200, (method, url)
    assert desk.status(reader, "GET", "Observation") == 403
    assert desk.status(nobody, "GET", "metadata") == 200


def test_only_what_criteria_cover_is_seen(desk: Desk, anyone: Caller, ours: Caller) -> None:
    own, other = put(desk, anyone, "A"), put(desk, anyone, "B")
    for url in ("Patient/{}", "Patient/{}/_history", "Patient/{}/_history/1"):
        assert desk.status(ours, "GET", url.format(own)) == 200
        assert desk.status(ours, "GET", url.format(other)) == 404
    found = {e["resource"]["id"] for e in desk.get(ours, "Patient").get("entry", [])}
    assert own in found
    assert other not in found
    desk.ask(anyone, "DELETE", f"Patient/{other}")
    assert desk.status(ours, "GET", f"Patient/{other}") == 404
    assert desk.status(ours, "GET", f"Patient/{other}/_history") == 404


def test_only_what_criteria_cover_is_written(desk: Desk, anyone: Caller, ours: Caller) -> None:
    own, other = put(desk, anyone, "A"), put(desk, anyone, "B")
    assert desk.status(ours, "POST", "Patient", patient("A")) == 201
    assert desk.status(ours, "POST", "Patient", patient("B")) == 403
    assert desk.status(ours, "PUT", f"Patient/{own}", patient("A", id=own, active=True)) == 200
    assert desk.status(ours, "PUT", f"Patient/{own}", patient("B", id=own)) == 403
    assert desk.status(ours, "PUT", f"Patient/{other}", patient("A", id=other)) == 403
    assert desk.status(ours, "DELETE", f"Patient/{other}") == 403
    assert desk.get(anyone, f"Patient/{other}")["meta"]["versionId"] == "1"
    assert desk.status(ours, "DELETE", f"Patient/{own}") == 204


def test_the_right_to_read_is_no_right_to_write(desk: Desk, anyone: Caller) -> None:
    other = put(desk, anyone, "B")
    caller = caller_with(Grant("Patient", frozenset(("read", "search"))), of_ward("A", "update", "delete"))
    assert desk.status(caller, "GET", f"Patient/{other}") == 200
    assert desk.status(caller, "PUT", f"Patient/{other}", patient("A", id=other)) == 403
    assert desk.status(caller, "DELETE", f"Patient/{other}") == 403
    assert desk.status(caller, "DELETE", f"Patient?_id={other}") == 403


def test_a_history_shows_the_versions_that_were_ours(desk: Desk, anyone: Caller, ours: Caller) -> None:
    id_ = put(desk, anyone, "A")
    desk.ask(anyone, "PUT", f"Patient/{id_}", patient("B", id=id_))
    desk.ask(anyone, "DELETE", f"Patient/{id_}")
    desk.ask(anyone, "PUT", f"Patient/{id_}", patient("A", id=id_))
    desk.ask(anyone, "DELETE", f"Patient/{id_}")
    history = desk.get(ours, f"Patient/{id_}/_history")
    assert [e["response"]["etag"] for e in history["entry"]] == ['W/"5"', 'W/"4"', 'W/"1"']
    assert "total" not in history
    assert desk.status(ours, "GET", f"Patient/{id_}/_history/2") == 404
    page = desk.get(ours, f"Patient/{id_}/_history?_count=1")
    assert [e["response"]["etag"] for e in page["entry"]] == ['W/"5"']


def test_a_transaction_is_held_to_the_same(desk: Desk, anyone: Caller, ours: Caller) -> None:
    own, other = put(desk, anyone, "A"), put(desk, anyone, "B")
    for method, url, body in (
        ("POST", "Patient", patient("B")),
        ("PUT", f"Patient/{other}", patient("A", id=other)),
        ("DELETE", f"Patient/{other}", None),
        ("POST", "Observation", {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}),
    ):
        entries = [
            {"request": {"method": "PUT", "url": f"Patient/{own}"}, "resource": patient("A", id=own, active=True)},
            {"request": {"method": method, "url": url}, **({"resource": body} if body else {})},
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        with pytest.raises(Forbidden) as refused:
            desk.ask(ours, "POST", "", bundle)
        assert [i.expression for i in refused.value.issues] == ["Bundle.entry[1]"]
        batch = decode(desk.ask(ours, "POST", "", {**bundle, "type": "batch", "entry": entries[1:]}).content or b"")
        assert batch["entry"][0]["response"]["status"] == "403"
    assert desk.get(anyone, f"Patient/{own}")["meta"]["versionId"] == "1"


def test_conditions_find_only_what_the_caller_may_search(desk: Desk, anyone: Caller, ours: Caller) -> None:
    id_ = str(uuid4())
    family = f"F{uuid4().hex}"
    desk.ask(anyone, "PUT", f"Patient/{id_}", patient("B", id=id_, name=[{"family": family}]))
    assert desk.status(ours, "DELETE", f"Patient?family={family}") == 204
    assert desk.get(anyone, f"Patient/{id_}")["meta"]["versionId"] == "1"


WRITER: frozenset[Interaction] = frozenset(("create", "update", "search"))


def _part(name: str, type_: str, value: object) -> Resource:
    return {"name": name, f"value{type_}": value}


ACTIVATE = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                _part("type", "Code", "replace"),
                _part("path", "String", "Patient.active"),
                _part("value", "Boolean", True),
            ],
        }
    ],
}


def test_a_write_shows_only_what_was_sent_or_may_be_read(desk: Desk, anyone: Caller) -> None:
    """By itself and in a transaction: a patch and the match of a conditional create need the right to read."""
    id_, value = str(uuid4()), str(uuid4())
    desk.ask(anyone, "PUT", f"Patient/{id_}", patient("A", id=id_, active=False))
    writer = caller_with(Grant("Patient", WRITER))
    readers = [anyone, caller_with(Grant("Patient", WRITER), of_ward("A", "read"))]
    elsewhere = caller_with(Grant("Patient", WRITER), of_ward("B", "read"))
    desk.ask(anyone, "POST", "Patient", patient(value))

    def patched(caller: Caller) -> bytes | None:
        target = parse_target("PATCH", f"Patient/{id_}")
        request = Request(target, body=encode(ACTIVATE), media_type="application/fhir+json")
        return desk.work(caller, lambda context: run(context, request)).content

    def found(caller: Caller) -> bytes | None:
        return desk.ask(caller, "POST", "Patient", patient("x"), if_none_exist=f"identifier={SYSTEM}|{value}").content

    assert [patched(caller) for caller in (writer, elsewhere)] == [None, None]
    assert [decode(patched(caller) or b"")["active"] for caller in readers] == [True, True]
    assert (found(writer), found(elsewhere)) == (None, None)
    assert decode(found(anyone) or b"")["identifier"] == patient(value)["identifier"]
    assert decode(desk.ask(writer, "PUT", f"Patient/{id_}", patient("A", id=id_)).content or b"")["id"] == id_
    assert decode(desk.ask(writer, "POST", "Patient", patient("A")).content or b"")["meta"]["versionId"] == "1"


def test_in_a_transaction_a_write_shows_no_more(desk: Desk, anyone: Caller) -> None:
    id_, value = str(uuid4()), str(uuid4())
    desk.ask(anyone, "PUT", f"Patient/{id_}", patient("A", id=id_, active=False))
    desk.ask(anyone, "POST", "Patient", patient(value))
    entries = [
        {"resource": ACTIVATE, "request": {"method": "PATCH", "url": f"Patient/{id_}"}},
        {
            "resource": patient("x"),
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier={SYSTEM}|{value}"},
        },
        {"resource": patient("mine"), "request": {"method": "POST", "url": "Patient"}},
    ]

    def shown(caller: Caller, type_: str) -> list[bool]:
        target = parse_target("POST", "")
        body = encode({"resourceType": "Bundle", "type": type_, "entry": entries})
        answer = desk.work(caller, lambda context: run(context, Request(target, body=body), representation=True))
        answered = decode(answer.content or b"")["entry"]
        assert [e["response"]["status"] for e in answered] == ["200 OK", "200 OK", "201 Created"]
        return ["resource" in e for e in answered]

    for type_ in ("batch", "transaction"):
        assert shown(caller_with(Grant("Patient", WRITER)), type_) == [False, False, True]
        assert shown(anyone, type_) == [True, True, True]
