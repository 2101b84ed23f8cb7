"""The cheap checks that decide between AA, AE and AR before a message is stored.

Header faults refuse a message (AR), content faults are errors (AE); codes are from table 0357, locations are written
as in ERR-2, HL7 v2.9 chapter 2.14.5, https://www.hl7.eu/HL7v2x/v29/std29/ch02.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mappers.hl7v2.maps import field_checks, mapped_types, message_types
from mappers.hl7v2.timestamps import is_timestamp
from mappers.hl7v2.tokenizer import DELETE, Message, Segment, part

_VERSION = re.compile(r"2(\.\d)+$")
_PROCESSING_IDS = "PTDNV"

TEXTS = {
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "207": "Application error",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: ``code`` is from table 0357, ``location`` segment^sequence^field^repetition^component."""

    kind: Literal["reject", "error"]
    code: str
    location: str
    reason: str


def message_type(message: Message) -> tuple[str, str]:
    """Return (message code, trigger event) of MSH-9, e.g. (``ORU``, ``R01``)."""
    header = message.header
    return header.value(9, 1), header.value(9, 2)


def _header_faults(message: Message) -> Iterator[Fault]:
    header = message.header
    code, event = message_type(message)
    known = message_types()
    if not code:
        yield Fault("reject", "200", "MSH^1^9", "MSH-9 names no message type.")
    elif code == "ACK" or code not in known.codes:
        yield Fault("reject", "200", "MSH^1^9^1^1", "This is not a message type that can be received.")
    elif event and event not in known.events:
        yield Fault("reject", "201", "MSH^1^9^1^2", "MSH-9.2 is not a trigger event of HL7.")
    if not header.value(10):
        yield Fault("reject", "101", "MSH^1^10", "MSH-10 (message control id) is empty.")
    processing = header.value(11)
    if processing and processing not in _PROCESSING_IDS:
        yield Fault("reject", "202", "MSH^1^11", "MSH-11 is none of P, T, D.")
    version = header.value(12)
    if version and not _VERSION.match(version):
        yield Fault("reject", "203", "MSH^1^12", "MSH-12 is not a version 2 number.")


def _first(repetition: str, segment: Segment) -> str:
    """Return the first component of a repetition; nothing for one to be deleted."""
    value = part(repetition, segment.delimiters.component, 1).strip()
    return "" if value == DELETE else value


def _field_faults(segment: Segment) -> Iterator[Fault]:
    for check in field_checks(segment.name):
        raw = segment.field(check.field)
        where = f"{segment.name}^{segment.sequence}^{check.field}"
        if check.check == "required":
            if not raw.strip(" ^~&"):
                yield Fault("error", "101", where, f"{segment.name}-{check.field} ({check.name}) is empty.")
        elif check.check == "identified":
            if not any(_first(r, segment) for r in segment.repetitions(check.field)):
                yield Fault("error", "101", where, f"{segment.name}-{check.field} ({check.name}) is empty.")
        elif check.check == "required-with":
            if segment.field(check.other).strip() and not raw.strip():
                yield Fault("error", "101", where, f"{segment.name}-{check.field} ({check.name}) is empty.")
        elif raw and raw != DELETE:
            value = _first(segment.repetitions(check.field)[0], segment)
            if check.check == "timestamp" and value and not is_timestamp(value):
                yield Fault(
                    "error", "102", where, f"{segment.name}-{check.field} ({check.name}) is not a date or time."
                )
            elif check.check == "table" and value and value not in check.codes:
                yield Fault(
                    "error", "103", where, f"{segment.name}-{check.field} ({check.name}) is not in table {check.table}."
                )


def _content_faults(message: Message) -> Iterator[Fault]:
    required = mapped_types().get("^".join(message_type(message)))
    if required is None:
        return  # no mapping reads the content
    present = {s.name for s in message.segments}
    for name in required:
        if name not in present:
            yield Fault("error", "100", f"{name}^1", f"The message has no {name} segment.")
    for segment in message.segments:
        yield from _field_faults(segment)


def check(message: Message) -> list[Fault]:
    """Return what is wrong with a message, worst first; with a header fault the content is not looked at."""
    return list(_header_faults(message)) or list(_content_faults(message))
