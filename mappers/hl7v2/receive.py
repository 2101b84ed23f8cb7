"""From the bytes of a message to what the inbox stores: who sent it, what it is ordered by, and its acknowledgement.

The contract with a sender is in docs/hl7v2.md. Nothing here reads more of the content than the checks and the lane
need.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from fhir_server.operations.feed import Received, Status
from mappers.hl7v2.ack import acknowledge, refuse
from mappers.hl7v2.encoding import HeaderError
from mappers.hl7v2.identity import patient_identifier, visit_identifier
from mappers.hl7v2.maps import mapped_types
from mappers.hl7v2.timestamps import day_of
from mappers.hl7v2.tokenizer import Message, tokenize
from mappers.hl7v2.validate import Fault, check, message_type

_DIGEST_BYTES = 16
_DAY_LENGTH = 10
_MAX_TEXT = 200


def _clean(text: str) -> str:
    """Return text that a database column takes."""
    return text.replace("\x00", "")[:_MAX_TEXT]


def _day(message: Message, now: datetime) -> date:
    """Return the day of MSH-7, so that a repetition after midnight is still one; else today."""
    day = day_of(message.header.value(7))
    return date.fromisoformat(day) if day and len(day) == _DAY_LENGTH else now.date()


def lane_of(message: Message) -> str:
    """Return what a message is ordered by: the patient, else the visit, else the sender."""
    identifier = patient_identifier(message)
    if identifier is not None:
        return _clean(f"P {identifier.system}|{identifier.value}")
    visit = visit_identifier(message)
    if visit is not None:
        return _clean(f"V {visit.system}|{visit.value}")
    return _clean(f"S {message.header.field(3)}|{message.header.field(4)}")


def _report(message: Message, faults: list[Fault]) -> dict[str, Any]:
    report: dict[str, Any] = {"segments": len(message.segments), "characterSet": message.codec}
    if message.fallback:
        report["characterSetFallback"] = True
    if faults:
        report["faults"] = [{"code": f.code, "location": f.location, "reason": f.reason} for f in faults]
    return report


def receive(raw: bytes, now: datetime | None = None) -> Received:
    """Judge one message (any bytes) and build its acknowledgement; never raises for what the bytes are."""
    now = now or datetime.now(UTC)
    digest = blake2b(raw, digest_size=_DIGEST_BYTES).digest()
    control_id = "P" + digest[:9].hex().upper()
    try:
        message = tokenize(raw)
    except HeaderError as fault:
        report = {"faults": [{"code": fault.code, "location": fault.location, "reason": fault.reason}]}
        return Received(
            raw=raw,
            received_at=now,
            sender="",
            receiver="",
            control_id="",
            message_type="",
            hash=digest,
            day=now.date(),
            lane="",
            status="rejected",
            acknowledgement=refuse(fault, now, control_id),
            report=msgspec.json.encode(report),
            error=f"{fault.location}: {fault.reason}",
        )
    header = message.header
    faults = check(message)
    kind = "^".join(message_type(message))
    status: Status = "rejected" if faults else "received" if kind in mapped_types() else "stored"
    return Received(
        raw=raw,
        received_at=now,
        sender=_clean(f"{header.field(3)}|{header.field(4)}"),
        receiver=_clean(f"{header.field(5)}|{header.field(6)}"),
        control_id=_clean(header.field(10)),
        message_type=_clean(kind),
        hash=digest,
        day=_day(message, now),
        lane=lane_of(message),
        status=status,
        acknowledgement=acknowledge(message, faults, now, control_id),
        report=msgspec.json.encode(_report(message, faults)),
        error=f"{faults[0].location}: {faults[0].reason}" if faults else None,
    )
