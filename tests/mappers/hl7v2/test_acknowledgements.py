"""What a sender is answered, by the rules of docs/hl7v2.md."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappers.hl7v2.ack import acknowledgement_codes
from mappers.hl7v2.receive import receive
from mappers.hl7v2.tokenizer import Message, tokenize
from mappers.hl7v2.validate import Fault
from tests.mappers.hl7v2.messages import OBR, PID, adt, corpus, header, message, oru

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ERROR = Fault("error", "101", "PID^1^3", "empty")
REJECT = Fault("reject", "200", "MSH^1^9", "unknown")

# How the 1,336 public messages are answered; many are deliberately malformed.
EXPECTED_CODES = {("AA",): 838, ("AE",): 311, ("AR",): 102, ("CA", "AA"): 46, ("CA",): 33, ("CE",): 5, ("CA", "AE"): 1}
EXPECTED_STATUSES = {"received": 526, "stored": 391, "rejected": 419}


def answers(acknowledgement: bytes) -> list[Message]:
    """Return the messages in the MLLP blocks of an acknowledgement."""
    blocks = acknowledgement.split(b"\x1c\r")
    assert blocks.pop() == b""
    assert all(block.startswith(b"\x0b") for block in blocks)
    return [tokenize(block) for block in blocks]


def codes(acknowledgement: bytes) -> tuple[str, ...]:
    """Return MSA-1 of each answer."""
    out = []
    for answer in answers(acknowledgement):
        segment = answer.first("MSA")
        assert segment is not None
        out.append(segment.value(1))
    return tuple(out)


def test_every_public_message_is_answered_and_kept() -> None:
    received = [(raw, receive(raw, NOW)) for _, raw in corpus()]
    assert Counter(codes(r.acknowledgement) for _, r in received) == EXPECTED_CODES
    assert Counter(r.status for _, r in received) == EXPECTED_STATUSES
    assert all(r.raw == raw for raw, r in received)
    assert all((r.error is not None) == (r.status == "rejected") for _, r in received)


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(raw: bytes) -> None:
    received = receive(raw, NOW)
    assert set(codes(received.acknowledgement)) <= {"AA", "AE", "AR", "CA", "CE", "CR"}
    assert msgspec.json.decode(received.report) is not None


@pytest.mark.parametrize(
    ("accept", "application", "faults", "expected"),
    [
        ("", "", [], ["AA"]),
        ("", "", [ERROR], ["AE"]),
        ("", "", [REJECT], ["AR"]),
        ("AL", "AL", [], ["CA", "AA"]),
        ("AL", "AL", [ERROR], ["CA", "AE"]),
        ("AL", "AL", [REJECT], ["CR"]),
        ("AL", "NE", [], ["CA"]),
        ("AL", "NE", [ERROR], ["CE"]),
        ("ER", "AL", [], ["AA"]),
        ("ER", "AL", [ERROR], ["AE"]),
        ("ER", "AL", [REJECT], ["CR"]),
        ("NE", "AL", [REJECT], ["AR"]),
        ("NE", "ER", [ERROR], ["AE"]),
        ("SU", "SU", [], ["CA", "AA"]),
        ("NE", "NE", [], ["AA"]),
        ("NE", "NE", [ERROR], ["AE"]),
        ("ACCEPT", "WHAT", [], ["AA"]),
    ],
)
def test_modes(accept: str, application: str, faults: list[Fault], expected: list[str]) -> None:
    assert acknowledgement_codes(accept, application, faults) == expected


@pytest.mark.parametrize(
    ("raw", "code", "error", "location"),
    [
        (message(header("1", "XYZ^R01"), PID, OBR), "AR", "200", "MSH^1^9^1^1"),
        (message(header("1", "ACK^R01"), PID), "AR", "200", "MSH^1^9^1^1"),
        (message(header("1", "ADT^Q99"), PID), "AR", "201", "MSH^1^9^1^2"),
        (oru().replace(b"|P|2.5.1", b"|X|2.5.1"), "AR", "202", "MSH^1^11"),
        (oru().replace(b"|P|2.5.1", b"|P|3.0"), "AR", "203", "MSH^1^12"),
        (oru(""), "AR", "101", "MSH^1^10"),
        (message(header(), OBR), "AE", "100", "PID^1"),
        (message(header(), PID), "AE", "100", "OBR^1"),
        (oru(patient="PID|1||^^^HOSP||Doe^Jane"), "AE", "101", "PID^1^3"),
        (oru(patient="PID|1||1||Doe^Jane||19801315"), "AE", "102", "PID^1^7"),
        (oru("1", "OBX|1|NM|a||1", "OBX|2|QQ|b||1"), "AE", "103", "OBX^2^2"),
        (oru("1", "OBX|1||a||1"), "AE", "101", "OBX^1^2"),
        (oru("1", "OBX|1|NM|||1"), "AE", "101", "OBX^1^3"),
        (oru("1", "OBX|1|NM|a||1|||||||||2026-03-01"), "AE", "102", "OBX^1^14"),
        (b"no message at all", "AR", "100", "MSH^1"),
    ],
)
def test_faults_name_segment_and_field(raw: bytes, code: str, error: str, location: str) -> None:
    received = receive(raw, NOW)
    (answer,) = answers(received.acknowledgement)
    response, fault = answer.first("MSA"), answer.first("ERR")
    assert response is not None
    assert fault is not None
    assert (response.value(1), fault.value(3), fault.field(2)) == (code, error, location)
    assert (received.status, received.raw) == ("rejected", raw)


def test_an_answer_goes_back_to_where_the_message_came_from() -> None:
    raw = oru("MSG7")
    (answer,) = answers(receive(raw, NOW).acknowledgement)
    head, response = answer.header, answer.first("MSA")
    assert [head.value(n) for n in (3, 4, 5, 6)] == ["EHR", "CLINIC", "LAB", "CITY"]
    assert (head.value(7), head.field(9), head.value(12)) == ("20260301120000+0000", "ACK^R01^ACK", "2.5.1")
    assert head.value(10)
    assert response is not None
    assert response.value(2) == "MSG7"


def test_an_answer_uses_the_senders_delimiters_and_character_set() -> None:
    raw = "MSH$%*!@$LÄB$$$$20260301$$ORU%R01$É1$P$2.5$$$$$$8859/1\rPID$1\r".encode("latin-1")
    (answer,) = answers(receive(raw, NOW).acknowledgement)
    response, fault = answer.first("MSA"), answer.first("ERR")
    assert response is not None
    assert fault is not None
    assert (answer.codec, answer.header.value(5), response.value(2)) == ("iso8859-1", "LÄB", "É1")
    assert fault.field(2) == "OBR%1"


def test_no_content_is_repeated_in_errors() -> None:
    received = receive(oru(patient="PID|1||1||Doe^Jane||SECRET"), NOW)
    assert b"SECRET" not in received.acknowledgement
    assert b"Doe" not in received.acknowledgement
    assert "SECRET" not in (received.error or "")


def test_the_day_is_the_messages_own() -> None:
    assert receive(oru(), NOW).day.isoformat() == "2026-03-01"
    undated = oru().replace(b"20260301120000+0100", b"")
    assert receive(undated, datetime(2026, 5, 5, tzinfo=UTC)).day.isoformat() == "2026-05-05"


@pytest.mark.parametrize(
    ("raw", "lane"),
    [
        (oru(), "P urn:oid:2.16.840.1.113883.19.5|P1"),
        (adt("A08", "1", "PID|1||9~7^^^HOSP^MR", "PV1|1|O"), "P urn:x-hl7v2:authority:HOSP|7"),
        (adt("A08", "1", "PID|1||", "PV1|1|I|||||||||||||||||V1^^^HOSP"), "V urn:x-hl7v2:authority:HOSP|V1"),
        (message(header("1", "MFN^M02"), "MFI|PRA"), "S LAB|CITY"),
    ],
)
def test_lanes(raw: bytes, lane: str) -> None:
    assert receive(raw, NOW).lane == lane
