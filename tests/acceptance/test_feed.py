"""HL7 v2 over a real socket: acknowledged, stored, mapped, found over FHIR."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.server import RunningServer
from tests.shared import shared

FRAME_END = b"\x1c\r"
# One file of the corpus carries the framing of its transport; what a listener stores is what is inside.
FRAMING = b"\x0b\x1c\r\n"


class Sender:
    """An MLLP client."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.rest = b""

    def send(self, message: bytes) -> bytes:
        """Send one message and return its acknowledgement."""
        self.connection.sendall(b"\x0b" + message + FRAME_END)
        while FRAME_END not in self.rest:
            part = self.connection.recv(65536)
            assert part, "the listener closed the connection"
            self.rest += part
        frame, _, self.rest = self.rest.partition(FRAME_END)
        return frame.lstrip(b"\x0b")


@pytest.fixture(scope="module")
def feed(dsn: str) -> Iterator[RunningServer]:
    """A server with the listener on."""
    with RunningServer.on_database(dsn, mllp=True) as running:
        yield running


@pytest.fixture
def sender(feed: RunningServer) -> Iterator[Sender]:
    """A connected sender; the listener may come up a moment after HTTP does."""
    until = time.monotonic() + 30
    while True:
        try:
            connected = Sender(feed.mllp_port)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < until, "the listener does not come up"
            time.sleep(0.05)
    yield connected
    connected.connection.close()


def wait_until_processed(dsn: str) -> Counter[str]:
    """Wait until nothing is left to process; return the number of messages by status."""
    until = time.monotonic() + 120
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            counts = Counter(
                dict(connection.execute("SELECT status, count(*) FROM message_inbox GROUP BY 1").fetchall())
            )
            if not counts["received"]:
                return counts
            assert time.monotonic() < until, counts
            time.sleep(0.1)


ORU = "\r".join(
    [
        r"MSH|^~\&#|LAB^2.16.840.1.113883.3.72.5.20^ISO|ACME LAB^11D0668319^CLIA|PRAXIS|CLINIC|20240311093000+0000||ORU^R01^ORU_R01|MSG-1|P|2.5.1",
        "PID|1||55501^^^CLINIC&2.16.840.1.113883.3.72.5.30&ISO^MR||Okafor^Ada||19840229|F|||1 Main St^^Boston^MA^02101",
        "ORC|RE|PO-77^CLINIC|FO-88^ACME LAB^11D0668319^CLIA|||||||||1234567893^Reyes^Marta^^^^^^NPI",
        "OBR|1|PO-77^CLINIC|FO-88^ACME LAB^11D0668319^CLIA|24323-8^Comprehensive metabolic panel^LN|||20240310081500+0000|||||||||1234567893^Reyes^Marta|||||||||F",
        "OBX|1|NM|2345-7^Glucose^LN||98.60|mg/dL^^UCUM|70-99|N|||F|||20240310081500+0000",
        "OBX|2|NM|2951-2^Sodium^LN||151|mmol/L^^UCUM|136-145|H|||F|||20240310081500+0000",
        "ZLR|1|kept as it is^with components",
    ]
).encode()


def test_a_lab_result_is_acknowledged_and_found_over_fhir(feed: RunningServer, sender: Sender, dsn: str) -> None:
    """One ORU: AA, then DiagnosticReport by the patient's identifier, its values exact; Z-segments stay in the raw message."""
    ack = sender.send(ORU)
    assert b"MSA|AA|MSG-1" in ack
    wait_until_processed(dsn)
    with feed.client() as http:
        patients = http.get("/Patient", params={"identifier": "urn:oid:2.16.840.1.113883.3.72.5.30|55501"}).json()
        patient = patients["entry"][0]["resource"]
        assert patient["birthDate"] == "1984-02-29"
        assert patient["gender"] == "female"
        chain = {"patient.identifier": "urn:oid:2.16.840.1.113883.3.72.5.30|55501"}
        reports = http.get("/DiagnosticReport", params=chain).json()["entry"]
        assert len(reports) == 1
        values = {}
        for reference in reports[0]["resource"]["result"]:
            observation = http.get(f"/{reference['reference']}").raise_for_status()
            values[observation.json()["code"]["coding"][0]["code"]] = observation.text
        assert '"value":98.60' in values["2345-7"]
        assert '"value":151' in values["2951-2"]
    with psycopg.connect(dsn) as connection:
        raw = connection.execute("SELECT raw FROM message_inbox WHERE control_id = 'MSG-1'").fetchall()
    assert len(raw) == 1
    assert b"\rZLR|1|kept as it is^with components" in raw[0][0]


def test_the_same_message_twice_changes_nothing(feed: RunningServer, sender: Sender, dsn: str) -> None:
    """The same acknowledgement to the byte, no second row, no new version."""
    message = ORU.replace(b"MSG-1", b"MSG-2").replace(b"FO-88", b"FO-99")
    first = sender.send(message)
    wait_until_processed(dsn)
    with feed.client() as http:
        before = http.get("/Observation?_summary=count").json()["total"]
        assert sender.send(message) == first
        wait_until_processed(dsn)
        assert http.get("/Observation?_summary=count").json()["total"] == before
    with psycopg.connect(dsn) as database:
        assert database.execute("SELECT count(*) FROM message_inbox WHERE control_id = 'MSG-2'").fetchone() == (1,)


def test_a_bad_message_is_refused_with_segment_and_field_and_kept(sender: Sender, dsn: str) -> None:
    """No patient: AE naming PID; the message is kept for replay."""
    message = b"\r".join(s for s in ORU.replace(b"MSG-1", b"MSG-3").split(b"\r") if not s.startswith(b"PID"))
    ack = sender.send(message)
    assert b"MSA|AE|MSG-3" in ack
    assert b"\rERR|" in ack
    assert b"PID" in ack
    with psycopg.connect(dsn) as database:
        assert database.execute("SELECT raw FROM message_inbox WHERE control_id = 'MSG-3'").fetchall() == [(message,)]


def corpus() -> list[Path]:
    """Every message file of the shared corpus."""
    return sorted(p for p in shared("hl7v2", "messages").rglob("*.hl7"))


def test_every_message_of_the_corpus_is_acknowledged_and_none_is_lost(
    feed: RunningServer, sender: Sender, dsn: str
) -> None:
    """1,336 messages, many malformed: each gets AA, AE or AR (or CA, CE, CR), is in the inbox as sent, and nothing crashes."""
    messages = [p.read_bytes() for p in corpus()]
    assert len(messages) == 1336
    codes: Counter[str] = Counter()
    for message in messages:
        ack = sender.send(message)
        # The acknowledgement uses the message's own delimiters.
        code = re.search(rb"\rMSA(.)([AC][AER])(\1|\r)", ack)
        assert code is not None, (message[:80], ack)
        codes[code[2].decode()] += 1
    assert codes.total() == 1336
    assert codes["AA"] + codes["CA"] > 800
    statuses = wait_until_processed(dsn)
    assert statuses["processed"] > 300
    with psycopg.connect(dsn) as database:
        stored = {bytes(row[0]).strip(FRAMING) for row in database.execute("SELECT raw FROM message_inbox").fetchall()}
    assert {m.strip(FRAMING) for m in messages} <= stored
    with feed.client() as http:
        assert http.get("/metadata").status_code == 200
