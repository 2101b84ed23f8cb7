"""A power cut in the middle of writing: what was acknowledged is there, whole, and nothing else is half there."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.answers import Resource, bundle_of, count, entry, find, resource_of
from tests.server import RunningServer

THREADS = 6
RESOURCES = 2_000
CUT_AFTER = 700
BUNDLE_SIZE = 5
SYSTEM = "http://example.org/crash"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that the database's own account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="praxis-crash-"))
    folder.chmod(0o755)
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


def observation(group: str, subject: str) -> Resource:
    """Return an Observation that can be found by its group."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{"system": SYSTEM, "value": group}],
        "code": {"text": f"value of {group}"},
        "subject": {"reference": subject},
        "effectiveDateTime": "2020-02-29T12:00:00Z",
        "valueQuantity": {"value": 1, "unit": "kg"},
    }


class Writers:
    """Threads that create until all is written or the server is gone; they note what was acknowledged."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._lock = Lock()
        self.attempted: list[tuple[str, int]] = []  # group, number of its Observations
        self.acknowledged: list[Resource] = []
        self.updated: dict[str, int] = {}
        self.enough = Event()

    def _note(self, resources: list[Resource]) -> None:
        with self._lock:
            self.acknowledged += resources
            if len(self.acknowledged) >= CUT_AFTER:
                self.enough.set()

    def _write(self, client: httpx.Client, number: int) -> int:
        """Write a single resource, an update or a small transaction; return how many resources that made."""
        group = str(uuid4())
        if number % 3:
            self.attempted.append((group, 1))
            stored = resource_of(client.post("/Observation", json=observation(group, "Patient/none")))
            self._note([stored])
            if number % 3 == 2:
                response = client.put(f"/Observation/{stored['id']}", json=stored)
                assert response.status_code == 200
                self.updated[stored["id"]] = 2
            return 1
        self.attempted.append((group, BUNDLE_SIZE))
        subject = f"urn:uuid:{uuid4()}"
        patient = {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": group}]}
        entries = [entry("POST", "Observation", observation(group, subject)) for _ in range(BUNDLE_SIZE)]
        bundle = bundle_of("transaction", entry("POST", "Patient", patient, subject), *entries)
        answer = resource_of(client.post("/", json=bundle, headers={"prefer": "return=representation"}))
        self._note([e["resource"] for e in answer["entry"]])
        return BUNDLE_SIZE + 1

    def run(self, number: int) -> None:
        """Write this thread's share."""
        made = 0
        with suppress(httpx.TransportError), self._server.client() as client:
            while made < RESOURCES // THREADS:
                made += self._write(client, number)
                number += 1


def cut_the_power(server: RunningServer, data_dir: Path) -> None:
    """Kill every process of the server, the database too, without a word of warning."""
    postmaster = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    children = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _parent(p) == postmaster]
    server.kill_group()
    for process in (postmaster, *children):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    until = time.monotonic() + 10
    while any(_state(process) not in ("Z", "") for process in (postmaster, *children)) and time.monotonic() < until:
        time.sleep(0.02)


def _stat(process: Path) -> list[str]:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _parent(process: Path) -> int:
    stat = _stat(process)
    return int(stat[1]) if stat else 0


def _state(process: int) -> str:
    stat = _stat(Path(f"/proc/{process}"))
    return stat[0] if stat else ""


def check_groups(client: httpx.Client, attempted: list[tuple[str, int]], acknowledged: dict[str, Any]) -> None:
    """Check that each group is there as a whole or not at all, and as a whole if it was acknowledged."""
    found: dict[str, list[Resource]] = {}
    for resource_type in ("Observation", "Patient"):
        for resource in find(client, resource_type, identifier=f"{SYSTEM}|", _count="1000"):
            found.setdefault(resource["identifier"][0]["value"], []).append(resource)
    confirmed = {r["identifier"][0]["value"] for r in acknowledged.values()}
    for group, size in attempted:
        stored = found.pop(group, [])
        assert len(stored) in (0, 1 if size == 1 else size + 1), f"{len(stored)} resources of a transaction"
        assert stored or group not in confirmed
    assert found == {}


def test_a_power_cut_loses_nothing_that_was_acknowledged(data_dir: Path) -> None:
    with RunningServer.on_directory(data_dir) as server:
        writers = Writers(server)
        with ThreadPoolExecutor(THREADS) as pool:
            running = [pool.submit(writers.run, number) for number in range(THREADS)]
            assert writers.enough.wait(60)
            cut_the_power(server, data_dir)
            for thread in running:
                thread.result()
    assert CUT_AFTER <= len(writers.acknowledged) < RESOURCES
    acknowledged = {f"{r['resourceType']}/{r['id']}": r for r in writers.acknowledged}
    with RunningServer.on_directory(data_dir) as server, server.client() as client:
        for path, resource in acknowledged.items():
            current = resource_of(client.get(f"/{path}"))
            if current["meta"]["versionId"] == "1":
                assert current == resource
                assert resource["id"] not in writers.updated
            else:  # the update may have been stored without having been acknowledged any more
                assert {**current, "meta": resource["meta"]} == resource
                assert resource_of(client.get(f"/{path}/_history/1")) == resource
                history = resource_of(client.get(f"/{path}/_history"))
                assert [e["resource"]["meta"]["versionId"] for e in history["entry"]] == ["2", "1"]
        check_groups(client, writers.attempted, acknowledged)
        for resource_type in ("Observation", "Patient"):
            stored = find(client, resource_type, _count="1000")
            assert len({r["id"] for r in stored}) == len(stored) == count(client, resource_type)
            for resource in stored[::50]:
                assert resource_of(client.get(f"/{resource_type}/{resource['id']}")) == resource
        assert resource_of(client.post("/Patient", json={"resourceType": "Patient"}))["id"]
