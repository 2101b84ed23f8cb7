"""``Appointment/$predict-no-show`` on an instance, on a list of ids, and on Appointments that are not stored yet."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from ai.artifact import ArtifactError, content_hash
from ai.authorship import device_of, provenance_of
from ai.invocation import flag_of, read_required, reference_of, values_of
from ai.no_show.bookings import IMPOSSIBLE, Booking, read_birth_dates, read_booking
from ai.no_show.features import features_of
from ai.no_show.history import PROVIDER_WINDOW, History
from ai.no_show.model import Model, load
from ai.no_show.risk_assessment import risk_assessment
from fhir_server.operations.contract import Context, Invocation, OperationError, Resource

MOST_AT_ONCE = 1000
_REFERENCES_PER_SEARCH = 50
_MOST_OF_HISTORY = 20_000


async def answer(invocation: Invocation, context: Context, models: Path | None = None) -> Resource:
    """Return a RiskAssessment (instance) or a collection Bundle of them (type); see the OperationDefinition.

    Refuses with 400 (no or too many appointments, another type), 404 (unknown id), 405 (store=true
    by GET), 422 (no patient, cancelled).
    """
    store = flag_of(invocation, "store")
    if store and invocation.read_only:
        raise OperationError(405, "not-supported", "store=true writes, so it needs POST")
    appointments = await _appointments(invocation, context)
    if store and any("id" not in appointment for appointment in appointments):
        raise OperationError(422, "business-rule", "store=true needs Appointments that are on this server")
    assessments = await assess(appointments, context, models)
    if store:
        assessments = await _write(assessments, context)
    if invocation.id is not None:
        return assessments[0]
    return {"resourceType": "Bundle", "type": "collection", "entry": [_entry(a) for a in assessments]}


async def assess(appointments: Sequence[Resource], context: Context, models: Path | None = None) -> list[Resource]:
    """Score Appointments as of their booking instants and return a RiskAssessment each, in order."""
    for appointment in appointments:
        _refuse_impossible(appointment)
    try:
        model = load(models)
    except ArtifactError as error:
        raise OperationError(503, "exception", f"the no-show model cannot be used: {error}") from error
    bookings = await _bookings(appointments, context)
    past = await _history(bookings, context)
    rows = [features_of(booking, past, model.prior_rate) for booking in bookings]
    probabilities, contributions = model.score(rows)
    device = _device(model)
    return [
        risk_assessment(booking, row, float(p), [float(c) for c in shares], model=model, device=device, now=context.now)
        for booking, row, p, shares in zip(bookings, rows, probabilities, contributions, strict=True)
    ]


async def _appointments(invocation: Invocation, context: Context) -> list[Resource]:
    if invocation.id is not None:
        return [await read_required(context, f"Appointment/{invocation.id}")]
    references = [reference_of(value, "Appointment") for value in values_of(invocation, "appointment")]
    given = values_of(invocation, "resource")
    if not references and not given:
        raise OperationError(400, "required", "name appointments by parameter appointment, or send them as resource")
    if len(references) + len(given) > MOST_AT_ONCE:
        raise OperationError(400, "too-costly", f"at most {MOST_AT_ONCE} appointments at once")
    found = await _read_all("Appointment", references, context)
    for reference in references:
        if reference not in found:
            raise OperationError(404, "not-found", f"{reference} is not known")
    return [found[reference] for reference in references] + given


def _refuse_impossible(appointment: Resource) -> None:
    if not isinstance(appointment, dict) or appointment.get("resourceType") != "Appointment":
        raise OperationError(400, "value", "only an Appointment can be missed; this is something else")
    name = f"Appointment/{appointment.get('id', '(not stored)')}"
    if appointment.get("status") in IMPOSSIBLE:
        raise OperationError(
            422, "business-rule", f"{name} is {appointment['status']}: it can't be missed", "Appointment.status"
        )


async def _bookings(appointments: Sequence[Resource], context: Context) -> list[Booking]:
    anonymous = [read_booking(appointment, {}) for appointment in appointments]
    for booking in anonymous:
        if booking.patient is None:
            raise OperationError(
                422, "business-rule", f"{booking.reference} has no patient", "Appointment.participant.actor"
            )
    references = sorted({booking.patient for booking in anonymous if booking.patient})
    patients = await _read_all("Patient", references, context)
    born: dict[str, date] = read_birth_dates(patients.values())
    read = (read_booking(appointment, born) for appointment in appointments)
    return [booking if booking.created else replace(booking, created=_stand_in(booking, context)) for booking in read]


def _stand_in(booking: Booking, context: Context) -> datetime:
    """Without a booking instant, history counts up to now or to the appointment's own day, whichever is earlier.

    It only bounds the history: the lead time stays unknown.
    """
    if booking.day is None:
        return context.now
    return min(context.now, datetime(booking.day.year, booking.day.month, booking.day.day, tzinfo=UTC))


async def _history(bookings: Sequence[Booking], context: Context) -> History:
    """Fetch the outcomes before the booking instants: all of each patient, the recent ones of each provider."""
    instants = [booking.created for booking in bookings if booking.created]
    latest = f"lt{_utc(max(instants))}"
    earliest = f"ge{_utc(min(instants) - 2 * PROVIDER_WINDOW)}"
    found: dict[str, Resource] = {}
    patients = sorted({booking.patient for booking in bookings if booking.patient})
    providers = sorted({booking.provider for booking in bookings if booking.provider})
    for some in _batches(patients):
        for appointment in await _search(context, [("patient", ",".join(some)), ("date", latest)]):
            found[appointment["id"]] = appointment
    for some in _batches(providers):
        for appointment in await _search(context, [("actor", ",".join(some)), ("date", latest), ("date", earliest)]):
            found[appointment["id"]] = appointment
    return History(read_booking(appointment, {}) for appointment in found.values())


async def _search(context: Context, parameters: list[tuple[str, str]]) -> list[Resource]:
    return await context.search("Appointment", [*parameters, ("_sort", "-date")], limit=_MOST_OF_HISTORY)


async def _read_all(resource_type: str, references: Sequence[str], context: Context) -> dict[str, Resource]:
    """Return reference → resource of those that exist."""
    found = {}
    for some in _batches(sorted(set(references))):
        ids = ",".join(reference.split("/")[1] for reference in some)
        for resource in await context.search(resource_type, [("_id", ids)], limit=len(some)):
            found[f"{resource_type}/{resource['id']}"] = resource
    return found


async def _write(assessments: Sequence[Resource], context: Context) -> list[Resource]:
    """Write RiskAssessments and one Provenance for all of them; return them with the ids they got."""
    urls = [f"urn:uuid:{uuid.uuid4()}" for _ in assessments]
    sources = [assessment["basis"][0]["reference"] for assessment in assessments]
    provenance = provenance_of(urls, sources, assessments[0]["contained"][0], context.now)
    entries = [_post(url, assessment) for url, assessment in zip(urls, assessments, strict=True)]
    entries.append(_post(f"urn:uuid:{uuid.uuid4()}", provenance))
    response = await context.write({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    locations = [entry["response"]["location"].split("/_history/")[0] for entry in response["entry"]]
    return [
        {"resourceType": "RiskAssessment", "id": location.rsplit("/", 1)[-1], **assessment}
        for location, assessment in zip(locations, assessments, strict=False)
    ]


def _post(url: str, resource: Resource) -> Resource:
    return {"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}


def _entry(assessment: Resource) -> Resource:
    return {"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": assessment}


def _device(model: Model) -> Resource:
    return device_of("no-show", model.version, content_hash(model.to_artifact()))


def _batches(references: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(references), _REFERENCES_PER_SEARCH):
        yield references[start : start + _REFERENCES_PER_SEARCH]


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
