"""All Synthea bundles load without a failure, a second time changes nothing, and searches find what a plain scan finds."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.acceptance.synthea import Predicate, has_code, instant, names, read_entries, starts
from tests.server import RunningServer
from tests.shared import shared

LOINC = "http://loinc.org"
Resource = dict[str, Any]


def load(dsn: str) -> subprocess.CompletedProcess[str]:
    """Run ``praxis load`` on the archive."""
    archive = shared("synthea", "synthea-r4-smart-sample.tar.gz")
    command = [sys.executable, "-m", "fhir_server.cli", "load", str(archive)]
    return subprocess.run(
        command,
        check=False,
        env={"DATABASE_URL": dsn, "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def entries() -> tuple[tuple[str, Resource], ...]:
    """The input."""
    return read_entries(shared("synthea", "synthea-r4-smart-sample.tar.gz"))


@pytest.fixture(scope="module")
def loaded(dsn: str) -> str:
    """A database with the archive loaded."""
    done = load(dsn)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16,993 entries stored" in done.stdout
    assert "0 failed" in done.stdout
    return dsn


@pytest.fixture(scope="module")
def http(loaded: str) -> Iterator[httpx.Client]:
    """A client of a server over the loaded database."""
    with RunningServer.on_database(loaded) as running, running.client() as client:
        yield client


def find(http: httpx.Client, path: str) -> list[Resource]:
    """Return all matches of a search, following every page."""
    out: list[Resource] = []
    url: str | None = path
    while url is not None:
        bundle = http.get(url).raise_for_status().json(parse_float=Decimal)
        out += [e["resource"] for e in bundle.get("entry", ()) if e["search"]["mode"] == "match"]
        url = next((link["url"] for link in bundle.get("link", ()) if link["relation"] == "next"), None)
    return out


def test_loading_again_creates_nothing(loaded: str) -> None:
    """The ledger knows every bundle."""
    done = load(loaded)
    assert done.returncode == 0
    assert "0 entries stored" in done.stdout
    assert "16,993 were there already" in done.stdout


def test_counts_per_type_equal_the_input(http: httpx.Client, entries: tuple[tuple[str, Resource], ...]) -> None:
    """What went in is in there, type by type."""
    expected = Counter(resource["resourceType"] for _, resource in entries)
    found = {t: http.get(f"/{t}", params={"_summary": "count"}).raise_for_status().json()["total"] for t in expected}
    assert found == dict(expected)


def fingerprint(resource: Resource) -> str:
    """Identify a resource whatever id it got: what the server never changes."""
    kept = {k: v for k, v in resource.items() if k not in ("id", "meta", "text")}
    return repr(_without_references(kept))


def _without_references(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_references(v) for k, v in sorted(value.items()) if k != "reference"}
    if isinstance(value, list):
        return [_without_references(v) for v in value]
    return value


def quantity(resource: Resource) -> Decimal | None:
    """Return an Observation's numeric value."""
    value = resource.get("valueQuantity", {}).get("value")
    return None if value is None else Decimal(value)


SEARCHES: list[tuple[str, str, Predicate]] = [
    ("Patient", "gender=female", lambda r: r.get("gender") == "female"),
    ("Patient", "birthdate=lt1960-01-01", lambda r: r["birthDate"] < "1960-01-01"),
    ("Patient", "birthdate=ge1980&birthdate=lt1990", lambda r: "1980" <= r["birthDate"][:4] < "1990"),
    ("Patient", "name=mar", lambda r: any(starts(n, "mar") for n in names(r))),
    ("Patient", "family=B", lambda r: any(starts(n.get("family", ""), "B") for n in r["name"])),
    (
        "Patient",
        "given=J&gender=male",
        lambda r: r["gender"] == "male" and any(starts(g, "J") for n in r["name"] for g in n.get("given", ())),
    ),
    (
        "Patient",
        "address-city=Boston,Worcester",
        lambda r: any(starts(a.get("city", ""), c) for a in r.get("address", ()) for c in ("Boston", "Worcester")),
    ),
    ("Patient", "deceased=true", lambda r: "deceasedDateTime" in r or r.get("deceasedBoolean") is True),
    (
        "Patient",
        "identifier=http://hl7.org/fhir/sid/us-ssn|",
        lambda r: any(i.get("system") == "http://hl7.org/fhir/sid/us-ssn" for i in r["identifier"]),
    ),
    ("Observation", f"code={LOINC}|8302-2", lambda r: has_code(r["code"], "8302-2", LOINC)),
    ("Observation", "code=8302-2,29463-7", lambda r: has_code(r["code"], "8302-2") or has_code(r["code"], "29463-7")),
    (
        "Observation",
        f"code={LOINC}|8302-2&value-quantity=gt170",
        lambda r: has_code(r["code"], "8302-2", LOINC) and (quantity(r) or 0) > 170,
    ),
    (
        "Observation",
        "category=laboratory&date=ge2015-06-01&date=lt2015-09-01",
        lambda r: (
            any(has_code(c, "laboratory") for c in r.get("category", ()))
            and instant("2015-06-01") <= instant(r["effectiveDateTime"]) < instant("2015-09-01")
        ),
    ),
    (
        "Observation",
        "value-quantity=le5||mmol/L",
        lambda r: (
            "valueQuantity" in r
            and (r["valueQuantity"].get("code") == "mmol/L" or r["valueQuantity"].get("unit") == "mmol/L")
            and (quantity(r) or 0) <= 5
        ),
    ),
    (
        "Condition",
        "code=http://snomed.info/sct|44054006",
        lambda r: has_code(r["code"], "44054006", "http://snomed.info/sct"),
    ),
    ("Condition", "clinical-status=resolved", lambda r: has_code(r.get("clinicalStatus"), "resolved")),
    ("Encounter", "class=EMER", lambda r: r["class"]["code"] == "EMER"),
    (
        "Encounter",
        "date=gt2018-01-01&class=AMB",
        lambda r: r["class"]["code"] == "AMB" and instant(r["period"]["end"]) >= instant("2018-01-02"),
    ),
    ("MedicationRequest", "status=active", lambda r: r["status"] == "active"),
    (
        "Procedure",
        "date=2012",
        lambda r: (
            instant(r["performedPeriod"]["start"]) >= instant("2012-01-01")
            and instant(r["performedPeriod"]["end"]) < instant("2013-01-01")
        ),
    ),
    (
        "Immunization",
        "vaccine-code=http://hl7.org/fhir/sid/cvx|140&status=completed",
        lambda r: r["status"] == "completed" and has_code(r["vaccineCode"], "140", "http://hl7.org/fhir/sid/cvx"),
    ),
    (
        "Claim",
        "use=claim&created=ge2019",
        lambda r: r["use"] == "claim" and instant(r["created"]) >= instant("2019-01-01"),
    ),
]


@pytest.mark.parametrize(("resource_type", "query", "expected"), SEARCHES, ids=[f"{t}?{q}" for t, q, _ in SEARCHES])
def test_search_finds_what_a_plain_scan_finds(
    http: httpx.Client, entries: tuple[tuple[str, Resource], ...], resource_type: str, query: str, expected: Predicate
) -> None:
    """The same resources, neither more nor fewer."""
    wanted = Counter(fingerprint(r) for _, r in entries if r["resourceType"] == resource_type and expected(r))
    found = find(http, f"/{resource_type}?{query}&_count=500")
    assert len({r["id"] for r in found}) == len(found)
    assert Counter(map(fingerprint, found)) == wanted
    assert wanted, "a search that finds nothing proves nothing"


def test_reference_search_finds_one_patients_resources(
    http: httpx.Client, entries: tuple[tuple[str, Resource], ...]
) -> None:
    """By patient and code, as the input's references say."""
    urls = [url for url, r in entries if r["resourceType"] == "Patient"]
    for url in urls[:10]:
        source = next(r for u, r in entries if u == url)
        ssn = next(i for i in source["identifier"] if i.get("system") == "http://hl7.org/fhir/sid/us-ssn")
        patient = find(http, f"/Patient?identifier={ssn['system']}|{ssn['value']}")
        assert len(patient) == 1
        wanted = Counter(
            fingerprint(r)
            for _, r in entries
            if r["resourceType"] == "Observation"
            and r["subject"]["reference"] == url
            and has_code(r["code"], "29463-7")
        )
        found = find(http, f"/Observation?patient={patient[0]['id']}&code=29463-7&_count=100")
        assert Counter(map(fingerprint, found)) == wanted
