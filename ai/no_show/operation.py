"""``Appointment/$predict-no-show``: on an instance, on ids, on what a search finds, and on Appointments that are not stored yet."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ai.artifact import ArtifactError
from ai.authorship import audit_event_of, device_of, provenance_of
from ai.invocation import flag_of, read_required, reference_of, values_of
from ai.metrics import sigmoid
from ai.no_show.bookings import IMPOSSIBLE, Booking, read_instant
from ai.no_show.lookup import MOST_AT_ONCE, fetch_history, read_all, read_with_patients, search_appointments
from ai.no_show.model import NAME, Loaded, load
from ai.no_show.recalibration import Recalibration
from ai.no_show.recalibration import load as load_recalibration
from ai.no_show.risk_assessment import risk_assessment
from fhir_server.operations.contract import Context, Invocation, OperationError, Resource

CODE = "predict-no-show"


async def answer(invocation: Invocation, context: Context, models: Path | None = None) -> Resource:
    """Return a RiskAssessment (instance) or a collection Bundle of them (type); see the OperationDefinition.

    Refuses with 400 (no or too many appointments, another type), 404 (unknown id), 405 (store=true
    by GET), 422 (no patient, cancelled, an as-of outside the booking's life).
    """
    store = flag_of(invocation, "store")
    if store and invocation.read_only:
        raise OperationError(405, "not-supported", "store=true writes, so it needs POST")
    as_of = _as_of(invocation)
    appointments = await _appointments(invocation, context)
    if store and any("id" not in appointment for appointment in appointments):
        raise OperationError(422, "business-rule", "store=true needs Appointments that are on this server")
    assessments = await assess(appointments, context, models, as_of)
    if store and assessments:
        assessments = await write(assessments, context)
    if invocation.id is not None:
        return assessments[0] if store else _with_provenance(assessments[0], context)
    return _collection(assessments, context)


async def assess(
    appointments: Sequence[Resource], context: Context, models: Path | None = None, as_of: datetime | None = None
) -> list[Resource]:
    """Score Appointments as of an instant, by default that of each booking, and return a RiskAssessment each, in order."""
    for appointment in appointments:
        _refuse_impossible(appointment)
    if not appointments:
        return []
    loaded, rolling = _model(models)
    model = loaded.model
    bookings = await read_with_patients(appointments, context)
    instants = [_instant(booking, as_of, context) for booking in bookings]
    past = await fetch_history(bookings, context)
    rows = [model.features(booking, past, moment) for booking, moment in zip(bookings, instants, strict=True)]
    log_odds, contributions = model.score(rows)
    probabilities = sigmoid(rolling.apply(log_odds, instants))
    device = device_of(NAME, model.version, loaded.sha256)
    found = zip(bookings, rows, probabilities, contributions, instants, strict=True)
    return [
        risk_assessment(
            booking,
            row,
            float(p),
            [float(c) for c in shares],
            model=model,
            correction=rolling.at(moment),
            device=device,
            now=context.now,
        )
        for booking, row, p, shares, moment in found
    ]


def _model(models: Path | None) -> tuple[Loaded, Recalibration]:
    try:
        loaded = load(models)
        return loaded, load_recalibration(models, loaded)
    except ArtifactError as error:
        raise OperationError(503, "exception", f"the no-show model cannot be used: {error}") from error


def _as_of(invocation: Invocation) -> datetime | None:
    values = values_of(invocation, "as-of")
    if not values:
        return None
    moment, _ = read_instant(values[0])
    if len(values) > 1 or moment is None:
        raise OperationError(
            400, "value", "parameter as-of must be one instant with its offset", "Parameters.parameter.value"
        )
    return moment


async def _appointments(invocation: Invocation, context: Context) -> list[Resource]:
    if invocation.id is not None:
        return [await read_required(context, f"Appointment/{invocation.id}")]
    references = [reference_of(value, "Appointment") for value in values_of(invocation, "appointment")]
    given = values_of(invocation, "resource")
    queries = values_of(invocation, "search")
    if not references and not given and not queries:
        raise OperationError(
            400, "required", "name appointments by parameter appointment or search, or send them as resource"
        )
    if len(queries) > 1:
        raise OperationError(400, "value", "one search at a time")
    if len(references) + len(given) > MOST_AT_ONCE:
        raise OperationError(400, "too-costly", f"at most {MOST_AT_ONCE} appointments at once")
    found = await read_all("Appointment", references, context)
    for reference in references:
        if reference not in found:
            raise OperationError(404, "not-found", f"{reference} is not known")
    matches = [
        appointment
        for query in queries
        for appointment in await search_appointments(str(query), context)
        # What a search finds was not named one by one: what can't be missed is passed over.
        if appointment.get("status") not in IMPOSSIBLE
    ]
    chosen = [*(found[reference] for reference in references), *given, *matches]
    if len(chosen) > MOST_AT_ONCE:
        raise OperationError(400, "too-costly", f"at most {MOST_AT_ONCE} appointments at once")
    return chosen


def _refuse_impossible(appointment: Resource) -> None:
    if not isinstance(appointment, dict) or appointment.get("resourceType") != "Appointment":
        raise OperationError(400, "value", "only an Appointment can be missed; this is something else")
    name = f"Appointment/{appointment.get('id', '(not stored)')}"
    if appointment.get("status") in IMPOSSIBLE:
        raise OperationError(
            422, "business-rule", f"{name} is {appointment['status']}: it can't be missed", "Appointment.status"
        )


def _instant(booking: Booking, as_of: datetime | None, context: Context) -> datetime:
    """Return the instant to which a prediction refers.

    Without a booking instant, history counts up to now or to the end of the visit, whichever is earlier. That only bounds
    the history: the lead time stays unknown.
    """
    if as_of is None:
        return booking.created or min(context.now, booking.known or context.now)
    if booking.created is not None and as_of < booking.created:
        raise OperationError(422, "business-rule", f"{booking.reference} was booked only after the instant as-of")
    if booking.known is not None and as_of > booking.known:
        raise OperationError(422, "business-rule", f"{booking.reference} was over before the instant as-of")
    return as_of


def _with_provenance(assessment: Resource, context: Context) -> Resource:
    """Contain the Provenance of an assessment that isn't stored."""
    device = assessment["contained"][0]
    provenance = {**provenance_of(["#"], _sources([assessment]), device, context.now), "id": "provenance"}
    # A contained resource contains none itself: the model is contained beside it.
    del provenance["contained"]
    return {**assessment, "contained": [*assessment["contained"], provenance]}


def _collection(assessments: Sequence[Resource], context: Context) -> Resource:
    """Return the assessments, and one Provenance for all of them when they aren't stored."""
    urls = [f"urn:uuid:{uuid.uuid4()}" for _ in assessments]
    entries = [{"fullUrl": url, "resource": assessment} for url, assessment in zip(urls, assessments, strict=True)]
    if assessments and "id" not in assessments[0]:
        provenance = provenance_of(urls, _sources(assessments), assessments[0]["contained"][0], context.now)
        entries.append({"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": provenance})
    bundle: Resource = {"resourceType": "Bundle", "type": "collection"}
    return {**bundle, "entry": entries} if entries else bundle


async def write(assessments: Sequence[Resource], context: Context, *, conditions: Sequence[str] = ()) -> list[Resource]:
    """Write RiskAssessments, one Provenance and one AuditEvent for all of them; return the first with the ids they got.

    ``conditions`` are queries, one an assessment: where something matches, it is kept and nothing is written in its place.
    """
    urls = [f"urn:uuid:{uuid.uuid4()}" for _ in assessments]
    device = assessments[0]["contained"][0]
    provenance = provenance_of(urls, _sources(assessments), device, context.now)
    entries = [_post(url, assessment) for url, assessment in zip(urls, assessments, strict=True)]
    for entry, condition in zip(entries, conditions, strict=False):
        entry["request"]["ifNoneExist"] = condition
    audit = audit_event_of(CODE, urls, device, context)
    entries += [_post(f"urn:uuid:{uuid.uuid4()}", resource) for resource in (provenance, audit)]
    response = await context.write({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    locations = [entry["response"]["location"].split("/_history/")[0] for entry in response["entry"]]
    return [
        {"resourceType": "RiskAssessment", "id": location.rsplit("/", 1)[-1], **assessment}
        for location, assessment in zip(locations, assessments, strict=False)
    ]


def _sources(assessments: Sequence[Resource]) -> list[str]:
    """Return the Appointments that assessments are of, as far as they are stored."""
    references = (assessment["basis"][0]["reference"] for assessment in assessments)
    return [reference for reference in references if not reference.startswith("#")]


def _post(url: str, resource: Resource) -> Resource:
    return {"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
