"""Filling a server before it is measured: given Bundles over HTTP and patients of our own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from bench.content import SYSTEM, encode, make_patient, make_visit
from bench.http_client import Base, Connection, Response

CONDITIONAL = re.compile(rb'"reference"\s*:\s*"[A-Za-z]+\?')
CONNECTIONS = 8
PATIENTS_A_BUNDLE = 50


@dataclass(slots=True)
class Seeded:
    """How many requests went through, and what the others answered (the first twenty)."""

    requests: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list)

    def count(self, response: Response) -> None:
        """Note one response."""
        if response.status in (200, 201):
            self.requests += 1
            return
        self.failed += 1
        if len(self.reasons) < 20:
            self.reasons.append(f"{response.status}: {response.body[:300].decode(errors='replace')}")


async def seed(base: Base, bundles: Sequence[bytes], patients: int, visits: int = 200) -> Seeded:
    """Post the Bundles (those that refer to nothing by search first), then ``patients`` and ``visits`` of our own.

    A visit is a patient with an Encounter and 18 Observations. A second run finds the same medical record numbers
    and creates none of them again.
    """
    seeded = Seeded()
    free = [b for b in bundles if not CONDITIONAL.search(b)]
    await _send(base, [base.request("POST", "", b) for b in free], seeded)
    await _send(base, [base.request("POST", "", b) for b in bundles if CONDITIONAL.search(b)], seeded)
    await _send(base, list(_own(base, patients, visits)), seeded)
    return seeded


def _own(base: Base, patients: int, visits: int) -> Iterator[bytes]:
    rng = Random(7)
    made = [make_patient(rng, f"seed-{number}") for number in range(patients)]
    for first in range(0, patients, PATIENTS_A_BUNDLE):
        entries = [
            {
                "resource": patient,
                "request": {
                    "method": "POST",
                    "url": "Patient",
                    "ifNoneExist": f"identifier={SYSTEM}|{patient['identifier'][0]['value']}",
                },
            }
            for patient in made[first : first + PATIENTS_A_BUNDLE]
        ]
        yield base.request("POST", "", encode({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
    for number in range(visits):
        yield base.request("POST", "", encode(make_visit(rng, f"visit-{number}", 18)))


async def _send(base: Base, requests: Sequence[bytes], seeded: Seeded) -> None:
    waiting = iter(requests)

    async def work() -> None:
        line = Connection(base)
        for request in waiting:
            seeded.count(await line.send(request))
        line.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
