"""The command line as an operator meets it: one process, its output, its exit status."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from tests.server import RunningServer


def praxis(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run(
        [sys.executable, "-m", "fhir_server.cli", *arguments],
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can enter."""
    made = Path(tempfile.mkdtemp(prefix="praxis-cli-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_version() -> None:
    """One line."""
    done = praxis("--version")
    assert (done.returncode, done.stdout) == (0, "praxis 0.1.0\n")


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        (["serve", "--auth", "off", "--host", "0.0.0.0"], {}, "--auth off is only for this machine"),  # noqa: S104
        (["serve", "--auth", "maybe"], {}, "--auth is on or off, not maybe"),
        (["serve", "--port", "99999"], {}, "--port: Input should be less than or equal to 65535"),
        (["load", "/no/such/file"], {}, "/no/such/file: no such file or folder"),
        (["db", "check"], {"DATABASE_URL": "postgresql://127.0.0.1:1/none"}, "The database is not reachable"),
        (["serve"], {"PRAXIS_WORKERS": "many"}, "PRAXIS_WORKERS: Input should be a valid integer"),
    ],
)
def test_a_refusal_is_one_line_with_a_status(arguments: list[str], environment: dict[str, str], reason: str) -> None:
    """No traceback, whatever is wrong."""
    done = praxis(*arguments, **environment)
    assert done.returncode == 1
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_taken_port_is_one_line(dsn: str) -> None:
    """With the way out."""
    with RunningServer.on_database(dsn) as running:
        done = praxis("serve", "--port", str(running.port), "--mllp-port", "0", DATABASE_URL=dsn)
    assert done.returncode == 1
    assert "choose another port" in done.stderr


def test_tokens_open_a_server_with_authentication_on(dsn: str) -> None:
    """401 without, 200 with, 401 again once it is revoked and the few seconds of memory are over."""
    with RunningServer.on_database(dsn, auth=True) as running:
        url = f"{running.base_url}/Patient"
        assert httpx.get(url).status_code == 401
        token = praxis("token", "create", "test app", DATABASE_URL=dsn).stdout.strip()
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(url, headers=headers).status_code == 200
        assert "test app" in praxis("token", "list", DATABASE_URL=dsn).stdout
        assert praxis("token", "revoke", "test app", DATABASE_URL=dsn).returncode == 0
        until = time.monotonic() + 30
        while httpx.get(url, headers=headers).status_code != 401:
            assert time.monotonic() < until
            time.sleep(0.5)


def test_only_a_token_made_for_it_may_expunge(dsn: str) -> None:
    """The permission is kept with the token and shown in the list."""
    flag = {"name": "expungeDeletedResources", "valueBoolean": True}
    body = {"resourceType": "Parameters", "parameter": [flag]}

    def expunge(url: str, *options: str) -> int:
        token = praxis("token", "create", "office", *options, DATABASE_URL=dsn).stdout.strip()
        return httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}).status_code

    with RunningServer.on_database(dsn, auth=True) as running:
        url = f"{running.base_url}/$expunge"
        assert expunge(url) == 403
        assert expunge(url, "--allow-expunge") == 200
    listed = praxis("token", "list", DATABASE_URL=dsn).stdout
    assert sorted(line.split("│")[-2].strip() for line in listed.splitlines() if "office" in line) == ["no", "yes"]


def test_reindexing_with_and_without_a_server(dsn: str) -> None:
    """Index entries that were lost are there again, whoever does the job."""

    def lose_entries() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("UPDATE resource_patient SET tokens = '{}'")

    with RunningServer.on_database(dsn) as running, running.client() as http:
        http.post("/Patient", json={"resourceType": "Patient", "gender": "female"}).raise_for_status()
        lose_entries()
        assert http.get("/Patient?gender=female&_summary=count").json()["total"] == 0
        done = praxis("reindex", "Patient", DATABASE_URL=dsn)
        assert (done.returncode, done.stdout) == (0, "Index entries made anew: Patient 1.\n"), done.stderr
        assert http.get("/Patient?gender=female&_summary=count").json()["total"] == 1
        lose_entries()
    done = praxis("reindex", DATABASE_URL=dsn)
    assert (done.returncode, done.stdout) == (0, "Index entries made anew: Patient 1.\n"), done.stderr
    with RunningServer.on_database(dsn) as running, running.client() as http:
        assert http.get("/Patient?gender=female&_summary=count").json()["total"] == 1
    refused = praxis("reindex", "Patience", DATABASE_URL=dsn)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "'Patience' is not a FHIR R4 resource type" in refused.stderr


def test_data_survives_stop_backup_and_restore(folder: Path) -> None:
    """Written, stopped by SIGTERM, backed up, restored into another directory, read again; commands share a running server."""
    data, other, dump = folder / "data", folder / "other", folder / "praxis.dump"
    with RunningServer.on_directory(data) as running, running.client() as http:
        id_ = (
            http.post("/Patient", json={"resourceType": "Patient", "birthDate": "1984-02-29"})
            .raise_for_status()
            .json()["id"]
        )
        done = praxis("db", "backup", str(dump), "--data-dir", str(data))
        assert done.returncode == 0, done.stderr
        in_use = praxis("serve", "--port", "0", "--data-dir", str(data))
        assert in_use.returncode == 1
        assert in_use.stderr.count("\n") == 1
        assert running.stop() == 0
    assert praxis("db", "check", "--data-dir", str(data)).returncode == 0
    done = praxis("db", "restore", str(dump), "--data-dir", str(other))
    assert done.returncode == 0, done.stderr
    with RunningServer.on_directory(other) as running, running.client() as http:
        assert http.get(f"/Patient/{id_}").json()["birthDate"] == "1984-02-29"


def workers_of(pid: int) -> list[psutil.Process]:
    """Return the processes below a server."""
    return psutil.Process(pid).children(recursive=True)


def test_a_dead_worker_is_replaced_and_no_process_outlives_its_parent(dsn: str) -> None:
    """Kill each process that holds the HTTP socket: the server answers again. Kill the parent: all end."""
    running = RunningServer.on_database(dsn, workers=2).start()
    assert running.process is not None
    try:
        # The fork server is the parent of the workers.
        workers = [p for p in workers_of(running.process.pid) if p.ppid() != running.process.pid]
        assert len(workers) >= 2  # for HTTP; that for background jobs comes a little later
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        until = time.monotonic() + 30
        while True:
            try:
                if httpx.get(f"{running.base_url}/metadata", timeout=2).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
            assert time.monotonic() < until
        everyone = workers_of(running.process.pid)
        running.process.kill()
        running.process.wait()
        _, alive = psutil.wait_procs(everyone, timeout=20)
        assert alive == []
    finally:
        running.kill_group()
