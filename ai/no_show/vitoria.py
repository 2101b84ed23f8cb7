"""The public appointment file of Vitoria (Brazil), 2016, CSV: for evaluation only, its licence is CC BY-NC-SA.

It has the appointment's day but no time of day, provider or visit type; the neighbourhood is where the visit takes place.
``SMS_received`` is not known at booking and is not read, nor are welfare and diagnoses, which an Appointment doesn't
tell. An outcome counts as known when its day is over.
"""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from pathlib import Path

from ai.no_show.bookings import Booking
from ai.read_resources import UnreadableDataError, read_text

_COLUMNS = {"PatientId", "AppointmentID", "Gender", "ScheduledDay", "AppointmentDay", "Age", "Neighbourhood", "No-show"}
_GENDERS = {"F": "female", "M": "male"}
_OLDEST = 120


def read_vitoria(path: Path) -> list[Booking]:
    """Read the CSV (plain or gzipped); raises UnreadableDataError naming the line."""
    rows = csv.DictReader(io.StringIO(read_text(path)))
    missing = _COLUMNS - set(rows.fieldnames or ())
    if missing:
        raise UnreadableDataError(f"{path}: no column {', '.join(sorted(missing))}")
    try:
        return [_booking(row) for row in rows]
    except ValueError as error:
        raise UnreadableDataError(f"{path}, line {rows.line_num}: {error}") from error


def _booking(row: dict[str, str]) -> Booking:
    created = datetime.fromisoformat(row["ScheduledDay"])
    day = datetime.fromisoformat(row["AppointmentDay"])
    age = int(row["Age"])
    return Booking(
        reference=f"Appointment/{row['AppointmentID']}",
        patient=f"Patient/{row['PatientId'].removesuffix('.0')}",
        created=created,
        created_day=created.date(),
        day=day.date(),
        hour=None,
        known=day + timedelta(days=1),
        age=float(age) if 0 <= age <= _OLDEST else None,
        years=age if 0 <= age <= _OLDEST else None,
        visit_type=None,
        minutes=None,
        provider=None,
        no_show=row["No-show"] == "Yes",
        gender=_GENDERS.get(row["Gender"]),
        location=f"Location/{row['Neighbourhood']}",
        booked_hour=created.hour + created.minute / 60,
    )
