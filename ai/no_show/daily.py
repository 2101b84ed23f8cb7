"""The daily job: recalibrate on the outcomes that arrived, then write a RiskAssessment for each appointment of tomorrow.

It may run any number of times and anywhere: an assessment carries the appointment, the day and the model's version as its
identifier, and is written only when there is none like it (https://hl7.org/fhir/R4/http.html#ccreate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from ai.authorship import CANONICAL
from ai.no_show.bookings import IMPOSSIBLE, read_booking
from ai.no_show.history import History
from ai.no_show.lookup import MOST_AT_ONCE, fetch_bookings
from ai.no_show.model import load
from ai.no_show.operation import assess, write
from ai.no_show.recalibration import WINDOW, Recalibration, extend, outcomes_of, save
from ai.no_show.recalibration import load as load_recalibration
from fhir_server.operations.contract import Context, Resource

IDENTIFIER = f"{CANONICAL}/sid/no-show-prediction"
_AT_ONCE = 250
_MOST_A_DAY = 100_000


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did: the day predicted, appointments found, and those left out by reason."""

    day: date
    predicted: int
    left_out: dict[str, int]


async def predict_day(context: Context, day: date, models: Path | None = None) -> Report:
    """Write a RiskAssessment for each appointment on ``day``, as of now; those that are there already stay as they are."""
    query = [("date", day.isoformat()), ("status", "booked,pending,proposed,waitlist"), ("_sort", "date")]
    found = await context.search("Appointment", query, limit=_MOST_A_DAY)
    left_out: dict[str, int] = {}
    usable = []
    for appointment in found:
        reason = _unusable(appointment, context.now)
        if reason:
            left_out[reason] = left_out.get(reason, 0) + 1
        else:
            usable.append(appointment)
    for start in range(0, len(usable), _AT_ONCE):
        some = usable[start : start + _AT_ONCE]
        assessments = await assess(some, context, models, context.now)
        named = [_identified(assessment, day) for assessment in assessments]
        conditions = [f"identifier={IDENTIFIER}|{assessment['identifier'][0]['value']}" for assessment in named]
        new = await _unwritten(named, conditions, context)
        if new:
            await write([a for a, _ in new], context, conditions=[condition for _, condition in new])
    return Report(day, len(usable), left_out)


async def recalibrate(context: Context, models: Path) -> Recalibration:
    """Add the corrections of the days up to today (UTC) and keep them; raises ArtifactError when model or corrections are altered."""
    loaded = load(models)
    rolling = load_recalibration(models, loaded)
    today = context.now.astimezone(UTC).date()
    if rolling.corrections and rolling.corrections[-1].day >= today:
        return rolling
    bookings = await fetch_bookings(context)
    since = datetime.combine(_begin(rolling, loaded.model.training["to"]), datetime.min.time(), UTC) - WINDOW
    # What the model was trained on says nothing of how it does now.
    trained_to = loaded.model.training["to"]
    later = [
        b for b in bookings if b.known and b.day and since <= b.known <= context.now and b.day.isoformat() > trained_to
    ]
    rolling = extend(rolling, outcomes_of(loaded.model, later, History(bookings)), today)
    save(models, rolling)
    return rolling


def tomorrow(context: Context) -> date:
    """Return the day after today (UTC)."""
    return context.now.astimezone(UTC).date() + timedelta(days=1)


def _begin(rolling: Recalibration, trained_to: str) -> date:
    return rolling.corrections[-1].day if rolling.corrections else date.fromisoformat(trained_to)


def _unusable(appointment: Resource, now: datetime) -> str | None:
    booking = read_booking(appointment, {})
    if appointment.get("status") in IMPOSSIBLE:
        return "cancelled"
    if booking.patient is None:
        return "no patient"
    if booking.known is not None and booking.known < now:
        return "over"
    if booking.created is not None and booking.created > now:
        return "booked in the future"
    return None


def _identified(assessment: Resource, day: date) -> Resource:
    appointment = assessment["basis"][0]["reference"].split("/")[1]
    version = assessment["contained"][0]["version"][0]["value"]
    value = f"{appointment}.{day.isoformat()}.{version}"
    return {**assessment, "identifier": [{"system": IDENTIFIER, "value": value}]}


async def _unwritten(
    assessments: Sequence[Resource], conditions: Sequence[str], context: Context
) -> list[tuple[Resource, str]]:
    """Leave out what an earlier run wrote, so that Provenance and AuditEvent speak of new assessments only.

    The condition on each write remains: two runs at the same time can't write twice.
    """
    values = ",".join(condition.removeprefix("identifier=") for condition in conditions)
    there = await context.search("RiskAssessment", [("identifier", values)], limit=MOST_AT_ONCE)
    known = {identifier["value"] for found in there for identifier in found.get("identifier", ())}
    pairs = zip(assessments, conditions, strict=True)
    return [(a, condition) for a, condition in pairs if a["identifier"][0]["value"] not in known]
