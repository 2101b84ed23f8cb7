"""``python -m bench all``: a fresh server, filled, measured in every scenario, its lab feed and start-up too."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.http_client import Base
from bench.machine import describe_machine
from bench.measure import Result, measure
from bench.mllp import measure_feed
from bench.report import Figure
from bench.scenarios import SCENARIOS, MissingDataError, take_sample
from bench.seed import seed
from bench.startup import serving, worker_memory

_LOADED = re.compile(r"\(([\d,]+)/s\)")


def find_synthea() -> Path | None:
    """Return the Synthea archive below ``PRAXIS_SHARED`` or ``../shared``, None when it isn't there."""
    shared = Path(os.environ.get("PRAXIS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    archive = shared / "synthea" / "synthea-r4-smart-sample.tar.gz"
    return archive if archive.exists() else None


def read_bundles(path: Path | None) -> list[bytes]:
    """Return the JSON Bundles of a folder or tar archive, none of no path."""
    if path is None:
        return []
    if path.is_dir():
        return [file.read_bytes() for file in sorted(path.glob("*.json"))]
    with tarfile.open(path) as archive:
        members = [archive.extractfile(m) for m in archive.getmembers() if m.isfile() and m.name.endswith(".json")]
        return [member.read() for member in members if member is not None]


async def run_scenarios(
    base: Base, names: Sequence[str], connections: Sequence[int], seconds: float, bundles: list[bytes]
) -> list[Result]:
    """Measure scenarios one after the other; one whose data is missing is left out with a message."""
    sample = await take_sample(base)
    results = []
    for name in names:
        for count in connections:
            try:
                requests = SCENARIOS[name](base, sample, bundles)
            except MissingDataError as error:
                print(f"{name}: left out, {error}", file=sys.stderr)
                break
            result = await measure(base, name, requests, connections=count, seconds=seconds)
            print(
                f"{name:16} {count:3} connections {result.rate:10,.1f} {result.unit} {result.errors or ''}", flush=True
            )
            if result.first_error:
                print(f"  first error: {result.first_error}", file=sys.stderr)
            results.append(result)
    return results


def load_rate(data_dir: Path, archive: Path) -> Figure:
    """Run ``praxis load`` on an archive with the server of that data directory, from command to prompt."""
    praxis = Path(sys.executable).with_name("praxis")
    command = [str(praxis), "load", "--data-dir", str(data_dir), str(archive)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    elapsed = time.perf_counter() - started
    told = _LOADED.search(done.stdout)
    rate = float(told[1].replace(",", "")) if told else 0.0
    return Figure("load", rate, "resources/s", f"{elapsed:.1f} s in all, start included")


def run_all(
    seconds: float, connections: Sequence[int], messages: int
) -> tuple[dict[str, str], list[Result], list[Figure]]:
    """Measure everything on a new data directory and return machine, results and figures."""
    archive = find_synthea()
    bundles = read_bundles(archive)
    home = Path(tempfile.mkdtemp(prefix="praxis-bench-"))
    home.chmod(0o755)  # PostgreSQL runs under another account when this one is root
    data_dir = home / "data"
    figures = []
    try:
        with serving(data_dir) as server:
            figures.append(Figure("start_new", round(server.ready_after, 2), "s"))
            figures.append(Figure("worker_memory", round(max(worker_memory(server.pid), default=0.0), 1), "MB", "idle"))
            if archive is not None:
                figures.append(load_rate(data_dir, archive))
            seeded = asyncio.run(seed(server.base, [], patients=5000))
            print(f"seeded: {seeded.requests} Bundles, {seeded.failed} failed {seeded.reasons[:1] or ''}", flush=True)
            results = asyncio.run(run_scenarios(server.base, list(SCENARIOS), connections, seconds, bundles))
            feed = asyncio.run(measure_feed(server.base, "127.0.0.1", server.mllp_port, messages=messages))
            codes = ", ".join(f"{count} x {code}" for code, count in feed.acknowledgements.items())
            figures.append(Figure("mllp_acknowledged", round(feed.acknowledged_per_second, 1), "messages/s", codes))
            mapped = f"{feed.mapped} of {feed.sent}"
            figures.append(Figure("mllp_mapped", round(feed.mapped_per_second, 1), "messages/s", mapped))
            address = data_dir / "praxis.dsn"
            machine = describe_machine(address.read_text() if address.exists() else None)
        with serving(data_dir) as server:
            figures.append(Figure("start_existing", round(server.ready_after, 2), "s"))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return machine, results, figures
