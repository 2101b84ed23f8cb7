"""Components of dates and times, https://hl7.org/fhirpath/#datetime-component-extraction (trial use)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from conformance.fhirpath.frame import Frame
from conformance.fhirpath.functions.registry import function
from conformance.fhirpath.items import Collection, Item
from conformance.fhirpath.operands import optional, value
from conformance.fhirpath.temporal import Temporal


def _moment(items: Collection) -> Temporal | None:
    found: Any = value(items, "the input of a date component function")
    if type(found) is str:
        try:
            return Temporal.from_text(found)
        except ValueError:
            return None
    return found if isinstance(found, Temporal) else None


def _field(name: str) -> Callable[[Temporal], Item | None]:
    def read(moment: Temporal) -> Item | None:
        part = moment.part(name)
        return None if part is None else int(part)

    return read


def _millisecond(moment: Temporal) -> Item | None:
    second = moment.part("second")
    return int(second % 1 * 1000) if isinstance(second, Decimal) else None


def _offset(moment: Temporal) -> Item | None:
    return None if moment.offset is None else Decimal(moment.offset) / 60


def _date(moment: Temporal) -> Item | None:
    return None if moment.kind == "Time" else moment.date()


def _time(moment: Temporal) -> Item | None:
    parts = moment.parts[3:]
    return Temporal("Time", parts) if parts and moment.kind == "DateTime" else None


def _declare(name: str, read: Callable[[Temporal], Item | None]) -> None:
    def run(_frame: Frame, items: Collection) -> Collection:
        moment = _moment(items)
        return [] if moment is None else optional(read(moment))

    function(name)(run)


for _name in ("year", "month", "day", "hour", "minute", "second"):
    _declare(f"{_name}Of", _field(_name))
_declare("millisecondOf", _millisecond)
_declare("timezoneOffsetOf", _offset)
_declare("dateOf", _date)
_declare("timeOf", _time)
