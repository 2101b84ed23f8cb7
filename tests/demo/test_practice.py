"""The demo practice is valid R4, closed under its references and repeatable; its no-shows have causes."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from conformance.decode import check, encode
from fhir_server.demo import bundles, generate
from fhir_server.demo.elements import REMINDER

TODAY = date(2026, 3, 2)


@cache
def practice() -> tuple[dict[str, Any], ...]:
    return tuple(generate(today=TODAY))


def of_type(resource_type: str) -> list[dict[str, Any]]:
    return [r for r in practice() if r["resourceType"] == resource_type]


def references(element: Any) -> Iterator[str]:
    if isinstance(element, dict):
        if isinstance(element.get("reference"), str):
            yield element["reference"]
        for value in element.values():
            yield from references(value)
    elif isinstance(element, list):
        for value in element:
            yield from references(value)


def kept_or_missed() -> list[dict[str, Any]]:
    return [a for a in of_type("Appointment") if a["status"] in ("fulfilled", "noshow")]


def lead_days(appointment: dict[str, Any]) -> float:
    start, created = (datetime.fromisoformat(appointment[edge]) for edge in ("start", "created"))
    return (start - created) / timedelta(days=1)


def rate(appointments: list[dict[str, Any]]) -> float:
    return sum(a["status"] == "noshow" for a in appointments) / len(appointments)


def patient_of(appointment: dict[str, Any]) -> str:
    return next(
        p["actor"]["reference"] for p in appointment["participant"] if p["actor"]["reference"].startswith("Patient/")
    )


def test_every_resource_is_valid_r4() -> None:
    for resource in practice():
        check(resource)


def test_ids_are_unique_and_every_reference_resolves_to_one() -> None:
    known = [f"{r['resourceType']}/{r['id']}" for r in practice()]
    assert len(known) == len(set(known))
    assert {r for resource in practice() for r in references(resource)} <= set(known)


def test_the_same_seed_and_day_give_the_same_bytes() -> None:
    first, second = (b"\n".join(map(encode, generate(7, 40, TODAY))) for _ in range(2))
    assert first == second
    assert first != b"\n".join(map(encode, generate(8, 40, TODAY)))


def test_the_first_patients_do_not_depend_on_how_many_follow() -> None:
    few = [r for r in generate(7, 5, TODAY) if r["resourceType"] == "Patient"]
    many = [r for r in generate(7, 25, TODAY) if r["resourceType"] == "Patient"]
    assert few == many[:5]


def test_the_practice_has_the_promised_make_up() -> None:
    counts = Counter(r["resourceType"] for r in practice())
    assert counts["Patient"] == 500
    assert counts["Practitioner"] == counts["PractitionerRole"] == counts["Schedule"] == 5
    assert counts["Coverage"] == 500
    statuses = Counter(a["status"] for a in of_type("Appointment"))
    assert set(statuses) == {"fulfilled", "noshow", "cancelled", "booked"}
    assert min(statuses.values()) > 100
    assert counts["Encounter"] == counts["DocumentReference"] == counts["Claim"] == statuses["fulfilled"]


def test_no_practitioner_and_no_patient_is_double_booked() -> None:
    books = defaultdict(list)
    for appointment in of_type("Appointment"):
        for participant in appointment["participant"]:
            actor = participant["actor"]["reference"]
            if actor.startswith(("Practitioner/", "Patient/")):
                books[actor].append((appointment["start"], appointment["end"]))
    for taken in books.values():
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(sorted(taken)))


def test_today_divides_what_happened_from_what_is_booked() -> None:
    now = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
    for appointment in of_type("Appointment"):
        start, end = (datetime.fromisoformat(appointment[edge]) for edge in ("start", "end"))
        assert datetime.fromisoformat(appointment["created"]) < start
        if appointment["status"] == "booked":
            assert start >= now
        else:
            assert end <= now


def test_booked_appointments_hold_busy_slots_and_the_rest_are_free() -> None:
    held = [s["reference"] for a in of_type("Appointment") for s in a.get("slot", [])]
    assert len(held) == len(set(held))
    busy = {f"Slot/{s['id']}" for s in of_type("Slot") if s["status"] == "busy"}
    assert busy == set(held)
    assert any(s["status"] == "free" for s in of_type("Slot"))


def test_nobody_is_seen_or_booked_before_birth() -> None:
    births = {f"Patient/{p['id']}": p["birthDate"] for p in of_type("Patient")}
    assert all(births[patient_of(a)] < a["created"][:10] for a in of_type("Appointment"))
    assert all(births[c["subject"]["reference"]] < c["onsetDateTime"] for c in of_type("Condition"))


def test_no_shows_rise_with_lead_time() -> None:
    ordered = sorted(kept_or_missed(), key=lead_days)
    third = len(ordered) // 3
    short, middle, long = (rate(ordered[i * third : (i + 1) * third]) for i in range(3))
    assert short < middle < long
    assert long > 1.5 * short


def test_reminders_and_age_matter() -> None:
    by_reminder = defaultdict(list)
    for a in kept_or_missed():
        by_reminder[next(e["valueCode"] for e in a["extension"] if e["url"] == REMINDER)].append(a)
    assert rate(by_reminder["sms"]) < rate(by_reminder["email"])
    births = {f"Patient/{p['id']}": p["birthDate"] for p in of_type("Patient")}
    young = [a for a in kept_or_missed() if "1997" <= births[patient_of(a)][:4] <= "2007"]
    old = [a for a in kept_or_missed() if births[patient_of(a)][:4] <= "1960"]
    assert rate(young) > 1.3 * rate(old)


def test_past_behaviour_tells_something_but_not_everything() -> None:
    """The area under the ROC curve of the patient's own earlier rate lies between chance and certainty."""
    base = rate(kept_or_missed())
    earlier: dict[str, list[bool]] = defaultdict(list)
    scored: list[tuple[float, bool]] = []
    for a in sorted(kept_or_missed(), key=lambda a: str(a["start"])):
        past = earlier[patient_of(a)]
        missed = a["status"] == "noshow"
        scored.append(((sum(past) + 3 * base) / (len(past) + 3), missed))
        past.append(missed)
    missed_scores = [s for s, missed in scored if missed]
    kept_scores = [s for s, missed in scored if not missed]
    wins = sum((m > k) + 0.5 * (m == k) for m in missed_scores for k in kept_scores)
    assert 0.58 < wins / (len(missed_scores) * len(kept_scores)) < 0.72


def test_notes_vary_and_say_what_is_absent_and_what_runs_in_the_family() -> None:
    texts = [b64decode(d["content"][0]["attachment"]["data"]).decode() for d in of_type("DocumentReference")]
    assert len(set(texts)) > 0.95 * len(texts)
    assert not [t for t in texts if "{" in t or "}" in t]
    for phrase in ("Denies ", "No ", "Mother has", "BP "):
        assert sum(phrase in t for t in texts) > 50
    encounters = {f"Encounter/{e['id']}" for e in of_type("Encounter")}
    assert {d["context"]["encounter"][0]["reference"] for d in of_type("DocumentReference")} == encounters


def test_claims_add_up_and_point_at_the_visits_diagnoses() -> None:
    encounters = {f"Encounter/{e['id']}": e for e in of_type("Encounter")}
    for claim in of_type("Claim"):
        assert claim["total"]["value"] == sum(item["net"]["value"] for item in claim["item"])
        visit = encounters[claim["item"][0]["encounter"][0]["reference"]]
        assert [d["diagnosisReference"] for d in claim["diagnosis"]] == [d["condition"] for d in visit["diagnosis"]]


def test_diagnosis_codes_are_those_of_icd_10_cm() -> None:
    icd = pytest.importorskip("simple_icd_10_cm")
    codings = {(c["code"]["coding"][0]["code"], c["code"]["coding"][0]["display"]) for c in of_type("Condition")}
    assert len(codings) > 30
    for code, display in codings:
        assert icd.is_valid_item(code)
        assert icd.is_leaf(code)
        assert icd.get_description(code) == display


def test_bundles_keep_every_resource_once_under_its_own_id() -> None:
    made = list(bundles(generate(7, 20, TODAY), size=50))
    assert all(len(b["entry"]) == 50 for b in made[:-1])
    assert 0 < len(made[-1]["entry"]) <= 50
    entries = [e for b in made for e in b["entry"]]
    assert [e["resource"] for e in entries] == list(generate(7, 20, TODAY))
    assert all(
        e["request"] == {"method": "PUT", "url": f"{e['resource']['resourceType']}/{e['resource']['id']}"}
        for e in entries
    )
    for bundle in made:
        check(json.loads(encode(bundle)))


def test_bundles_refuse_a_resource_without_id() -> None:
    with pytest.raises(ValueError, match="Patient without id"):
        list(bundles([{"resourceType": "Patient"}]))
