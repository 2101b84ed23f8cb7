"""``Appointment/$predict-no-show``: features as of booking, training, fallbacks, refusals, and what is returned."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai.artifact import ArtifactError, read_artifact, write_artifact
from ai.authorship import TAG
from ai.no_show.bookings import read_booking, read_bookings
from ai.no_show.evaluation import evaluate, split_by_time
from ai.no_show.features import features_of
from ai.no_show.history import History
from ai.no_show.model import DEFAULT, NAME, Loaded, from_artifact, load
from ai.no_show.operation import answer, assess
from ai.no_show.recalibration import LEAST, Correction, Outcome, Recalibration, extend, save
from ai.no_show.recalibration import load as load_recalibration
from ai.no_show.training import MINIMUM_OUTCOMES, TooFewOutcomesError, train, train_on
from ai.no_show.vitoria import read_vitoria
from ai.read_resources import UnreadableDataError
from conformance.decode import check
from fhir_server.operations.contract import OperationError, Resource
from tests.ai.practice import NOW, MemoryContext, appointment, invoke, make_practice, refusal
from tests.shared import shared

PRACTICE = make_practice()
APPOINTMENTS = [r for r in PRACTICE if r["resourceType"] == "Appointment"]
PATIENTS = [r for r in PRACTICE if r["resourceType"] == "Patient"]
STATUSES = ("noshow", "fulfilled", "cancelled", "arrived", "booked")


def predict(context: MemoryContext, identity: str | None = None, *parameters: Resource) -> Resource:
    return asyncio.run(answer(invoke("Appointment", identity, *parameters), context))


def booked(lead: int = 14, patient: str = "p3", **changes: Any) -> Resource:
    return {**appointment("new", patient, NOW + timedelta(days=lead), lead, "booked"), **changes}


def probability(assessment: Resource) -> Decimal:
    value = assessment["prediction"][0]["probabilityDecimal"]
    assert isinstance(value, Decimal)
    return value


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(APPOINTMENTS) - 1), st.integers(0, 2**32), st.sampled_from(["flip", "open", "delete"]))
def test_nothing_at_or_after_the_booking_instant_matters(which: int, seed: int, how: str) -> None:
    """Outcomes flipped, taken back, or deleted together with what was booked only later: features and score stay the same."""
    target = APPOINTMENTS[which]
    instant = datetime.fromisoformat(target["created"])
    random = Random(seed)

    def changed(a: Resource) -> Resource:
        if datetime.fromisoformat(a["end"]) < instant:
            return a
        return {**a, "status": random.choice(STATUSES) if how == "flip" else "booked"}

    later = [
        changed(a)
        for a in APPOINTMENTS
        if a is target or how != "delete" or datetime.fromisoformat(a["created"]) < instant
    ]
    model = load().model
    before = features_of(read_booking(target, {}), History(read_bookings(APPOINTMENTS, [])), model.base_rate)
    after = features_of(read_booking(target, {}), History(read_bookings(later, [])), model.base_rate)
    assert before == after
    assert model.score([before])[0].tobytes() == model.score([after])[0].tobytes()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(APPOINTMENTS) - 1), st.integers(0, 2**32))
def test_recalibration_uses_no_outcome_of_the_day_or_later(which: int, seed: int) -> None:
    bookings = read_bookings(APPOINTMENTS, PATIENTS)
    moment = bookings[which].created
    assert moment is not None
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    random = Random(seed)
    made = [Outcome(b.known, random.gauss(-2, 1), random.random() < 0.2) for b in bookings if b.known]
    made.sort(key=lambda outcome: outcome.known)
    flipped = [o if o.known < midnight else Outcome(o.known, o.log_odds + 1, not o.missed) for o in made]
    until = NOW.date()
    first, second = (extend(Recalibration("m"), outcomes, until).at(moment) for outcomes in (made, flipped))
    assert first == second


def test_recalibration_follows_what_happens_and_leaves_earlier_days_alone() -> None:
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    random = Random(7)
    # What the model says is one too low in log-odds.
    said = [random.gauss(-2, 1) for _ in range(600)]
    happened = [random.random() < 1 / (1 + np.exp(-(z + 1))) for z in said]
    outcomes = [Outcome(start + timedelta(hours=n), said[n], bool(happened[n])) for n in range(600)]
    early = extend(Recalibration("m"), outcomes[:300], date(2026, 1, 14))
    late = extend(early, outcomes, date(2026, 1, 26))
    assert late.corrections[: len(early.corrections)] == early.corrections
    assert late.at(start) is None
    correction = late.corrections[-1]
    assert correction.day == date(2026, 1, 26)
    assert correction.offset > 0.4
    assert -1.3 < late.apply(np.array([-2.0]), [datetime(2026, 1, 26, tzinfo=UTC)])[0] < -0.7


def test_too_few_outcomes_correct_nothing(tmp_path: Path) -> None:
    few = [Outcome(NOW - timedelta(days=3), -2.0, True)] * (LEAST - 1)
    rolling = extend(Recalibration("m"), few, NOW.date())
    assert rolling.corrections == ()
    save(tmp_path, rolling)
    assert load_recalibration(tmp_path, Loaded(load().model, "m")) == rolling


def test_corrections_survive_their_file_and_belong_to_one_model(tmp_path: Path) -> None:
    rolling = Recalibration("m", (Correction(date(2026, 3, 1), 0.25, 0.9, 120),))
    save(tmp_path, rolling)
    assert load_recalibration(tmp_path, Loaded(load().model, "m")) == rolling
    assert load_recalibration(tmp_path, Loaded(load().model, "another")).corrections == ()
    path = tmp_path / "no-show.recalibration.json"
    path.write_text(path.read_text().replace("0.25", "0.75"))
    with pytest.raises(OperationError) as caught:
        asyncio.run(assess([booked()], MemoryContext(PATIENTS), tmp_path))
    assert refusal(caught.value) == (503, "exception")


def test_its_own_outcome_is_never_a_feature_of_a_visit_recorded_afterwards() -> None:
    visit = appointment("late", "p3", NOW - timedelta(days=2), -1, "noshow")
    booking = read_booking(visit, {})
    assert booking.created is not None
    assert booking.known is not None
    assert booking.created > booking.known
    assert features_of(booking, History([booking]), 0.2)["patient-outcomes"] == 0


def test_open_bookings_and_reminders_count_as_of_the_instant() -> None:
    other = appointment("other", "p3", NOW + timedelta(days=14), 20, "cancelled")
    reminded = {
        "resourceType": "Communication",
        "id": "c1",
        "status": "completed",
        "category": [{"coding": [{"code": "reminder"}]}],
        "about": [{"reference": "Appointment/new"}],
        "sent": (NOW + timedelta(days=10)).isoformat(),
    }
    target, second = read_bookings([booked(), other], [], [reminded])
    history = History([target, second])
    at_booking = features_of(target, history, 0.2)
    # It was open when this one was booked, whatever became of it.
    assert (at_booking["open-bookings"], at_booking["same-day-bookings"]) == (1, 1)
    assert at_booking["reminders"] == 0
    assert features_of(target, history, 0.2, NOW + timedelta(days=11))["reminders"] == 1


def test_a_past_booking_scores_through_the_operation_as_it_did_on_its_day() -> None:
    target = {**max(APPOINTMENTS, key=lambda a: a["created"]), "status": "booked"}
    instant = datetime.fromisoformat(target["created"])
    known = [a for a in APPOINTMENTS if datetime.fromisoformat(a["end"]) < instant]
    then = predict(MemoryContext([*PATIENTS, *known, target]), target["id"])
    today = predict(MemoryContext([*PATIENTS, *APPOINTMENTS, target]), target["id"])
    assert then == today


def test_an_outcome_known_only_after_the_booking_is_not_history() -> None:
    start = NOW - timedelta(days=30)
    running = appointment("running", "p3", start, 5, "noshow")
    during = {**booked(), "created": (start + timedelta(minutes=10)).isoformat()}
    history = History(read_bookings([running], []))
    assert history.of_patient("Patient/p3", datetime.fromisoformat(during["created"])).outcomes == 0
    assert history.of_patient("Patient/p3", start + timedelta(minutes=21)).missed == 1


def test_a_missed_history_and_a_long_wait_raise_the_risk_and_are_named() -> None:
    missed = [appointment(f"m{n}", "p3", NOW - timedelta(days=40 + n), 7, "noshow") for n in range(6)]
    kept = [appointment(f"k{n}", "p3", NOW - timedelta(days=40 + n), 7, "fulfilled") for n in range(6)]
    risky = predict(MemoryContext([*PATIENTS, *missed, booked(45)]), "new")
    safe = predict(MemoryContext([*PATIENTS, *kept, booked(0)]), "new")
    assert probability(risky) > probability(safe)
    shares = {c["code"]["coding"][0]["code"]: c["valueQuantity"]["value"] for c in risky["contained"][1]["component"]}
    assert shares["patient-rate"] > 0
    assert "earlier no-shows" in risky["prediction"][0]["rationale"].split("Raised by ")[1]


def test_contributions_add_up_to_the_difference_in_log_odds() -> None:
    model = load().model
    history = History(read_bookings(APPOINTMENTS, PATIENTS))
    rows = [features_of(b, history, model.base_rate) for b in read_bookings(APPOINTMENTS[:200], PATIENTS)]
    log_odds, shares = model.score(rows)
    constant = log_odds - shares.sum(axis=1)
    assert np.ptp(constant) < 1e-9


def test_the_assessment_says_who_made_it_and_from_what() -> None:
    context = MemoryContext([*PATIENTS, *APPOINTMENTS, booked()])
    found = predict(context, "new")
    assert found["resourceType"] == "RiskAssessment"
    assert found["status"] == "final"
    assert found["subject"] == {"reference": "Patient/p3"}
    assert found["basis"][0] == {"reference": "Appointment/new"}
    assert TAG in found["meta"]["tag"]
    device = found["contained"][0]
    assert found["performer"] == {"reference": f"#{device['id']}"}
    assert device["version"][0]["value"] == load().model.version
    assert device["identifier"][0]["value"] == read_artifact(DEFAULT, NAME)["sha256"]
    base_rate = found["contained"][1]["valueQuantity"]["value"]
    assert found["prediction"][0]["relativeRisk"] == pytest.approx(probability(found) / base_rate, abs=Decimal("0.002"))
    assert "synthetic demo practice" in found["prediction"][0]["rationale"]
    assert context.written == []


def test_store_writes_assessments_and_their_provenance_in_one_transaction() -> None:
    context = MemoryContext([*PATIENTS, *APPOINTMENTS, booked()])
    found = predict(context, "new", {"name": "store", "valueBoolean": True})
    (bundle,) = context.written
    assessment, provenance, audit = bundle["entry"]
    assert bundle["type"] == "transaction"
    assert provenance["resource"]["target"] == [{"reference": assessment["fullUrl"]}]
    assert provenance["resource"]["contained"][0]["version"][0]["value"] == load().model.version
    assert provenance["resource"]["entity"][0]["what"] == {"reference": "Appointment/new"}
    assert found["id"]
    assert audit["resource"]["resourceType"] == "AuditEvent"
    assert audit["resource"]["agent"][0]["altId"] == context.subject
    assert audit["resource"]["entity"] == [{"what": {"reference": assessment["fullUrl"]}}]
    check(audit["resource"])


def test_a_read_predicts_but_stores_nothing() -> None:
    context = MemoryContext([*PATIENTS, booked()])
    store = {"name": "store", "valueBoolean": True}
    assert asyncio.run(answer(invoke("Appointment", "new", read_only=True), context)) == predict(context, "new")
    with pytest.raises(OperationError) as caught:
        asyncio.run(answer(invoke("Appointment", "new", store, read_only=True), context))
    assert refusal(caught.value) == (405, "not-supported")
    assert context.written == []


@pytest.mark.parametrize(
    ("day", "years"),
    [("2026-02-28", 41), ("2026-03-01", 42), ("2026-11-24", 42), ("2028-02-28", 43), ("2028-02-29", 44)],
)
def test_an_age_is_said_in_completed_years(day: str, years: int) -> None:
    leapling = {"resourceType": "Patient", "id": "p3", "birthDate": "1984-02-29"}
    visit = booked(created=f"{day}T08:00:00+00:00", start=f"{day}T09:00:00+00:00", end=f"{day}T09:20:00+00:00")
    found = predict(MemoryContext([leapling, visit]), "new")
    said = {c["code"]["coding"][0]["code"]: c["code"]["text"] for c in found["contained"][1]["component"]}
    assert said["age"] == f"patient's age: {years} years"


def test_without_any_outcome_the_patients_rate_is_said_to_be_the_base_rate() -> None:
    found = predict(MemoryContext([*PATIENTS, booked()]), "new")
    said = {c["code"]["coding"][0]["code"]: c["code"]["text"] for c in found["contained"][1]["component"]}
    assert "none on record, taken as the base rate" in said["patient-rate"]
    assert "none on record, taken as the base rate" in said["patient-ahead-rate"]
    assert "No earlier outcome of this patient" in found["prediction"][0]["rationale"]
    kept = [appointment(f"k{n}", "p3", NOW - timedelta(days=40 + n), 7, "fulfilled") for n in range(6)]
    assert "none on record" not in str(predict(MemoryContext([*PATIENTS, *kept, booked()]), "new"))


def test_many_at_once_score_as_one_by_one_in_the_order_asked() -> None:
    context = MemoryContext([*PATIENTS, *APPOINTMENTS])
    ids = [a["id"] for a in APPOINTMENTS[40:100]]
    parameters = [{"name": "appointment", "valueString": f"Appointment/{i}" if n % 2 else i} for n, i in enumerate(ids)]
    bundle = predict(context, None, *parameters)
    assert bundle["type"] == "collection"
    *together, provenance = [entry["resource"] for entry in bundle["entry"]]
    assert [t["reference"] for t in provenance["target"]] == [entry["fullUrl"] for entry in bundle["entry"][:-1]]
    assert [r["basis"][0]["reference"] for r in together] == [f"Appointment/{i}" for i in ids]
    alone = [predict(context, i) for i in ids[:5]]
    assert [r["prediction"] for r in together[:5]] == [r["prediction"] for r in alone]
    assert alone[0]["contained"][-1]["target"] == [{"reference": "#"}]


def test_an_appointment_that_is_not_stored_can_be_scored() -> None:
    proposed = {key: value for key, value in booked().items() if key != "id"}
    bundle = predict(MemoryContext(PATIENTS), None, {"name": "resource", "resource": proposed})
    assert 0 < probability(bundle["entry"][0]["resource"]) < 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"participant": booked(patient="stranger")["participant"]}, "Age unknown"),
        ({"created": None}, "lead time not used"),
        ({"start": None, "end": None}, "lead time not used"),
        ({"created": "not a date"}, "lead time not used"),
        ({"created": "2026"}, "lead time not used"),
        ({"created": (NOW + timedelta(days=40)).isoformat()}, "booked on the same day"),
        ({}, "No earlier outcome"),
    ],
)
def test_what_is_unknown_is_said_and_bridged(change: dict[str, Any], said: str) -> None:
    resource = {key: value for key, value in {**booked(), **change}.items() if value is not None}
    found = predict(MemoryContext([*PATIENTS, resource]), "new")
    assert said in found["prediction"][0]["rationale"]
    assert 0 < probability(found) < 1


@pytest.mark.parametrize(
    ("identity", "parameters", "expected"),
    [
        ("nobody", [], (404, "not-found")),
        ("gone", [], (422, "business-rule")),
        ("empty", [], (422, "business-rule")),
        (None, [], (400, "required")),
        (None, [{"name": "appointment", "valueString": "nobody"}], (404, "not-found")),
        (None, [{"name": "appointment", "valueString": "Patient/p3"}], (400, "value")),
        (None, [{"name": "appointment"}], (400, "required")),
        (None, [{"name": "resource", "resource": {"resourceType": "Patient", "id": "p3"}}], (400, "value")),
        (None, [{"name": "appointment", "valueString": "new"}] * 1001, (400, "too-costly")),
        ("new", [{"name": "store", "valueString": "maybe"}], (400, "value")),
        ("new", [{"name": "as-of", "valueInstant": "yesterday"}], (400, "value")),
        ("new", [{"name": "as-of", "valueInstant": "2020-01-01T00:00:00Z"}], (422, "business-rule")),
        ("new", [{"name": "as-of", "valueInstant": "2030-01-01T00:00:00Z"}], (422, "business-rule")),
        (None, [{"name": "search", "valueString": "nothing"}], (400, "value")),
        (None, [{"name": "search", "valueString": "_count=5"}], (400, "not-supported")),
        (
            None,
            [{"name": "search", "valueString": "_id=a"}, {"name": "search", "valueString": "_id=b"}],
            (400, "value"),
        ),
    ],
)
def test_the_impossible_is_refused(identity: str | None, parameters: list[Resource], expected: tuple[int, str]) -> None:
    gone = {**booked(), "id": "gone", "status": "cancelled"}
    empty = {**booked(), "id": "empty", "participant": []}
    with pytest.raises(OperationError) as caught:
        predict(MemoryContext([*PATIENTS, booked(), gone, empty]), identity, *parameters)
    assert refusal(caught.value) == expected


def test_training_beats_the_patient_rate_and_is_reproducible() -> None:
    bookings = read_bookings(APPOINTMENTS, PATIENTS)
    earlier, later = split_by_time(bookings)
    assert max(b.day for b in earlier if b.day) < min(b.day for b in later if b.day)
    figures = evaluate(earlier, later, "time").figures
    assert figures["model"]["AUC"].value > figures["patient rate only (shrunk)"]["AUC"].value
    assert figures["model"]["Brier"].value < figures["base rate only"]["Brier"].value
    assert train_on(earlier, "x").to_artifact() == train_on(list(reversed(earlier)), "x").to_artifact()


def test_training_refuses_too_few_outcomes() -> None:
    with pytest.raises(TooFewOutcomesError, match=str(MINIMUM_OUTCOMES)):
        train(APPOINTMENTS[: MINIMUM_OUTCOMES - 1], PATIENTS, "too few")


def test_a_model_survives_its_file_and_an_altered_file_is_noticed(tmp_path: Path) -> None:
    model = train(APPOINTMENTS, PATIENTS, "a test")
    path = tmp_path / "no-show.json"
    write_artifact(path, model.to_artifact())
    assert from_artifact(read_artifact(path, NAME)).to_artifact() == model.to_artifact()
    assert load(tmp_path).model.to_artifact() == model.to_artifact()
    path.write_text(path.read_text().replace('"base_rate": 0.', '"base_rate": 0.1'))
    with pytest.raises(ArtifactError, match="sha256"):
        load(tmp_path)
    with pytest.raises(OperationError) as caught:
        asyncio.run(assess([booked()], MemoryContext(PATIENTS), tmp_path))
    assert refusal(caught.value) == (503, "exception")


def test_the_public_file_reads_and_a_broken_one_names_its_line(tmp_path: Path) -> None:
    bookings = read_vitoria(shared("ai", "noshow", "noshow_before_2016-05-25.csv.gz"))
    assert len(bookings) > 70_000
    assert all(b.created and b.known and b.known > b.created - timedelta(days=30) for b in bookings)
    broken = tmp_path / "broken.csv"
    broken.write_text(
        "PatientId,AppointmentID,Gender,ScheduledDay,AppointmentDay,Age,Neighbourhood,No-show\n"
        "1,2,F,yesterday,today,x,HERE,No\n"
    )
    with pytest.raises(UnreadableDataError, match="line 2"):
        read_vitoria(broken)
