"""Messages made for the tests, and the shared corpus."""

from __future__ import annotations

from functools import cache

from tests.shared import shared


@cache
def corpus() -> tuple[tuple[str, bytes], ...]:
    """Every public message: (path below messages/, bytes)."""
    folder = shared("hl7v2", "messages")
    return tuple((str(p.relative_to(folder)), p.read_bytes()) for p in sorted(folder.rglob("*.hl7")))


def message(*segments: str) -> bytes:
    """Join segments as a sender does."""
    return ("\r".join(segments) + "\r").encode()


def header(control_id: str = "1", kind: str = "ORU^R01^ORU_R01", *, accept: str = "", application: str = "") -> str:
    """Return an MSH."""
    conditions = f"|||{accept}|{application}" if accept or application else ""
    return f"MSH|^~\\&|LAB|CITY|EHR|CLINIC|20260301120000+0100||{kind}|{control_id}|P|2.5.1{conditions}"


PID = "PID|1||P1^^^HOSP&2.16.840.1.113883.19.5&ISO^MR||Doe^Jane^Q||19800215|F"
OBR = "OBR|1|O1^EHR|F1^LAB|58410-2^CBC^LN|||202603011000"


def oru(control_id: str = "1", *observations: str, patient: str = PID, order: str = OBR) -> bytes:
    """Return a lab result with these OBX segments (one glucose by default)."""
    default = "OBX|1|NM|2345-7^Glucose^LN||5.10|mmol/L^mmol/L^UCUM|4.0-6.0|H|||F|||20260301"
    return message(header(control_id), patient, order, *(observations or (default,)))


def adt(event: str, control_id: str, *segments: str) -> bytes:
    """Return an ADT message."""
    return message(header(control_id, f"ADT^{event}^ADT_A01"), f"EVN|{event}|20260301115900", *segments)
