"""The demo practice and the two AI operations over HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from conformance.decode import check
from tests.server import RunningServer

Resource = dict[str, Any]


@pytest.fixture(scope="module")
def http(dsn: str) -> Iterator[httpx.Client]:
    """A client of a server over a small demo practice."""
    command = [sys.executable, "-m", "fhir_server.cli", "demo", "--patients", "60"]
    done = subprocess.run(
        command, check=False, env={"DATABASE_URL": dsn, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with RunningServer.on_database(dsn) as running, running.client() as client:
        yield client


def matches(http: httpx.Client, path: str) -> list[Resource]:
    """Return the first page's matches."""
    return [e["resource"] for e in http.get(path).raise_for_status().json().get("entry", ())]


def test_the_practice_holds_what_a_practice_needs(http: httpx.Client) -> None:
    """Staff, schedules, outcomes, notes, coverage and claims."""
    for resource_type in (
        "Practitioner",
        "Schedule",
        "Slot",
        "Patient",
        "Appointment",
        "Encounter",
        "DocumentReference",
        "Coverage",
        "Claim",
    ):
        assert matches(http, f"/{resource_type}?_count=1"), resource_type
    statuses = {
        s: http.get(f"/Appointment?status={s}&_summary=count").json()["total"]
        for s in ("fulfilled", "noshow", "booked")
    }
    assert all(statuses.values()), statuses


def test_no_show_prediction_of_one_appointment(http: httpx.Client) -> None:
    """A RiskAssessment with a probability, the base rate, factors and the model's version."""
    booked = matches(http, "/Appointment?status=booked&_count=1")[0]
    answer = http.get(f"/Appointment/{booked['id']}/$predict-no-show")
    assert answer.status_code == 200, answer.text
    assessment = answer.json()
    check(assessment)
    assert assessment["resourceType"] == "RiskAssessment"
    assert 0 < assessment["prediction"][0]["probabilityDecimal"] < 1
    assert assessment["basis"][0]["reference"] == f"Appointment/{booked['id']}"
    assert "Base rate" in answer.text
    devices = [c for c in assessment["contained"] if c["resourceType"] == "Device"]
    assert devices[0]["version"]


def test_no_show_prediction_of_many_appointments_and_storing(http: httpx.Client) -> None:
    """A batch gives one assessment each; stored ones come with a Provenance."""
    booked = matches(http, "/Appointment?status=booked&_count=3")
    names = [{"name": "appointment", "valueString": f"Appointment/{b['id']}"} for b in booked]
    definition = http.get("/metadata").json()
    assert "predict-no-show" in str(definition["rest"][0]["resource"])
    body = {"resourceType": "Parameters", "parameter": [*names, {"name": "store", "valueBoolean": True}]}
    answer = http.post("/Appointment/$predict-no-show", json=body, headers={"Content-Type": "application/fhir+json"})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["entry"]) >= len(booked)
    stored = matches(http, "/RiskAssessment?_count=50")
    assert len(stored) == len(booked)
    provenances = matches(http, "/Provenance?_count=50")
    targets = {t["reference"].split("/_history")[0] for p in provenances for t in p["target"]}
    assert {f"RiskAssessment/{r['id']}" for r in stored} <= targets


def test_impossible_predictions_are_refused(http: httpx.Client) -> None:
    """Unknown appointments are 404; cancelled ones a clear 4xx."""
    assert http.get("/Appointment/none-such/$predict-no-show").status_code == 404
    cancelled = matches(http, "/Appointment?status=cancelled&_count=1")[0]
    answer = http.get(f"/Appointment/{cancelled['id']}/$predict-no-show")
    assert 400 <= answer.status_code < 500
    check(answer.json())


def suggestions(answer: Resource) -> dict[str, dict[str, Any]]:
    """Return the suggestions of a Parameters answer by code."""
    out = {}
    for parameter in answer["parameter"]:
        if parameter["name"] == "suggestion":
            parts = {p["name"]: p for p in parameter["part"]}
            out[parts["code"]["valueCoding"]["code"]] = parts
    return out


def test_codes_are_suggested_from_text_without_negated_or_family_mentions(http: httpx.Client) -> None:
    """Type 2 diabetes is coded, chest pain (denied) and breast cancer (the mother's) are not; evidence is the text's own."""
    text = "Type 2 diabetes with polyneuropathy. No chest pain. Mother had breast cancer."
    answer = http.get("/Encounter/$suggest-codes", params={"text": text})
    assert answer.status_code == 200, answer.text
    found = suggestions(answer.json())
    assert any(code.startswith("E11") for code in found)
    assert not any(code.startswith(("R07", "C50", "Z80")) for code in found)
    for parts in found.values():
        evidence = {p["name"]: p for p in parts["evidence"]["part"]}
        start, end = evidence["start"]["valueInteger"], evidence["end"]["valueInteger"]
        assert text[start:end] == evidence["text"]["valueString"]
        assert 0 < parts["confidence"]["valueDecimal"] <= 1


def test_codes_are_suggested_for_an_encounter(http: httpx.Client) -> None:
    """From the notes of an encounter of the practice."""
    encounters = matches(http, "/Encounter?_count=5")
    found = [
        suggestions(http.get(f"/Encounter/{e['id']}/$suggest-codes").raise_for_status().json()) for e in encounters
    ]
    assert any(found)
