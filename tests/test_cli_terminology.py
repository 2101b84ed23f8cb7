"""Code systems from the command line: imported, listed, removed; a refusal is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.terminology.importers import releases
from tests.test_cli import praxis

WARDS = "https://clinic.example/wards"


def terminology(dsn: str, *arguments: str) -> tuple[int, str]:
    done = praxis("terminology", *arguments, DATABASE_URL=dsn)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def test_import_list_remove(dsn: str, tmp_path: Path) -> None:
    wards = tmp_path / "wards.csv"
    wards.write_text("code,display,parent\nW,All,\nW1,Surgery,W\n")
    for version in ("2026", "2027"):
        done = terminology(dsn, "import", "csv", str(wards), "--url", WARDS, "--version", version)
        assert done == (0, f"{WARDS}|{version}: 2 concepts\n")
    release = releases.zipped(tmp_path / "s.zip", releases.rf2())
    assert terminology(dsn, "import", "snomed", str(release), "--all-tenants")[0] == 0
    snomed = f"http://snomed.info/sct|http://snomed.info/sct/{releases.CORE}/version/20240101"
    assert terminology(dsn, "list") == (
        0,
        f"{WARDS}|2027  2 concepts, 0.0 MB, current\n{WARDS}|2026  2 concepts, 0.0 MB, there\n"
        f"{snomed}  5 concepts, 0.0 MB, current, all tenants\n",
    )
    status, listed = terminology(dsn, "list", "--shipped")
    assert status == 0
    assert "http://hl7.org/fhir/sid/icd-10-cm|2026  98,186 concepts, shipped\n" in listed
    assert terminology(dsn, "remove", WARDS, "--version", "2027") == (0, "1 file(s) removed\n")
    assert terminology(dsn, "list")[1].startswith(f"{WARDS}|2026  2 concepts, 0.0 MB, current\n")
    assert terminology(dsn, "remove", WARDS, "--all-tenants") == (1, f"praxis: {WARDS} was not imported\n")
    assert terminology(dsn, "remove", WARDS) == (0, "1 file(s) removed\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["icd", "x.zip"], "'icd' is none of snomed, cpt, hcpcs, loinc, rxnorm, csv"),
        (["csv", "none.csv", "--url", WARDS, "--version", "1"], "none.csv: there is no such file"),
        (["csv", "wards.csv", "--url", WARDS, "--version", "1"], "wards.csv, line 3, column parent: X is not among the codes"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_line(tmp_path: Path, arguments: list[str], reason: str) -> None:
    """Files are read before the database is opened: none is needed here."""
    (tmp_path / "wards.csv").write_text("code,display,parent\nW,All,\nW1,Surgery,X\n")
    kind, name, *options = arguments
    status, said = terminology("postgresql://127.0.0.1:1/none", "import", kind, str(tmp_path / name), *options)
    assert status == 1
    assert said.startswith("praxis: ")
    assert said.endswith(f"{reason}\n")
    assert said.count("\n") == 1
