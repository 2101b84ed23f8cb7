"""Loading stores everything once, goes on after an interruption, and names what it could not load."""

from __future__ import annotations

import gzip
import json
import tarfile
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conformance.decode import encode
from fhir_server.demo import bundles, generate
from fhir_server.jobs.load import Loader, Progress, Summary, load_paths
from fhir_server.jobs.load_crew import LoadStoppedError
from fhir_server.jobs.load_database import open_database
from fhir_server.jobs.load_sources import Found, OnBytes
from fhir_server.jobs.load_units import units_of
from fhir_server.jobs.load_work import LoadTarget
from tests.shared import shared

SYSTEM = "http://example.org/staff"


def stored(dsn: str) -> Counter[str]:
    """Return how many current resources there are of each type."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT content FROM resource WHERE content IS NOT NULL").fetchall()
    return Counter(json.loads(row[0])["resourceType"] for row in rows)


def versions(dsn: str) -> int:
    """Return how many superseded versions there are."""
    with psycopg.connect(dsn) as connection:
        (count,) = connection.execute("SELECT count(*) FROM resource_history").fetchone() or (-1,)
    return int(count)


def load(dsn: str, *paths: Path, workers: int = 0) -> Summary:
    """Load paths into the database."""
    return load_paths(list(paths), partial(open_database, dsn), workers=workers)


def write(path: Path, resource: Any) -> Path:
    """Write a resource as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(resource))
    return path


def patient(id_: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a small Patient."""
    return {"resourceType": "Patient", **({} if id_ is None else {"id": id_}), **more}


def bundle(type_: str, *entries: dict[str, Any]) -> dict[str, Any]:
    """Return a Bundle."""
    return {"resourceType": "Bundle", "type": type_, "entry": list(entries)}


def post(resource: dict[str, Any], full_url: str | None = None) -> dict[str, Any]:
    """Return an entry that creates a resource."""
    named = {} if full_url is None else {"fullUrl": full_url}
    return {**named, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}


def ndjson(path: Path, resources: list[dict[str, Any]]) -> Path:
    """Write resources one a line."""
    path.write_bytes(b"".join(encode(r) + b"\n" for r in resources))
    return path


def test_a_second_run_changes_nothing(dsn: str, tmp_path: Path) -> None:
    file = ndjson(tmp_path / "patients.ndjson", [patient(f"p{n}", active=True) for n in range(30)])
    write(tmp_path / "new.json", bundle("transaction", post(patient()), post(patient())))
    first = load(dsn, tmp_path)
    assert (first.entries, first.known_entries, first.failed) == (32, 0, 0)
    assert stored(dsn) == {"Patient": 32}
    second = load(dsn, tmp_path)
    assert (second.entries, second.known_entries, second.failed) == (0, 32, 0)
    assert stored(dsn) == {"Patient": 32}
    assert versions(dsn) == 0
    with file.open("ab") as lines:
        lines.write(encode(patient("p30")) + b"\n")
    third = load(dsn, tmp_path)
    assert (third.entries, third.known_entries) == (1, 32)


def test_an_id_is_kept_and_its_new_content_is_a_new_version(dsn: str, tmp_path: Path) -> None:
    load(dsn, write(tmp_path / "a.json", patient("same", gender="male")))
    load(dsn, write(tmp_path / "b.json", patient("same", gender="female")))
    assert stored(dsn) == {"Patient": 1}
    assert versions(dsn) == 1


def test_a_refused_line_is_named_and_the_rest_is_loaded(dsn: str, tmp_path: Path) -> None:
    lines = [patient(f"p{n}") for n in range(20)]
    lines[6]["birthDate"] = "yesterday"
    lines[13]["gender"] = "nope"
    summary = load(dsn, ndjson(tmp_path / "patients.ndjson", lines))
    assert summary.entries == 18
    assert summary.failed == 2
    reasons = {source.rsplit(":", 1)[1]: reason for source, reason in summary.failures}
    assert set(reasons) == {"7", "14"}
    assert "birthDate" in reasons["7"]
    assert "gender" in reasons["14"]
    assert "Bundle" not in reasons["7"]
    assert stored(dsn) == {"Patient": 18}


def test_a_transaction_is_all_or_nothing_and_its_failure_names_the_entry(dsn: str, tmp_path: Path) -> None:
    bad = bundle("transaction", post(patient()), post(patient(birthDate="1980-13-01")))
    summary = load(dsn, write(tmp_path / "bad.json", bad), write(tmp_path / "good.json", patient("g")))
    assert stored(dsn) == {"Patient": 1}
    ((source, reason),) = summary.failures
    assert source.endswith("bad.json")
    assert "entry[1]" in reason


def test_the_line_in_the_ledger_is_undone_with_the_unit(dsn: str, tmp_path: Path) -> None:
    load(dsn, write(tmp_path / "bad.json", patient("p", gender="nope")))
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM load_ledger").fetchone() == (0,)


def test_units_with_conditional_references_wait_for_what_they_refer_to(dsn: str, tmp_path: Path) -> None:
    staff = {"resourceType": "Practitioner", "identifier": [{"system": SYSTEM, "value": "7"}]}
    seen = patient(generalPractitioner=[{"reference": f"Practitioner?identifier={SYSTEM}|7"}])
    lost = patient(generalPractitioner=[{"reference": f"Practitioner?identifier={SYSTEM}|8"}])
    write(tmp_path / "a-patient.json", bundle("transaction", post(seen)))
    write(tmp_path / "b-patient.json", bundle("transaction", post(lost)))
    write(tmp_path / "z-staff.json", bundle("transaction", post(staff)))
    summary = load(dsn, tmp_path)
    assert stored(dsn) == {"Patient": 1, "Practitioner": 1}
    ((source, reason),) = summary.failures
    assert source.endswith("b-patient.json")
    assert f"Practitioner?identifier={SYSTEM}|8" in reason


def test_a_chain_of_conditional_references_is_resolved_pass_by_pass(dsn: str, tmp_path: Path) -> None:
    def organization(value: str, parent: str | None) -> dict[str, Any]:
        made: dict[str, Any] = {"resourceType": "Organization", "identifier": [{"system": SYSTEM, "value": value}]}
        if parent:
            made["partOf"] = {"reference": f"Organization?identifier={SYSTEM}|{parent}"}
        return made

    for name, value, parent in (("a", "4", "3"), ("b", "3", "2"), ("c", "2", "1"), ("d", "1", None)):
        write(tmp_path / f"{name}.json", bundle("transaction", post(organization(value, parent))))
    summary = load(dsn, tmp_path)
    assert summary.failed == 0
    assert stored(dsn) == {"Organization": 4}


def test_urn_references_within_a_collection_are_resolved(dsn: str, tmp_path: Path) -> None:
    urn = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
    seen = {"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "AMB"}}
    seen["subject"] = {"reference": urn}
    made = bundle("collection", {"fullUrl": urn, "resource": patient("p")}, {"resource": seen})
    assert load(dsn, write(tmp_path / "c.json", made)).failed == 0
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT content FROM resource WHERE id = 'e'").fetchall()
    assert json.loads(rows[0][0])["subject"] == {"reference": "Patient/p"}


def test_every_container_is_read(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(encode(patient("gz"))))
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(encode(patient("lines")) + b"\n\n"))
    inner = write(
        tmp_path / "inner.json", bundle("searchset", {"resource": patient("tar"), "search": {"mode": "match"}})
    )
    with tarfile.open(tmp_path / "c.tgz", "w:gz") as archive:
        archive.add(inner, "deep/inner.json")
        archive.add(tmp_path / "b.ndjson.gz", "deep/b.ndjson.gz")
    inner.unlink()
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as zipped:
        zipped.writestr("x/batch.json", encode(bundle("batch", post(patient()))))
        zipped.writestr("LICENSE", "text")
    write(tmp_path / "sub" / "e.json", bundle("collection", {"resource": patient("folder")}))
    write(tmp_path / "package.json", {"name": "not FHIR"})
    summary = load(dsn, tmp_path)
    assert summary.failures == []
    assert stored(dsn) == {"Patient": 5}
    assert (summary.entries, summary.known_entries) == (5, 1)
    assert [Path(source).name for source, _ in summary.skipped] == ["package.json"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"", "not valid JSON"),
        ("a.json", b"\xff\xfe", "not valid JSON"),
        ("a.json", b"[1]", "not a FHIR resource"),
        ("a.json", b'{"id":"x"}', "no resourceType"),
        ("a.json", b'{"resourceType":"Bundle","type":"history"}', "'history'"),
        ("a.json", b'{"resourceType":"Bundle","type":"batch","entry":[{}]}', "neither resource nor request"),
        ("a.json", b'{"resourceType":"Bundle","type":"batch","entry":7}', "the Bundle can't be read"),
        ("a.json", b'{"resourceType":"Patient","id":"a b"}', "not a FHIR id"),
        ("a.json", b'{"resourceType":"Nonsense","id":"a"}', "Nonsense"),
        ("a.json.gz", b"plain", "can't be read"),
        ("a.tgz", b"plain", "can't be read"),
        ("a.zip", b"plain", "can't be read"),
        ("a.txt", b"plain", "its name ends in none of"),
    ],
)
def test_what_cannot_be_read_is_a_failure_with_a_reason(
    dsn: str, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    summary = load(dsn, tmp_path / name, write(tmp_path / "good.json", patient("good")))
    ((source, told),) = summary.failures
    assert source.startswith(str(tmp_path / name))
    assert reason in told
    assert stored(dsn) == {"Patient": 1}


def test_a_missing_path_is_a_failure(dsn: str, tmp_path: Path) -> None:
    ((source, reason),) = load(dsn, tmp_path / "none.json").failures
    assert source.endswith("none.json")
    assert "can't be read" in reason


def test_an_interrupted_load_goes_on(dsn: str, tmp_path: Path) -> None:
    made = list(bundles(generate(7, 6, date(2026, 3, 2)), size=100))
    files = [write(tmp_path / f"{n:03d}.json", b) for n, b in enumerate(made)]

    class CutOffError(Exception):
        pass

    def interrupted(on_bytes: OnBytes) -> Iterator[Found]:
        for file in islice(files, 3):
            yield from units_of(file.read_bytes(), str(file))
            on_bytes(1)
        raise CutOffError

    with pytest.raises(CutOffError):
        Loader(interrupted, partial(open_database, dsn), workers=0).run()
    assert sum(stored(dsn).values()) == 300
    summary = load(dsn, tmp_path)
    total = sum(len(b["entry"]) for b in made)
    assert (summary.entries, summary.known_entries, summary.failed) == (total - 300, 300, 0)
    assert versions(dsn) == 0


def test_several_processes_share_a_load(dsn: str, tmp_path: Path) -> None:
    resources = list(generate(7, 12, date(2026, 3, 2)))
    ndjson(tmp_path / "demo.ndjson", resources)
    seen: list[Progress] = []
    summary = load_paths([tmp_path], partial(open_database, dsn), workers=2, on_progress=seen.append)
    assert summary.failures == []
    assert summary.entries == len(resources)
    assert stored(dsn) == Counter(r["resourceType"] for r in resources)
    assert seen[-1].entries == len(resources)
    assert seen[-1].bytes_read == seen[-1].bytes_total == (tmp_path / "demo.ndjson").stat().st_size
    assert [p.entries for p in seen] == sorted(p.entries for p in seen)


@asynccontextmanager
async def broken_target() -> AsyncIterator[LoadTarget]:
    """Fail to open."""
    raise OSError("no such database")
    yield


def test_a_target_that_cannot_be_opened_stops_the_load(tmp_path: Path) -> None:
    write(tmp_path / "p.json", patient("p"))
    with pytest.raises(LoadStoppedError, match="no such database"):
        load_paths([tmp_path], broken_target, workers=2)
    with pytest.raises(OSError, match="no such database"):
        load_paths([tmp_path], broken_target, workers=0)


def test_all_of_synthea_loads_and_a_second_run_creates_nothing(dsn: str) -> None:
    archive = shared("synthea", "synthea-r4-smart-sample.tar.gz")
    with tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if m.name.endswith(".json")]
        expected: Counter[str] = Counter()
        for member in members:
            content = tar.extractfile(member)
            assert content is not None
            expected += Counter(e["resource"]["resourceType"] for e in json.load(content)["entry"])
    first = load(dsn, archive, workers=2)
    assert (first.units, first.entries, first.failures) == (76, sum(expected.values()), [])
    assert stored(dsn) == expected
    second = load(dsn, archive, workers=2)
    assert (second.units, second.entries, second.known_units) == (0, 0, 76)
    assert stored(dsn) == expected
