"""Acknowledgements: which are due, and how they read.

Original mode answers AA, AE or AR; enhanced mode (MSH-15 or MSH-16 valued) first accepts (CA, CE, CR), then
answers if asked to.
HL7 v2.9 chapter 2.9, https://www.hl7.eu/HL7v2x/v29/std29/ch02.html; MLLP framing: https://www.hl7.org/documentcenter/public/wg/inm/mllp_transport_specification.PDF.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mappers.hl7v2.encoding import STANDARD, HeaderError
from mappers.hl7v2.escapes import escape
from mappers.hl7v2.tokenizer import Message
from mappers.hl7v2.validate import TEXTS, Fault

BLOCK_START = b"\x0b"
BLOCK_END = b"\x1c\r"
_CONDITIONS = {"AL", "NE", "ER", "SU"}
_DEFAULT_VERSION = "2.5.1"


def _due(condition: str, success: bool) -> bool:
    return condition == "AL" or (condition == "ER" and not success) or (condition == "SU" and success)


def acknowledgement_codes(accept: str, application: str, faults: Sequence[Fault]) -> list[str]:
    """Return the MSA-1 codes to answer with, in order. ``accept`` and ``application`` are MSH-15 and MSH-16.

    A header fault is refused at once. A content fault leaves the message stored, so it is accepted and then answered
    with AE
    if the sender asked for that answer, else it is CE. Over MLLP a sender waits for an answer to every message: one
    whose conditions ask for none gets the original mode's.
    """
    rejected = any(f.kind == "reject" for f in faults)
    outcome = "AR" if rejected else "AE" if faults else "AA"
    if not ({accept, application} & _CONDITIONS):
        return [outcome]
    answers = _due(application, not faults)
    if rejected:
        commit = "CR"
        answers = False if _due(accept, success=False) else answers
    else:
        commit = "CE" if faults and not answers else "CA"
    codes = [commit] if _due(accept, commit == "CA") else []
    if answers:
        codes.append(outcome)
    return codes or [outcome]


def _error_segment(fault: Fault) -> str:
    reason = escape(fault.reason, STANDARD)
    return f"ERR||{fault.location}|{fault.code}^{TEXTS.get(fault.code, '')}^HL70357|E||||{reason}"


def frame(content: bytes) -> bytes:
    """Put a message into an MLLP block."""
    return BLOCK_START + content + BLOCK_END


def acknowledge(message: Message, faults: Sequence[Fault], now: datetime, control_id: str) -> bytes:
    """Return the MLLP blocks that answer a message: one, or two when it asks for both acknowledgements.

    They use the sender's delimiters and character set, so that what they repeat from its header reads as it was sent.
    """
    header, delimiters = message.header, message.delimiters
    conditions = (header.value(15).upper(), header.value(16).upper())
    codes = acknowledgement_codes(*conditions, faults)
    event = header.field(9).split(delimiters.component)[1:2] if delimiters.component else []
    kind = delimiters.component.join(["ACK", *(event or [""]), "ACK"]) if event else "ACK"
    stamp = now.strftime("%Y%m%d%H%M%S+0000")
    separator = delimiters.field
    errors = [_error_segment(f) for f in faults]
    if delimiters != STANDARD:
        errors = [_translated(e, message) for e in errors]
    out: list[bytes] = []
    for number, code in enumerate(codes):
        fields = [
            "MSH",
            delimiters.encoding_characters,
            header.field(5),
            header.field(6),
            header.field(3),
            header.field(4),
            stamp,
            "",
            kind,
            f"{control_id}{number or ''}",
            header.field(11) or "P",
            header.field(12) or _DEFAULT_VERSION,
            "",
            "",
            "",
            "",
            "",
            header.field(18),
        ]
        head = separator.join(fields).rstrip(separator)
        text = _summary(faults, message)
        answer = separator.join(["MSA", code, header.field(10), *([text] if text else [])])
        shown = errors if code in ("AE", "AR", "CE", "CR") else []
        lines = [head, answer, *shown]
        out.append(
            frame(("\r".join(line.replace("\n", " ") for line in lines) + "\r").encode(message.codec, "replace"))
        )
    return b"".join(out)


def _summary(faults: Sequence[Fault], message: Message) -> str:
    return escape(faults[0].reason, message.delimiters) if faults else ""


def _translated(segment: str, message: Message) -> str:
    """Write a segment of ours in the sender's delimiters."""
    ours, theirs = STANDARD, message.delimiters
    pairs = {
        ours.field: theirs.field,
        ours.component: theirs.component or " ",
        ours.escape: theirs.escape or " ",
    }
    return "".join(pairs.get(c, c) for c in segment)


def refuse(fault: HeaderError, now: datetime, control_id: str) -> bytes:
    """Return the MLLP block that answers unreadable bytes: AR, without a control id to refer to."""
    stamp = now.strftime("%Y%m%d%H%M%S+0000")
    error = Fault("reject", fault.code, fault.location, fault.reason)
    lines = [
        f"MSH|^~\\&|||||{stamp}||ACK|{control_id}|P|{_DEFAULT_VERSION}",
        f"MSA|AR||{escape(fault.reason, STANDARD)}",
        _error_segment(error),
    ]
    return frame(("\r".join(lines) + "\r").encode())
