"""Dates, date-times and times of day with partial precision, https://hl7.org/fhirpath/N1/#date.

Two values of different precision compare to None ("unknown", an empty result) unless a component they share decides.
A date-time without an offset is read as UTC, the offset of this engine's own clock.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Literal

from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.quantity import Quantity

TemporalKind = Literal["Date", "DateTime", "Time"]
Part = int | Decimal

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?:(T)(?:(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?(Z|[+-]\d\d:\d\d)?)?)?"
)
_TIME = re.compile(r"T?(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?")
_FIELDS = ("year", "month", "day", "hour", "minute", "second")
_LOWEST = (1, 1, 1, 0, 0, 0)
_HIGHEST_OFFSET = 14 * 60
_DAY, _HOUR, _MINUTE = 86400, 3600, 60
# seconds in a calendar unit, and in the units a partial value can be rounded to
_SECONDS = {"week": 7 * _DAY, "day": _DAY, "hour": _HOUR, "minute": _MINUTE, "second": 1}
_MONTHS = {"year": 12, "month": 1}


@dataclass(frozen=True, slots=True)
class Temporal:
    """A point in time known to some precision.

    ``parts`` holds year, month, day, hour, minute, second as far as known (a time starts at the hour); seconds are an
    int, or a Decimal where a fraction was written. ``offset`` is in minutes east of UTC, or None.
    """

    kind: TemporalKind
    parts: tuple[Part, ...]
    offset: int | None = None

    @classmethod
    def from_literal(cls, text: str) -> Temporal:
        """Read ``@2020-01``, ``@2020T`` or ``@T10:00``; raises ValueError when there is no such date or time."""
        return cls.from_text(text[1:], "Time" if text.startswith("@T") else None)

    @classmethod
    def from_text(cls, text: str, kind: TemporalKind | None = None) -> Temporal:
        """Read a FHIR date, dateTime, instant or time; ``kind`` None decides by the text. Raises ValueError."""
        if kind == "Time":
            match = _TIME.fullmatch(text)
            if match is None:
                raise ValueError(f"{text!r} is not a time")
            return cls("Time", _checked(_parts(match.groups(), 3), 3, text))
        match = _DATE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a date or time")
        year, month, day, t, hour, minute, second, zone = match.groups()
        if hour is not None and day is None:
            raise ValueError(f"{text!r} has a time but no day")
        parts = _checked(_parts((year, month, day, hour, minute, second), 0), 0, text)
        return cls(kind or ("DateTime" if t else "Date"), parts, _offset(zone, text))

    @classmethod
    def now(cls) -> Temporal:
        """Return the present moment, in UTC and to the millisecond."""
        at = datetime.now(UTC)
        seconds = Decimal(at.second) + Decimal(at.microsecond // 1000).scaleb(-3)
        return cls("DateTime", (at.year, at.month, at.day, at.hour, at.minute, seconds), 0)

    def __str__(self) -> str:
        """Return the value as FHIR writes it."""
        texts = [_text(part, 4 if self.kind != "Time" and i == 0 else 2) for i, part in enumerate(self.parts)]
        if self.kind == "Time":
            return ":".join(texts)
        date, time = "-".join(texts[:3]), ":".join(texts[3:])
        if not time:
            return date
        if self.offset is None:
            return f"{date}T{time}"
        hours, minutes = divmod(abs(self.offset), 60)
        zone = "Z" if self.offset == 0 else f"{'-' if self.offset < 0 else '+'}{hours:02}:{minutes:02}"
        return f"{date}T{time}{zone}"

    def part(self, field: str) -> Part | None:
        """Return the ``year`` … ``second`` of the value, None when unknown."""
        at = _FIELDS.index(field) - (3 if self.kind == "Time" else 0)
        return self.parts[at] if 0 <= at < len(self.parts) else None

    def date(self) -> Temporal:
        """Return the date part."""
        return Temporal("Date", self.parts[:3])

    def _in_utc(self) -> tuple[Part, ...]:
        if not self.offset or self.kind == "Time" or len(self.parts) < 4:  # noqa: PLR2004 (a day has no offset)
            return self.parts
        return _shift(self.parts, -60 * self.offset)

    def compare(self, other: Temporal) -> int | None:
        """Return -1, 0 or 1, or None when the precision does not suffice; a time against a date raises."""
        if (self.kind == "Time") != (other.kind == "Time"):
            raise FHIRPathError(f"cannot compare {self.kind} with {other.kind}")
        mine, theirs = self._in_utc(), other._in_utc()
        for a, b in zip(mine, theirs, strict=False):
            if a != b:
                return -1 if a < b else 1
        return 0 if len(mine) == len(theirs) else None

    def plus(self, quantity: Quantity, sign: int = 1) -> Temporal:
        """Add a duration, https://hl7.org/fhirpath/N1/#datetime-arithmetic; raises FHIRPathError for other units."""
        unit = quantity.duration_unit()
        if unit is None:
            raise FHIRPathError(f"cannot add {quantity} to a {self.kind}")
        amount = quantity.value * sign
        if self.kind == "Time" and unit not in {"hour", "minute", "second", "millisecond"}:
            raise FHIRPathError(f"cannot add {quantity} to a Time")
        if unit == "millisecond":
            unit, amount = "second", amount / 1000
        if unit != "second":
            amount = amount.to_integral_value(ROUND_DOWN)
        precision = len(self.parts)
        # only its own minute has a second 60, so what a leap second is moved to is the last second of another one
        parts = self.parts if self.part("second") is None else (*self.parts[:-1], _common_second(self.parts[-1]))
        if self.kind == "Time":
            seconds = _truncated(amount * _SECONDS[unit], (_HOUR, _MINUTE)[precision - 1 : precision])
            return Temporal("Time", _shift((2000, 1, 1, *parts), seconds)[3:])
        if unit in _MONTHS:
            return self._plus_months(int(amount) * _MONTHS[unit])
        if precision < 3:  # noqa: PLR2004 (a month counts 30 days and a year 365 for a value without a day)
            days = int(amount * _SECONDS[unit] / _DAY)
            return self._plus_months(int(days / 365) * 12 if precision == 1 else int(days / 30))
        seconds = _truncated(amount * _SECONDS[unit], (_DAY, _HOUR, _MINUTE)[precision - 3 : precision - 2])
        return Temporal(self.kind, _shift(parts, seconds), self.offset)

    def _plus_months(self, months: int) -> Temporal:
        precision = len(self.parts)
        if precision == 1:
            months = int(months / 12) * 12
        whole = (*self.parts, 1)[:2]
        year, month = divmod(int(whole[0]) * 12 + int(whole[1]) - 1 + months, 12)
        if not 1 <= year <= 9999:  # noqa: PLR2004 (the years FHIR can write)
            raise FHIRPathError(f"{self} moved by {months} months leaves the years 1 to 9999")
        parts: list[Part] = [year, month + 1, *self.parts[2:]][:precision]
        if precision > 2:  # noqa: PLR2004 (29 February of a common year becomes the 28th)
            parts[2] = min(parts[2], monthrange(year, month + 1)[1])
        return Temporal(self.kind, tuple(parts), self.offset)


def _text(part: Part, width: int) -> str:
    if isinstance(part, Decimal):
        whole, _, fraction = f"{part:f}".partition(".")
        return f"{whole.zfill(width)}.{fraction}" if fraction else whole.zfill(width)
    return str(part).zfill(width)


def _parts(groups: tuple[str | None, ...], start: int) -> tuple[Part, ...]:
    known = [g for g in groups[: 6 - start] if g is not None]
    return tuple(Decimal(g) if "." in g else int(g) for g in known)


def _checked(parts: tuple[Part, ...], start: int, text: str) -> tuple[Part, ...]:
    """Raise ValueError unless the parts name a real date and time; second 60 stands for a leap second."""
    full = [*_LOWEST[:start], *parts, *_LOWEST[start + len(parts) :]]
    if not 0 <= full[5] < 61:  # noqa: PLR2004
        raise ValueError(f"{text!r} has no such second")
    try:
        datetime(int(full[0]), int(full[1]), int(full[2]), int(full[3]), int(full[4]), tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date or time: {error}") from error
    return parts


def _offset(zone: str | None, text: str) -> int | None:
    if zone is None:
        return None
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    if minutes > _HIGHEST_OFFSET or int(zone[4:6]) >= 60:  # noqa: PLR2004
        raise ValueError(f"{text!r} has an offset beyond 14:00")
    return -minutes if zone[0] == "-" else minutes


def _common_second(second: Part) -> Part:
    return second - 1 if second >= 60 else second  # noqa: PLR2004


def _truncated(seconds: Decimal, unit: tuple[int, ...]) -> Decimal | int:
    """Cut ``seconds`` to whole units of the precision; an empty ``unit`` keeps fractions."""
    return int(seconds / unit[0]) * unit[0] if unit else seconds


def _shift(parts: tuple[Part, ...], seconds: Decimal | int) -> tuple[Part, ...]:
    """Move a value that has at least a day by ``seconds``, keeping its precision."""
    full = [*parts, *_LOWEST[len(parts) :]]
    second = Decimal(full[5]) + Decimal(seconds)
    whole = int(second.to_integral_value("ROUND_FLOOR"))
    fraction = second - whole
    try:
        year, month, day, hour, minute = (int(part) for part in full[:5])
        at = datetime(year, month, day, hour, minute, tzinfo=UTC) + timedelta(seconds=whole)
    except OverflowError as error:
        raise FHIRPathError("date arithmetic leaves the years 1 to 9999") from error
    keeps_fraction = fraction or (len(parts) == len(_LOWEST) and isinstance(parts[5], Decimal))
    moved: tuple[Part, ...] = (
        at.year,
        at.month,
        at.day,
        at.hour,
        at.minute,
        at.second + fraction if keeps_fraction else at.second,
    )
    return moved[: len(parts)]
