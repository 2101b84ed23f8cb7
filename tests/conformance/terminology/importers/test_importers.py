"""Each publisher's release becomes a concept file; what is wrong in one is named by file, line and column."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from conformance.terminology.files.errors import InvalidContent
from conformance.terminology.files.read import ConceptFile
from conformance.terminology.files.write import write_concepts
from conformance.terminology.importers.kinds import read_release
from tests.conformance.terminology.importers import releases
from tests.conformance.terminology.importers.releases import CORE, GB_ENGLISH, zipped


def imported(kind: str, path: Path, version: str | None = None, **options: str) -> ConceptFile:
    read_in = read_release(kind, path, version, **options)
    target = path.parent / "made.concepts"
    write_concepts(target, read_in.resource, read_in.entries)
    return ConceptFile(target)


def facts(system: ConceptFile, code: str) -> dict[str, object]:
    concept = system.find(code)
    assert concept is not None
    return {p.code: p.value for p in concept.properties}


def display(system: ConceptFile, code: str) -> str | None:
    concept = system.find(code)
    assert concept is not None
    return concept.display


def names(system: ConceptFile, code: str) -> list[str]:
    concept = system.find(code)
    assert concept is not None
    return [d.value for d in concept.designations]


def test_snomed(tmp_path: Path) -> None:
    system = imported("snomed", zipped(tmp_path / "SnomedCT.zip", releases.rf2()))
    assert system.resource["url"] == "http://snomed.info/sct"
    assert system.resource["version"] == f"http://snomed.info/sct/{CORE}/version/20240101"
    assert list(system.codes()) == ["138875005", "404684003", "22298006", "74281007", "155304006"]
    event = system.find("22298006")
    assert event is not None
    assert event.display == "Heart event"
    assert event.definition == "What the heart does."
    assert [d.value for d in event.designations] == ["Heart event (disorder)", "Cardiac event", "Heart event"]
    assert event.designations[0].use == {
        "system": "http://snomed.info/sct",
        "code": "900000000000003001",
        "display": "Fully specified name",
    }
    assert {p.code: (p.type, p.value) for p in event.properties} == {
        "inactive": ("boolean", False),
        "sufficientlyDefined": ("boolean", True),
        "moduleId": ("code", CORE),
        "363698007": ("code", "74281007"),
        "1142135004": ("decimal", Decimal("2.50")),
    }
    assert len(event.properties) == 5, "the same attribute in two groups is one property"
    assert display(system, "74281007") == 'Muscle of the "heart"'
    assert display(system, "138875005") == "Root thing (root)"
    old = system.find("155304006")
    assert old is not None
    assert old.inactive
    assert list(system.parents("22298006")) == ["404684003"]
    assert list(system.children("138875005")) == ["404684003", "74281007"]
    assert set(system.having("inactive", ["true"])) == {"155304006"}
    assert list(system.search("card")) == ["22298006"]
    assert list(system.search("retired")) == []


def test_snomed_by_another_language_and_from_a_folder(tmp_path: Path) -> None:
    for name, content in releases.rf2().items():
        path = tmp_path / name.replace("_INT_", "_XX9_")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, newline="")
    with pytest.raises(InvalidContent, match="does not say of which version"):
        imported("snomed", tmp_path)
    version = "http://snomed.info/sct/999/version/20240101"
    system = imported("snomed", tmp_path / "Release", version, language_refset=GB_ENGLISH)
    assert system.resource["version"] == version
    assert display(system, "22298006") == "Cardiac event"


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("Concept", "74281007=>7428x", "sct2_Concept_Snapshot_INT_20240101.txt, line 5, column id: '7428x' is not an identifier"),
        ("Concept", "22298006\t20240101\t1=>22298006\t20240101\tyes", "line 4, column active: 'yes' is neither 0 nor 1"),
        ("Concept", "22298006=>404684003", "line 4, column id: 404684003 is there twice"),
        ("Concept", f"\t{releases.DEFINED}=>", "line 4, column definitionStatusId: missing"),
        ("Concept", "moduleId=>module", "line 1, column moduleId: missing; there are id, effectiveTime, active, module,"),
        ("Description", "\t138875005=>\t42", "Description_Snapshot-en_INT_20240101.txt, line 2, column conceptId: 42 is not among"),
        ("Relationship", "1\t20240101\t1\t900000000000207008\t404684003=>1\t20240101\t1\tm\t55", "line 2, column sourceId: 55"),
        ("Relationship", "\t404684003\t138875005=>\t404684003\t66", "line 2, column destinationId: 66 is not among"),
        ("Relationship", "404684003\t138875005=>404684003\t22298006", "the hierarchy is a circle: 404684003 below 22298006 below"),
        ("RelationshipConcreteValues", "#2.50=>#2,50", "line 2, column value: '#2,50' is not a number"),
    ],
)  # fmt: skip
def test_snomed_says_where_it_is_wrong(tmp_path: Path, part: str, change: str, message: str) -> None:
    files = releases.rf2(**{f"{part}_Snapshot" if part != "Description" else "Description_Snapshot-en": change})
    with pytest.raises(InvalidContent, match=re.escape(message)):
        imported("snomed", zipped(tmp_path / "s.zip", files))


def test_snomed_not_in_utf_8(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = dict(releases.rf2())
    name = next(n for n in files if "Description" in n)
    files[name] = files[name].encode().replace(b"Cardiac", b"C\xe4rdiac")  # type: ignore[union-attr]
    with pytest.raises(InvalidContent, match=r"sct2_Description_.*\.txt, line 6: not utf-8 text"):
        imported("snomed", zipped(tmp_path / "s.zip", files))


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidContent, match="there is no such file"):
        imported("snomed", tmp_path / "none.zip")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(zipped(tmp_path / "s.zip", releases.rf2()).read_bytes()[:300])
    with pytest.raises(InvalidContent, match="not a zip archive, or a damaged one"):
        imported("snomed", broken)
    with pytest.raises(InvalidContent, match="no file of concepts"):
        imported("snomed", zipped(tmp_path / "s.zip", {"readme.txt": "x"}))
    content = bytearray(zipped(tmp_path / "s.zip", releases.rf2()).read_bytes())
    content[100] ^= 0xFF
    broken.write_bytes(content)
    with pytest.raises(InvalidContent, match="the archive is damaged"):
        imported("snomed", broken)


def test_loinc(tmp_path: Path) -> None:
    system = imported("loinc", zipped(tmp_path / "Loinc_2.78.zip", releases.loinc()))
    assert (system.resource["url"], system.resource["version"]) == ("http://loinc.org", "2.78")
    assert display(system, "1-8") == 'Stuff [Mass/volume] in "Serum"'
    assert names(system, "1-8") == ["Stuff SerPl-mCnc", "Stuff", "Stuff, blood"]
    found = facts(system, "1-8")
    assert found["COMPONENT"] == {"system": "http://loinc.org", "code": "LP1-1", "display": "Stuff"}
    assert found["TIME_ASPCT"] == {"system": "http://loinc.org", "code": "LP6960-1", "display": "Pt"}
    assert (found["SCALE_TYP"], found["CLASS"], found["EXAMPLE_UCUM_UNITS"]) == ("Qn", "CHEM", "mg/dL")
    assert "METHOD_TYP" not in found
    assert set(system.having("COMPONENT", ["LP1-1"])) == {"1-8"}
    assert list(system.parents("1-8")) == ["LP1-1"]
    assert list(system.above("1-8")) == ["1-8", "LP1-1", "LP7-7"]
    assert (display(system, "LP1-1"), display(system, "LP9-9"), display(system, "LP7-7")) == (
        "Stuff part",
        "Gone",
        "Everything",
    )
    old = system.find("2-6")
    assert old is not None
    assert old.inactive
    assert old.display == "Old stuff"


def test_loinc_table_alone(tmp_path: Path) -> None:
    path = tmp_path / "Loinc.csv"
    path.write_text(releases.loinc(accessory=False)["LoincTable/Loinc.csv"], newline="")
    with pytest.raises(InvalidContent, match=r"give it as --version 2\.78"):
        imported("loinc", path)
    system = imported("loinc", path, "2.80")
    assert facts(system, "1-8")["COMPONENT"] == "Stuff"
    assert len(system) == 2


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("Loinc.csv", ('"1-8"', '"x"'), "Loinc.csv, line 2, column LOINC_NUM: 'x' is not a LOINC code"),
        ("Loinc.csv", ('"2-6"', '"1-8"'), "Loinc.csv, line 3, column LOINC_NUM: 1-8 is there twice"),
        ("Loinc.csv", ("SHORTNAME", "SHORT"), "Loinc.csv, line 1, column SHORTNAME: missing"),
        ("Primary.csv", ('"1-8"', '"3-4"'), "LoincPartLink_Primary.csv, line 2, column LoincNumber: 3-4 is not among"),
        ("System.csv", ('"LP1-1","1-8"', '"LP3-3","1-8"'), "line 4, column IMMEDIATE_PARENT: LP3-3 is not among"),
    ],
)
def test_loinc_says_where_it_is_wrong(tmp_path: Path, file: str, change: tuple[str, str], message: str) -> None:
    files = releases.loinc()
    name = next(n for n in files if n.endswith(file))
    assert change[0] in files[name]
    files[name] = files[name].replace(*change)
    with pytest.raises(InvalidContent, match=re.escape(message)):
        imported("loinc", zipped(tmp_path / "Loinc_2.78.zip", files))


def test_rxnorm(tmp_path: Path) -> None:
    system = imported("rxnorm", zipped(tmp_path / "RxNorm_full_06032024.zip", releases.rxnorm()))
    assert system.resource["version"] == "06032024"
    assert list(system.codes()) == ["3", "2", "1", "4"]
    assert (display(system, "2"), names(system, "2")) == ("stuff 10 MG Oral Tablet", ["Stuff ten"])
    assert facts(system, "2") == {
        "TTY": "SCD",
        "SUPPRESS": "N",
        "has_ingredient": "1",
        "NDC": "00001000101",
        "STY": "T200",
    }
    assert facts(system, "1")["ingredient_of"] == "2"
    assert list(system.below("3")) == ["2", "3"]
    gone = system.find("4")
    assert gone is not None
    assert gone.inactive
    assert set(system.having("TTY", ["IN", "SCD"])) == {"1", "2"}


def test_rxnorm_says_where_it_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InvalidContent, match=re.escape("RXNREL.RRF, line 1, column RXCUI1: 77 is not among")):
        imported("rxnorm", zipped(tmp_path / "x.zip", releases.rxnorm("77")), "1")


def test_hcpcs(tmp_path: Path) -> None:
    path = zipped(tmp_path / "hcpcs.zip", {"HCPC2027_JAN_ANWEB_v2.txt": releases.hcpcs(), "README.txt": "x"})
    system = imported("hcpcs", path)
    assert system.resource["version"] == "2027"
    assert list(system.codes()) == ["A1", "A5504", "Z9999"]
    assert display(system, "A5504") == "For shoes, modification of a caf\u00e9 shoe with wedges"
    assert names(system, "A5504") == ["Shoe"]
    assert facts(system, "A1") == {
        "kind": "modifier",
        "betos": "D1F",
        "added": "1995-01-01",
        "effective": "2005-01-01",
    }
    gone = system.find("Z9999")
    assert gone is not None
    assert gone.inactive


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (releases.hcpcs_line("A6000", "4", "x"), "HCPC2027_ANWEB.txt, line 5, column HCPC: goes on with A6000, which did not"),
        (releases.hcpcs_line("A6000", "9", "x"), "HCPC2027_ANWEB.txt, line 5, column RECORD ID: '9' is none of"),
    ],
)  # fmt: skip
def test_hcpcs_says_where_it_is_wrong(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "HCPC2027_ANWEB.txt"
    path.write_bytes(releases.hcpcs(line))
    with pytest.raises(InvalidContent, match=re.escape(message)):
        imported("hcpcs", path)
    path.write_bytes(b"nothing\r\n")
    with pytest.raises(InvalidContent, match="there are no codes"):
        imported("hcpcs", path)


@pytest.mark.parametrize("separator", ["\t", "|"])
def test_cpt(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "codes.txt"
    rows = [
        ["A notice of", "the owner"],
        [""],
        ["Concept Id", "CPT Code", "Long", "Medium", "Short"],
        ["100", "0001A", "A long made-up service", "MADE-UP SERVICE", "MADE UP"],
        ["101", "99999", "", "OTHER", "OTH"],
        [],
    ]
    path.write_text("".join(separator.join(row) + "\r\n" for row in rows), newline="")
    system = imported("cpt", path, "2027")
    assert (system.resource["url"], system.resource["version"]) == ("http://www.ama-assn.org/go/cpt", "2027")
    assert (display(system, "0001A"), names(system, "0001A")) == (
        "A long made-up service",
        ["MADE-UP SERVICE", "MADE UP"],
    )
    assert display(system, "99999") == "OTHER"
    path.write_text(path.read_text().replace("99999", "9999"))
    with pytest.raises(InvalidContent, match=r"codes\.txt, line 5, column cpt code: '9999' is not a CPT code"):
        imported("cpt", path, "2027")
    path.write_text(path.read_text().replace("9999", "0001A"))
    with pytest.raises(InvalidContent, match=r"codes\.txt, line 5, column cpt code: 0001A is there twice"):
        imported("cpt", path, "2027")
    path.write_text("no header at all\n")
    with pytest.raises(InvalidContent, match="no file has a header with CPT Code"):
        imported("cpt", path, "2027")


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "wards.csv"
    path.write_text(
        'code,display,definition,parent,inactive,floor\nb,"Ward ""B""",,a|r,,2\na,Ward A,First,r,true,\nr,All,,,,\n'
    )
    system = imported("csv", path, "1", url="http://example.org/wards")
    assert system.resource["property"] == [{"code": "floor", "type": "string"}]
    assert list(system.codes()) == ["r", "a", "b"]
    assert display(system, "b") == 'Ward "B"'
    assert facts(system, "b") == {"floor": "2"}
    assert list(system.parents("b")) == ["a", "r"]
    ward = system.find("a")
    assert ward is not None
    assert (ward.inactive, ward.definition) == (True, "First")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,display\n1,x\n", "w.csv, line 1, column code: missing; there are id, display"),
        ("code,display,code\n", "w.csv, line 1, column code: there twice"),
        ("code,display\n,x\n", "w.csv, line 2, column code: missing"),
        ("code,display\na\n", "w.csv, line 2, column display: missing"),
        ("code,inactive\na,maybe\n", "w.csv, line 2, column inactive: 'maybe' is neither true nor false"),
        ('code,display\na,"x\nb,y\n', "w.csv, line 2: "),
        ("", "w.csv, line 1, column code: missing; there are none"),
        ("code\na\na\n", "w.csv, line 3, column code: a is there twice"),
        ("code,parent\na,\nb,a|c\n", "w.csv, line 3, column parent: c is not among the codes"),
    ],
)
def test_csv_says_where_it_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "w.csv"
    path.write_text(content)
    with pytest.raises(InvalidContent, match=re.escape(message)):
        imported("csv", path, "1", url="http://example.org/w")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("icd", {}, "'icd' is none of snomed, cpt, hcpcs, loinc, rxnorm, csv"),
        ("csv", {}, "csv needs --url"),
        ("csv", {"url": "wards", "version": "1"}, "'wards' can't be the URL of a code system"),
        ("csv", {"url": "http://x", "version": "a|b"}, "'a|b' can't be a version"),
        ("cpt", {"url": "http://x"}, "--url is for csv only"),
        ("loinc", {"language_refset": "1"}, "--language-refset is for snomed only"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, kind: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidContent, match=re.escape(message)):
        read_release(kind, tmp_path / "f.csv", **options)
