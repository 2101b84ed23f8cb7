"""The lab feed under load: ORU^R01 messages of ten results each over MLLP, acknowledged and then mapped into FHIR.

https://www.hl7.org/documentcenter/public/wg/inm/mllp_transport_specification.PDF
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import uuid4

from bench.content import FAMILIES, GIVEN, VITAL_SIGNS
from bench.http_client import Base, Connection

START, END = b"\x0b", b"\x1c\r"
RESULTS = 10
POLL_SECONDS = 0.25


@dataclass(slots=True)
class Feed:
    """What a feed did. ``mapped_seconds`` runs from the first message to the last report that became searchable."""

    sent: int = 0
    acknowledgements: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    mapped: int = 0
    mapped_seconds: float = 0.0

    @property
    def acknowledged_per_second(self) -> float:
        """Messages stored and accepted in a second."""
        return self.acknowledgements["AA"] / self.seconds if self.seconds else 0.0

    @property
    def mapped_per_second(self) -> float:
        """Messages turned into FHIR resources in a second."""
        return self.mapped / self.mapped_seconds if self.mapped_seconds else 0.0


def make_oru(run: str, number: int) -> bytes:
    """Return an ORU^R01 with ten numeric results for a patient of its own; its numbers start with ``run``."""
    family, given = FAMILIES[number % len(FAMILIES)], GIVEN[number % len(GIVEN)]
    born = f"19{40 + number % 60:02d}0{1 + number % 9}1{number % 10}"
    segments = [
        rf"MSH|^~\&|BENCHLAB|LAB|PRAXIS|CLINIC|20250304091500||ORU^R01^ORU_R01|{run}{number:08d}|P|2.5.1",
        f"PID|1||{run}-{number:08d}^^^BENCH^MR||{family}^{given}||{born}|F|||1 Harbour Road^^Ashford^MA^02101^US",
        "PV1|1|O|WARD^101^1",
        f"ORC|RE|P{number:08d}^PRAXIS|{run}{number:08d}^BENCHLAB",
        f"OBR|1|P{number:08d}^PRAXIS|{run}{number:08d}^BENCHLAB|24323-8^Metabolic panel^LN|||20250304090000|||||||||"
        "1234^Reed^Ann||||||20250304091400||LAB|F",
    ]
    for index in range(RESULTS):
        code, unit = VITAL_SIGNS[index % len(VITAL_SIGNS)]
        segments.append(
            f"OBX|{index + 1}|NM|{code}^Result {index + 1}^LN|{index + 1}|{40 + number % 50}.{index}|"
            f"{unit}^{unit}^UCUM|10-200|N|||F|||20250304090000"
        )
    return "\r".join(segments).encode() + b"\r"


async def send(host: str, port: int, messages: int, connections: int, run: str) -> Feed:
    """Send messages, each connection waiting for the acknowledgement before its next; count them by code."""
    feed = Feed()
    numbers = iter(range(messages))
    frames = [START + make_oru(run, number) + END for number in range(messages)]

    async def work() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for number in numbers:
            writer.write(frames[number])
            feed.sent += 1
            answer = await reader.readuntil(END)
            feed.acknowledgements[acknowledgement_code(answer)] += 1
        writer.close()
        await writer.wait_closed()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    feed.seconds = time.perf_counter() - started
    return feed


def acknowledgement_code(answer: bytes) -> str:
    """Return MSA-1 of an acknowledgement, or ``none``."""
    for segment in answer.strip(START + END).split(b"\r"):
        fields = segment.split(b"|")
        if fields[0] == b"MSA" and len(fields) > 1:
            return fields[1].decode(errors="replace")
    return "none"


async def count_reports(base: Base) -> int:
    """Return how many DiagnosticReports the server finds."""
    line = Connection(base)
    code = quote("http://loinc.org|24323-8")
    path = f"/DiagnosticReport?code={code}&_total=accurate&_count=1"
    response = await line.send(base.request("GET", path))
    line.close()
    if response.status != 200:
        raise RuntimeError(f"GET {path} gave status {response.status}: {response.body[:200]!r}")
    return int(json.loads(response.body).get("total", 0))


async def measure_feed(
    base: Base, host: str, port: int, *, messages: int = 2000, connections: int = 8, patience: float = 120.0
) -> Feed:
    """Send messages and wait, up to ``patience`` seconds without progress, until all are searchable."""
    before = await count_reports(base)
    started = time.perf_counter()
    feed = await send(host, port, messages, connections, f"R{uuid4().hex[:7]}")
    progressed = time.perf_counter()
    while True:
        mapped = await count_reports(base) - before
        now = time.perf_counter()
        if mapped != feed.mapped:
            feed.mapped, feed.mapped_seconds, progressed = mapped, now - started, now
        if mapped >= messages or now - progressed > patience:
            return feed
        await asyncio.sleep(POLL_SECONDS)
