"""How selective searches, disk and plans change as the data grows tenfold.

The same practice is loaded twice over with ``praxis load --bulk`` (ids of its own, so that the file says all), each time as
many times larger; every query is asked by one client, with different values each time.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import psycopg

from bench.content import FAMILIES, SYSTEM, VITAL_SIGNS, encode, make_visit
from bench.http_client import Base, Connection
from bench.measure import percentile
from bench.startup import serving
from bench.statements import Log, explain, logged

OBSERVATIONS = 18
VISIT = OBSERVATIONS + 2
ASKED = 400
"""Requests of each query that are timed."""

_SIZES = """
SELECT CASE WHEN c.relname LIKE 'resource\\_%' THEN 'resource' ELSE t.relname END AS room, c.relkind = 'i',
       sum(pg_relation_size(c.oid) + CASE WHEN c.relkind = 'r' AND c.reltoastrelid <> 0
                                          THEN pg_total_relation_size(c.reltoastrelid) ELSE 0 END)::int8
FROM pg_class c LEFT JOIN pg_index x ON x.indexrelid = c.oid JOIN pg_class t ON t.oid = coalesce(x.indrelid, c.oid)
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'i') GROUP BY 1, 2 ORDER BY 3 DESC"""


@dataclass(frozen=True, slots=True)
class Query:
    """A search whose answer doesn't grow with the data; ``make`` takes a visit's number."""

    name: str
    make: Callable[[Random, int], str]


@dataclass(frozen=True, slots=True)
class Grown:
    """What was measured at one size: query → p50 in ms, and bytes by what they are for."""

    resources: int
    load_rate: float
    p50_ms: dict[str, float]
    sizes: dict[str, int]
    plans: dict[str, list[str]]


def _mrn(visit: int) -> str:
    return f"S{visit:08d}"


QUERIES = (
    Query("read", lambda _, v: f"/Patient/p{v}"),
    Query("identifier", lambda _, v: f"/Patient?identifier={quote(f'{SYSTEM}|{_mrn(v)}')}"),
    Query(
        "name + birthdate",
        lambda rng, v: f"/Patient?family={rng.choice(FAMILIES)}&birthdate=19{v % 70 + 30}-0{v % 9 + 1}-1{v % 9}",
    ),
    Query("patient + code", lambda rng, v: f"/Observation?patient=p{v}&code={_code(rng)}&_count=20"),
    Query(
        "patient + category, sorted",
        lambda _, v: f"/Observation?patient=p{v}&category=vital-signs&_sort=-date&_count=50",
    ),
    Query(
        "include + revinclude",
        lambda _, v: f"/Encounter?patient=p{v}&_include=Encounter:patient&_revinclude=Observation:encounter",
    ),
    Query(
        "chained", lambda rng, v: f"/Observation?patient.identifier={quote(f'{SYSTEM}|{_mrn(v)}')}&code={_code(rng)}"
    ),
    Query("_has", lambda _, v: f"/Patient?identifier={quote(f'{SYSTEM}|{_mrn(v)}')}&_has:Encounter:patient:class=AMB"),
    Query("_total=accurate", lambda rng, v: f"/Observation?patient=p{v}&code={_code(rng)}&_total=accurate"),
    Query("$everything", lambda _, v: f"/Patient/p{v}/$everything?_count=200"),
)


def _code(rng: Random) -> str:
    return quote(f"http://loinc.org|{rng.choice(VITAL_SIGNS)[0]}")


def make_file(path: Path, first: int, visits: int) -> None:
    """Write visits as NDJSON: each resource with an id that its visit's number gives."""
    with path.open("wb") as out:
        for visit in range(first, first + visits):
            for resource in _resources(visit):
                out.write(encode(resource) + b"\n")


def _resources(visit: int) -> Iterator[dict[str, Any]]:
    bundle = make_visit(Random(visit), _mrn(visit), OBSERVATIONS)
    names = [f"Patient/p{visit}", f"Encounter/e{visit}", *(f"Observation/o{visit}-{n}" for n in range(OBSERVATIONS))]
    text = json.dumps([entry["resource"] for entry in bundle["entry"]])
    for entry, name in zip(bundle["entry"], names, strict=True):
        text = text.replace(entry["fullUrl"], name)
    for resource, name in zip(json.loads(text), names, strict=True):
        yield {**resource, "id": name.partition("/")[2]}


def measure_growth(sizes: Sequence[int]) -> list[Grown]:
    """Load up to each size in turn, measure there, and return the figures."""
    home = Path(tempfile.mkdtemp(prefix="praxis-scale-"))
    home.chmod(0o755)  # PostgreSQL runs under another account when this one is root
    grown, visits = [], 0
    try:
        for size in sizes:
            source = home / "visits.ndjson"
            make_file(source, visits, size // VISIT - visits)
            rate = _load(home / "data", source, (size // VISIT - visits) * VISIT)
            source.unlink()
            visits = size // VISIT
            grown.append(_measure(home / "data", size, visits, rate))
            print(f"{size:,} resources: {grown[-1].p50_ms}", flush=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return grown


def _load(data_dir: Path, source: Path, resources: int) -> float:
    praxis = Path(sys.executable).with_name("praxis")
    started = time.perf_counter()
    command = [str(praxis), "load", "--bulk", "--data-dir", str(data_dir), str(source)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    return resources / (time.perf_counter() - started)


def _measure(data_dir: Path, size: int, visits: int, rate: float) -> Grown:
    with serving(data_dir) as server:
        dsn = (data_dir / "praxis.dsn").read_text().strip()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            sizes = {
                f"{room} {'indexes' if index else 'rows'}": int(count)
                for room, index, count in connection.execute(_SIZES).fetchall()
            }
        times = asyncio.run(_ask_all(server.base, visits))
        plans = asyncio.run(_explain_all(server.base, dsn, data_dir / "postgres.log", visits))
    return Grown(size, rate, times, {room: count for room, count in sizes.items() if count > size}, plans)


async def _explain_all(base: Base, dsn: str, log_file: Path, visits: int) -> dict[str, list[str]]:
    """Return the plans of each query's statements."""
    plans = {}
    with logged(dsn):
        line, log = Connection(base), Log(log_file)
        for query in QUERIES:
            request = base.request("GET", query.make(Random(7), visits // 2))
            await line.send(request)  # the first on a new connection also prepares
            log.take()
            await line.send(request)
            plans[query.name] = [explain(dsn, s) for s in log.take() if "resource_" in s.text]
        line.close()
    return plans


async def _ask_all(base: Base, visits: int) -> dict[str, float]:
    return {query.name: await _ask(base, query, visits) for query in QUERIES}


async def _ask(base: Base, query: Query, visits: int) -> float:
    rng, line, times = Random(11), Connection(base), []
    try:
        for number in range(ASKED + ASKED // 4):
            request = base.request("GET", query.make(rng, rng.randrange(visits)))
            sent = time.perf_counter()
            response = await line.send(request)
            if response.status != 200:
                raise RuntimeError(f"{query.name} answered {response.status}: {response.body[:200]!r}")
            if number >= ASKED // 4:
                times.append(time.perf_counter() - sent)
    finally:
        line.close()
    return round((percentile(sorted(times), 50) or 0.0) * 1000, 2)


def report(grown: Sequence[Grown]) -> str:
    """Return Markdown: latencies side by side with their growth, bytes for each resource, and the plans at the end."""
    heads = " | ".join(f"{g.resources:,}" for g in grown)
    lines = [f"| p50 ms, one client | {heads} | growth |", "|---|" + "--:|" * (len(grown) + 1)]
    for query in QUERIES:
        times = [g.p50_ms[query.name] for g in grown]
        lines.append(f"| {query.name} | {' | '.join(f'{t:.2f}' for t in times)} | {times[-1] / times[0]:.2f} |")
    lines.append(f"| load, resources/s | {' | '.join(f'{g.load_rate:,.0f}' for g in grown)} | |")
    lines += ["", f"| bytes for each resource | {heads} |", "|---|" + "--:|" * len(grown)]
    for room in grown[-1].sizes:
        lines.append(f"| {room} | {' | '.join(f'{g.sizes.get(room, 0) / g.resources:,.0f}' for g in grown)} |")
    totals = [sum(g.sizes.values()) / g.resources for g in grown]
    indexes = [sum(n for room, n in g.sizes.items() if room.endswith("indexes")) / g.resources for g in grown]
    lines.append(f"| of which indexes | {' | '.join(f'{n:,.0f}' for n in indexes)} |")
    lines.append(f"| all | {' | '.join(f'{n:,.0f}' for n in totals)} |")
    for name, plans in grown[-1].plans.items():
        for plan in plans:
            lines += ["", f"{name} at {grown[-1].resources:,}:", "", "```", plan, "```"]
    return "\n".join(lines) + "\n"
