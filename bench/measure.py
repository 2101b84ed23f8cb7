"""The closed loop: so many connections, each sending its next request when the last is answered."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.http_client import Base, Connection, Response
from bench.scenarios import Request

_ENTRY_DONE = re.compile(rb'"status"\s*:\s*"20[01]')


@dataclass(slots=True)
class Result:
    """One scenario at one number of connections. Latencies in milliseconds; ``rate`` counts what ``unit`` names."""

    scenario: str
    connections: int
    seconds: float
    requests: int
    rate: float
    unit: str
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    errors: dict[str, int] = field(default_factory=dict)
    first_error: str | None = None
    generator_cpu: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return asdict(self)


@dataclass(slots=True)
class _Tally:
    latencies: list[float] = field(default_factory=list)
    entries: int = 0
    errors: Counter[int] = field(default_factory=Counter)
    first_error: str | None = None


def percentile(ordered: list[float], percent: float) -> float | None:
    """Return the nearest-rank percentile of ascending values, None of no values."""
    if not ordered:
        return None
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


async def measure(
    base: Base, name: str, requests: Iterator[Request], *, connections: int, seconds: float, warm_up: float = 1.0
) -> Result:
    """Run a scenario and return its figures; a warm-up of so many seconds is not counted."""
    lines = [Connection(base) for _ in range(connections)]
    try:
        if warm_up > 0:
            await _drive(lines, requests, warm_up)
        cpu, started = time.process_time(), time.perf_counter()
        tally = await _drive(lines, requests, seconds)
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    finally:
        for line in lines:
            line.close()
    in_bundles = name.startswith("bundle")
    done = tally.entries if in_bundles else len(tally.latencies)
    ordered = sorted(tally.latencies)
    p50, p90, p99 = (None if (p := percentile(ordered, q)) is None else round(p * 1000, 2) for q in (50, 90, 99))
    return Result(
        scenario=name,
        connections=connections,
        seconds=round(elapsed, 2),
        requests=len(ordered),
        rate=round(done / elapsed, 1),
        unit="entries/s" if in_bundles else "/s",
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        errors={str(status): count for status, count in sorted(tally.errors.items())},
        first_error=tally.first_error,
        generator_cpu=round(cpu / elapsed, 2),
    )


async def _drive(lines: list[Connection], requests: Iterator[Request], seconds: float) -> _Tally:
    tally = _Tally()
    clock = time.perf_counter
    until = clock() + seconds

    async def loop(line: Connection) -> None:
        while (sent := clock()) < until:
            request = next(requests)
            response = await line.send(request.content)
            _count(tally, request, response, clock() - sent)

    await asyncio.gather(*(loop(line) for line in lines))
    return tally


def _count(tally: _Tally, request: Request, response: Response, latency: float) -> None:
    if response.status in (200, 201):
        tally.latencies.append(latency)
        tally.entries += 1 if request.entries == 1 else len(_ENTRY_DONE.findall(response.body))
        return
    tally.errors[response.status] += 1
    if tally.first_error is None:
        tally.first_error = f"{response.status}: {response.body[:300].decode(errors='replace')}"
