"""Patient/$merge: nothing that refers to the source is left behind, and the way back is recorded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from conformance.decode import encode
from fhir_server.auth.caller import Grant, Interaction, anonymous
from fhir_server.errors import FhirError
from fhir_server.interactions.context import Context, Server, instant
from fhir_server.interactions.request import Answer, Request, parse_target
from fhir_server.interactions.run import run
from fhir_server.operations import merge as merging
from fhir_server.store.database import Database
from fhir_server.store.mentions import find_mentions
from tests.interactions.conftest import caller_with
from tests.operations.conftest import Clinic, Resource, names, observation, ref, resource


def _identifier(value: str, **more: str) -> Resource:
    return {"system": "http://mrn", "value": value, **more}


def _parameters(source: str, target: str, **more: bool) -> list[Resource]:
    given: list[Resource] = [
        {"name": "source-patient", "valueReference": ref(f"Patient/{source}")},
        {"name": "target-patient", "valueReference": ref(f"Patient/{target}")},
    ]
    return given + [{"name": name, "valueBoolean": value} for name, value in more.items()]


def _body(parameters: list[Resource]) -> Resource:
    return {"resourceType": "Parameters", "parameter": parameters}


def _out(answer: Resource, name: str) -> Resource:
    return next(p.get("resource") or p["valueReference"] for p in answer["parameter"] if p["name"] == name)


def _store(clinic: Clinic, source: str, target: str) -> None:
    clinic.put(
        resource("Patient", source, active=True, identifier=[_identifier(source), _identifier("both")]),
        resource("Patient", target, identifier=[_identifier(target), _identifier("both")]),
        resource("Patient", f"{source}1", active=True),
        observation(f"{source}-o", source, performer=[ref(f"Patient/{source}")]),
        observation(f"{source}-else", f"{source}1"),
        # No search parameter knows these two places.
        resource(
            "Basic",
            f"{source}-b",
            code={"text": "x"},
            extension=[{"url": "http://x", "valueReference": ref(f"http://test/fhir/Patient/{source}")}],
        ),
        observation(f"{source}-note", target, note=[{"authorReference": ref(f"Patient/{source}"), "text": "told"}]),
        observation(f"{source}-version", target, focus=[ref(f"Patient/{source}/_history/1")]),
    )


def test_the_target_takes_the_sources_place(clinic: Clinic) -> None:
    _store(clinic, "s", "t")
    before = clinic.fetch("Basic/s-b")
    answer = clinic.call("Patient/$merge", *_parameters("s", "t"))
    assert clinic.fetch("Observation/s-o")["subject"] == ref("Patient/t")
    assert clinic.fetch("Observation/s-o")["performer"] == [ref("Patient/t")]
    assert clinic.fetch("Basic/s-b")["extension"][0]["valueReference"] == ref("Patient/t")
    assert clinic.fetch("Observation/s-note")["note"][0]["authorReference"] == ref("Patient/t")
    # What names a version goes on naming it; what refers to another Patient isn't touched.
    assert clinic.fetch("Observation/s-version")["focus"] == [ref("Patient/s/_history/1")]
    assert clinic.fetch("Observation/s-else")["meta"]["versionId"] == "1"
    assert sorted(names(clinic.fetch("Observation?subject=Patient/t"))) == [
        "Observation/s-note",
        "Observation/s-o",
        "Observation/s-version",
    ]
    source, target = clinic.fetch("Patient/s"), clinic.fetch("Patient/t")
    assert source["active"] is False
    assert source["link"] == [{"other": ref("Patient/t"), "type": "replaced-by"}]
    assert target["link"] == [{"other": ref("Patient/s"), "type": "replaces"}]
    assert target["identifier"] == [_identifier("t"), _identifier("both"), _identifier("s", use="old")]
    assert _out(answer, "result") == target
    # The Provenance leads back to what was before.
    provenance = clinic.fetch(_out(answer, "provenance")["reference"])
    changed = {t["reference"] for t in provenance["target"]}
    assert changed == {f"{name}/_history/2" for name in
        ("Patient/s", "Patient/t", "Observation/s-o", "Observation/s-note", "Basic/s-b")}  # fmt: skip
    back = {e["what"]["reference"] for e in provenance["entity"]}
    assert back == {reference.replace("/_history/2", "/_history/1") for reference in changed}
    assert clinic.fetch("Basic/s-b/_history/1") == before


def test_a_preview_changes_nothing(clinic: Clinic) -> None:
    _store(clinic, "ps", "pt")
    answer = clinic.call("Patient/$merge", *_parameters("ps", "pt", preview=True))
    assert _out(answer, "result")["link"] == [{"other": ref("Patient/ps"), "type": "replaces"}]
    assert _out(answer, "outcome")["issue"][0]["diagnostics"].startswith("3 resources")
    assert [p["name"] for p in answer["parameter"]] == ["outcome", "result"]
    for name in ("Patient/ps", "Patient/pt", "Observation/ps-o", "Basic/ps-b"):
        assert clinic.fetch(name)["meta"]["versionId"] == "1"


def test_patients_by_identifier_and_a_given_result(clinic: Clinic) -> None:
    _store(clinic, "is", "it")
    result = resource("Patient", "it", birthDate="1970-01-01")
    answer = clinic.call(
        "Patient/$merge",
        {"name": "source-patient-identifier", "valueIdentifier": _identifier("is")},
        {"name": "target-patient-identifier", "valueIdentifier": _identifier("it")},
        {"name": "result-patient", "resource": result},
    )
    merged = _out(answer, "result")
    assert (merged["birthDate"], "identifier" in merged) == ("1970-01-01", False)
    assert merged["link"] == [{"other": ref("Patient/is"), "type": "replaces"}]


def test_what_cannot_be_merged_is_refused(clinic: Clinic) -> None:
    _store(clinic, "rs", "rt")
    clinic.put(resource("Patient", "rx", identifier=[_identifier("twice")]))
    clinic.put(resource("Patient", "ry", identifier=[_identifier("twice")], active=False))

    def status(*parameters: Resource) -> int:
        return clinic.refusal("POST", "Patient/$merge", _body(list(parameters))).status

    source, target = _parameters("rs", "rt")
    assert status(*_parameters("rs", "rs")) == 400
    assert status(*_parameters("rs", "unknown")) == 404
    assert status(source) == 400
    assert status({"name": "source-patient", "valueReference": ref("Practitioner/rs")}, target) == 400
    twice = {"name": "source-patient-identifier", "valueIdentifier": _identifier("twice")}
    assert status(twice, target) == 412
    assert status(*_parameters("rs", "ry")) == 422
    other = {"name": "result-patient", "resource": resource("Patient", "rx")}
    assert status(source, target, other) == 400
    assert clinic.refusal("GET", "Patient/$merge").status == 405
    clinic.call("Patient/$merge", *_parameters("rs", "rt"))
    assert status(*_parameters("rs", "rx")) == 422
    assert status(*_parameters("rx", "rs")) == 422


def test_a_caller_must_be_allowed_to_change_all_of_it(clinic: Clinic) -> None:
    _store(clinic, "gs", "gt")
    rights: frozenset[Interaction] = frozenset(("read", "search", "update", "operation"))
    some = caller_with(Grant("Patient", rights), Grant("Observation", rights))
    assert clinic.refusal("POST", "Patient/$merge", _body(_parameters("gs", "gt")), some).status == 403
    assert clinic.fetch("Patient/gs")["active"] is True
    assert clinic.fetch("Observation/gs-o")["subject"] == ref("Patient/gs")


def test_too_much_is_refused_whole(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    _store(clinic, "ms", "mt")
    monkeypatch.setattr(merging, "MOST", 2)
    refused = clinic.refusal("POST", "Patient/$merge", _body(_parameters("ms", "mt")))
    assert (refused.status, refused.issues[0].code) == (422, "too-costly")
    assert clinic.fetch("Patient/ms")["active"] is True


def test_of_two_merges_at_once_one_wins(clinic: Clinic) -> None:
    _store(clinic, "c1", "c2")

    async def both() -> list[Answer | BaseException]:
        database = Database(clinic.dsn, max_connections=4)
        await database.open()
        try:
            server = Server(database, b"key", clinic.operations, instant())

            def one(source: str, target: str) -> Request:
                return Request(parse_target("POST", "Patient/$merge"), body=encode(_body(_parameters(source, target))))

            calls = [one("c1", "c2"), one("c2", "c1")]
            context = [Context(server, anonymous(), "http://test/fhir", instant()) for _ in calls]
            return await asyncio.gather(
                *(run(c, r) for c, r in zip(context, calls, strict=True)), return_exceptions=True
            )
        finally:
            await database.close()

    answers = asyncio.run(both())
    refused = [a for a in answers if isinstance(a, FhirError)]
    assert [r.status for r in refused] == [422]
    active = [name for name in ("c1", "c2") if clinic.fetch(f"Patient/{name}").get("active") is not False]
    assert len(active) == 1
    assert clinic.fetch("Observation/c1-o")["subject"] == ref(f"Patient/{active[0]}")


def test_what_others_commit_while_a_merge_looks_is_found(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each of the first two looks another connection commits a reference to the source."""
    _store(clinic, "ws", "wt")
    looks = 0

    async def commit_one(number: int) -> None:
        database = Database(clinic.dsn, max_connections=1)
        await database.open()
        try:
            body = encode(observation(f"ws-late{number}", "ws"))
            context = Context(Server(database, b"key", {}, instant()), anonymous(), "http://test/fhir", instant())
            await run(context, Request(parse_target("PUT", f"Observation/ws-late{number}"), body=body))
        finally:
            await database.close()

    async def look(*arguments: Any) -> dict[str, list[str]]:
        nonlocal looks
        found = await find_mentions(*arguments)
        looks += 1
        if looks <= 2:
            await commit_one(looks)
        return found

    monkeypatch.setattr(merging, "find_mentions", look)
    answer = clinic.call("Patient/$merge", *_parameters("ws", "wt"))
    assert looks == 4
    for id_ in ("ws-o", "ws-late1", "ws-late2"):
        assert clinic.fetch(f"Observation/{id_}")["subject"] == ref("Patient/wt")
    provenance = clinic.fetch(_out(answer, "provenance")["reference"])
    targets = [t["reference"] for t in provenance["target"]]
    assert {"Observation/ws-late1/_history/2", "Observation/ws-late2/_history/2"} <= set(targets)
    assert len(targets) == len(provenance["entity"]) == len(set(targets))


def test_a_merge_is_held_to_referential_integrity(clinic: Clinic) -> None:
    """What it repoints must not refer to nothing otherwise, either."""
    _store(clinic, "is", "it")
    clinic.put(observation("is-broken", "is", encounter=ref("Encounter/nowhere")))
    enforcing = replace(clinic, enforce_references=True)
    refused = enforcing.refusal("POST", "Patient/$merge", _body(_parameters("is", "it")))
    assert (refused.status, refused.issues[0].expression) == (422, "Observation.encounter.reference")
    assert clinic.fetch("Patient/is")["active"] is True
    clinic.put(resource("Encounter", "nowhere", status="finished", **{"class": {"code": "AMB"}}))
    assert "result" in {p["name"] for p in enforcing.call("Patient/$merge", *_parameters("is", "it"))["parameter"]}
