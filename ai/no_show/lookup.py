"""What a prediction needs to know, asked of the server by searches: the appointments, their patients, what came before.

https://hl7.org/fhir/R4/appointment.html#search. The caller's grants apply: what a caller may not see is not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl

from ai.no_show.bookings import Booking, read_booking, read_people, read_reminders
from ai.no_show.history import History
from fhir_server.operations.contract import Context, OperationError, Resource

MOST_AT_ONCE = 1000
_VALUES_PER_SEARCH = 250
# Few enough that their appointments usually are one page: each further page looks all of them up again.
_PATIENTS_PER_SEARCH = 30
_MOST_OF_HISTORY = 20_000
_SHAPES = frozenset(
    {"_count", "_elements", "_summary", "_total", "_include", "_revinclude", "_sort", "_cursor", "_format"}
)


async def read_all(resource_type: str, references: Sequence[str], context: Context) -> dict[str, Resource]:
    """Return reference → resource of those that exist and that the caller may see."""
    found = {}
    for some in _batches(sorted(set(references))):
        ids = ",".join(reference.split("/")[1] for reference in some)
        for resource in await context.search(resource_type, [("_id", ids)], limit=len(some)):
            found[f"{resource_type}/{resource['id']}"] = resource
    return found


async def search_appointments(query: str, context: Context) -> list[Resource]:
    """Return the Appointments that a query string finds, earliest first.

    Refuses with 400 what isn't a query, more than ``MOST_AT_ONCE``, and parameters that shape a result rather than choose.
    """
    try:
        parameters = parse_qsl(query.removeprefix("Appointment?"), keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise OperationError(400, "value", f"{query!r} is not a search like date=2026-04-01&status=booked") from error
    for name, _ in parameters:
        if name.split(":")[0] in _SHAPES:
            raise OperationError(400, "not-supported", f"{name} has no meaning in the search of this operation")
    found = await context.search("Appointment", [*parameters, ("_sort", "date")], limit=MOST_AT_ONCE + 1)
    if len(found) > MOST_AT_ONCE:
        raise OperationError(400, "too-costly", f"the search finds more than {MOST_AT_ONCE} appointments: narrow it")
    return found


async def read_with_patients(appointments: Sequence[Resource], context: Context) -> list[Booking]:
    """Read Appointments with their Patients and reminders; 422 for one without a patient."""
    anonymous = [read_booking(appointment, {}) for appointment in appointments]
    for booking in anonymous:
        if booking.patient is None:
            raise OperationError(
                422, "business-rule", f"{booking.reference} has no patient", "Appointment.participant.actor"
            )
    references = sorted({booking.patient for booking in anonymous if booking.patient})
    people = read_people((await read_all("Patient", references, context)).values())
    reminders = read_reminders(await _communications(references, context))
    return [read_booking(appointment, people, reminders) for appointment in appointments]


async def fetch_history(bookings: Sequence[Booking], context: Context) -> History:
    """Fetch all appointments of the patients; what came before an instant the History tells apart."""
    found: list[Resource] = []
    patients = sorted({booking.patient for booking in bookings if booking.patient})
    for some in _batches(patients, _PATIENTS_PER_SEARCH):
        found += await context.search("Appointment", [("patient", ",".join(some))], limit=_MOST_OF_HISTORY)
    return History(read_booking(appointment, {}) for appointment in found)


async def fetch_bookings(context: Context, *, most: int = 1_000_000) -> list[Booking]:
    """Read every Appointment there is, for training and evaluation."""
    appointments = await context.search("Appointment", [("_sort", "date")], limit=most)
    patients = await context.search("Patient", [], limit=most)
    people = read_people(patients)
    reminders = read_reminders(await context.search("Communication", [("category", "reminder")], limit=most))
    return [read_booking(appointment, people, reminders) for appointment in appointments]


async def _communications(patients: Sequence[str], context: Context) -> list[Resource]:
    found: list[Resource] = []
    for some in _batches(patients):
        asked = [("patient", ",".join(some)), ("category", "reminder")]
        found += await context.search("Communication", asked, limit=_MOST_OF_HISTORY)
    return found


def _batches(values: Sequence[str], size: int = _VALUES_PER_SEARCH) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
