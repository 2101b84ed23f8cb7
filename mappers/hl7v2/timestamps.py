"""Dates and times: HL7 DT, TM, TS and DTM to FHIR, keeping the precision given.

HL7 v2.9 chapter 2A.3.22 (DTM), https://www.hl7.eu/HL7v2x/v29/std29/ch02a.html, and https://hl7.org/fhir/R4/datatypes.html#dateTime.
FHIR wants a zone with every time of day: a value's own zone comes first, then that of MSH-7, then the configured one
(UTC).
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache

_TIMESTAMP = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)"
    r"(?:(?P<second>\d\d)(?P<fraction>\.\d{1,9})?)?)?)?)?)?(?P<zone>[+-]\d{4})?$",
    re.ASCII,
)
_TIME = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(\.\d{1,9})?)?)?(?:[+-]\d{4})?$", re.ASCII)
_ZONE = re.compile(r"[+-]\d{4}$", re.ASCII)
_MAX_HOUR, _MAX_MINUTE = 23, 59
_MAX_OFFSET = timedelta(hours=14)


def fhir_zone(zone: str) -> str | None:
    """``+0100`` → ``+01:00``; None when it is no offset FHIR allows."""
    if not _ZONE.match(zone):
        return None
    hours, minutes = int(zone[1:3]), int(zone[3:])
    if minutes > _MAX_MINUTE or timedelta(hours=hours, minutes=minutes) > _MAX_OFFSET:
        return None
    return f"{zone[:3]}:{zone[3:]}"


def zone_of(value: str) -> str | None:
    """Return the zone a timestamp carries, as FHIR writes it, or None."""
    return fhir_zone(value[-5:])


@lru_cache(maxsize=4096)
def date_time(value: str, zone: str) -> str | None:
    """Return a FHIR dateTime, or None when it isn't one. ``zone`` (``+01:00``) serves times that carry none.

    Precision stays as given, except that FHIR knows no time without seconds: those are filled with zeros.
    """
    match = _TIMESTAMP.match(value)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, own = match.groups()
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return None
    text = "-".join(p for p in (year, month, day) if p)
    if hour is None:
        return text
    minute, second = minute or "00", second or "00"
    if int(hour) > _MAX_HOUR or int(minute) > _MAX_MINUTE or int(second) > _MAX_MINUTE:
        return None
    offset = fhir_zone(own) if own else zone
    return None if offset is None else f"{text}T{hour}:{minute}:{second}{fraction or ''}{offset}"


def is_timestamp(value: str) -> bool:
    """Whether a value is a date or time of any precision."""
    return date_time(value, "+00:00") is not None


def day_of(value: str) -> str | None:
    """Return the date part of a timestamp as FHIR writes it (``2020``, ``2020-05``, ``2020-05-17``), or None."""
    converted = date_time(value, "+00:00")
    return None if converted is None else converted[:10]


def instant(value: str, zone: str) -> str | None:
    """Return a FHIR instant, or None when the value has no time of day."""
    converted = date_time(value, zone)
    return converted if converted and "T" in converted else None


def time(value: str) -> str | None:
    """Return a FHIR time (zone dropped: FHIR's time has none), or None."""
    match = _TIME.match(value)
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    minute, second = minute or "00", second or "00"
    if int(hour) > _MAX_HOUR or int(minute) > _MAX_MINUTE or int(second) > _MAX_MINUTE:
        return None
    return f"{hour}:{minute}:{second}{fraction or ''}"
