"""Composition/$document, https://hl7.org/fhir/R4/composition-operation-document.html."""

from __future__ import annotations

from fhir_server.auth.caller import Grant
from tests.interactions.conftest import caller_with
from tests.operations.conftest import Clinic, Resource, names, observation, ref, resource


def _composition(id_: str, *entries: str, **elements: object) -> Resource:
    return resource(
        "Composition",
        id_,
        status="final",
        type={"text": "Note"},
        subject=ref("Patient/p"),
        date="2024-01-01",
        author=[ref("Practitioner/d")],
        title="Note",
        section=[{"title": "Findings", "entry": [ref(entry) for entry in entries]}],
        **elements,
    )


def _store(clinic: Clinic) -> None:
    clinic.put(
        resource("Organization", "o", name="Ward"),
        resource("Patient", "p", managingOrganization=ref("Organization/o")),
        resource("Practitioner", "d"),
        observation("leaf", "p"),
        observation("root", "p", hasMember=[ref("Observation/leaf")], derivedFrom=[ref("Observation/root")]),
        _composition("c", "Observation/root"),
    )


def test_everything_referred_to_is_in_it(clinic: Clinic) -> None:
    _store(clinic)
    document = clinic.fetch("Composition/c/$document")
    assert document["type"] == "document"
    assert names(document)[0] == "Composition/c"
    assert sorted(names(document)) == sorted(
        ["Composition/c", "Patient/p", "Practitioner/d", "Observation/root", "Observation/leaf", "Organization/o"]
    )
    assert [e["fullUrl"] for e in document["entry"]] == [f"http://test/fhir/{name}" for name in names(document)]
    assert document["timestamp"]
    assert all("search" not in e for e in document["entry"])


def test_the_identifier_is_that_of_the_content(clinic: Clinic) -> None:
    _store(clinic)
    first = clinic.fetch("Composition/c/$document")
    assert clinic.fetch("Composition/$document?id=c")["identifier"] == first["identifier"]
    assert clinic.fetch("Composition/$document?id=Composition/c")["identifier"] == first["identifier"]
    clinic.put(observation("leaf", "p", code="8310-5"))
    assert clinic.fetch("Composition/c/$document")["identifier"] != first["identifier"]


def test_persist_stores_the_same_content_once(clinic: Clinic) -> None:
    _store(clinic)
    persist = {"name": "persist", "valueBoolean": True}
    stored = clinic.call("Composition/c/$document", persist)
    assert clinic.fetch(f"Bundle/{stored['id']}")["identifier"] == stored["identifier"]
    assert clinic.call("Composition/c/$document", persist)["id"] == stored["id"]
    assert clinic.refusal("GET", "Composition/c/$document?persist=true").status == 405


def test_every_missing_reference_is_named(clinic: Clinic) -> None:
    _store(clinic)
    clinic.put(
        observation("dangling", "p", hasMember=[ref("Observation/none")]),
        _composition("m", "Observation/dangling", "Condition/none"),
        _composition("f", "http://elsewhere/fhir/Observation/1"),
        _composition("contained", "#in") | {"contained": [observation("in", "p")]},
    )
    missing = clinic.refusal("GET", "Composition/m/$document")
    assert missing.status == 422
    assert [(i.code, i.diagnostics.split(" refers to ")[1].split(",")[0]) for i in missing.issues] == [
        ("not-found", "Condition/none"),
        ("not-found", "Observation/none"),
    ]
    assert clinic.refusal("GET", "Composition/f/$document").status == 422
    assert "Composition/contained" in names(clinic.fetch("Composition/contained/$document"))


def test_what_may_not_be_read_is_not_in_it(clinic: Clinic) -> None:
    _store(clinic)
    reading = frozenset(("read", "operation"))
    some = caller_with(*(Grant(t, reading) for t in ("Composition", "Patient", "Practitioner", "Organization")))
    refused = clinic.refusal("GET", "Composition/c/$document", caller=some)
    assert [i.diagnostics for i in refused.issues] == ["Composition/c refers to Observation/root, which can't be read."]
    assert clinic.refusal("GET", "Composition/unknown/$document").status == 404
    assert clinic.refusal("GET", "Composition/$document").status == 400
    assert clinic.refusal("GET", "Composition/c/$document?id=c").status == 400
    assert clinic.refusal("GET", "Composition/c/$document?graph=http://g").status == 400
