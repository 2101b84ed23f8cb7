"""What comes with the server: which code systems, which of two editions, and that large ones answer like small ones."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from conformance import compile_terminology
from conformance.pack import Pack
from conformance.terminology import shipped
from conformance.terminology.code_system import CodeSystem
from conformance.terminology.files.read import ConceptFile
from conformance.terminology.source import Source
from tests.shared import shared

TERMINOLOGY = "http://terminology.hl7.org"
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"


def code_system(canonical: str) -> CodeSystem:
    found = shipped.code_system(canonical)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("canonical", "count", "code", "display"),
    [
        ("http://hl7.org/fhir/administrative-gender", 4, "female", "Female"),
        (f"{TERMINOLOGY}/CodeSystem/v3-ActCode", 1302, "AMB", "ambulatory"),
        ("http://hl7.org/fhir/sid/cvx", 287, "208", "COVID-19, mRNA, LNP-S, PF, 30 mcg/0.3 mL dose"),
        ("http://hl7.org/fhir/sid/mvx", 82, "PFR", "Pfizer, Inc"),
        ("urn:iso:std:iso:3166", 747, "DE", "Germany"),
        ("urn:iso:std:iso:3166:-2", 5099, "US-CA", "California"),
        ("https://www.usps.com/", 60, "AK", "Alaska"),
        ("http://hl7.org/fhir/spdx-license", 557, "Apache-2.0", "Apache License 2.0"),
        (ICD_10_CM, 98186, "E11.9", "Type 2 diabetes mellitus without complications"),
        (HCPCS, 6800, "A5504", None),
    ],
)
def test_code_systems(canonical: str, count: int, code: str, display: str | None) -> None:
    system = code_system(canonical)
    concept = system.find(code)
    assert concept is not None
    assert len(system) == count
    assert display in (None, concept.display)


def test_what_is_not_shipped() -> None:
    for url in ("http://snomed.info/sct", "http://loinc.org", "http://www.ama-assn.org/go/cpt", "http://none"):
        assert shipped.code_system(url) is None
        assert shipped.versions(url) == []
    known = shipped.find("CodeSystem", "http://snomed.info/sct")
    assert known is not None
    assert known["content"] == "not-present"
    assert shipped.code_system(f"{ICD_10_CM}|1999") is None
    assert shipped.find("CodeSystem", f"{ICD_10_CM}|1999") is None


def test_the_edition_of_fhir_and_the_newer_one() -> None:
    url = f"{TERMINOLOGY}/CodeSystem/condition-clinical"
    assert (len(code_system(f"{url}|4.0.1")), len(code_system(url))) == (6, 7)
    assert shipped.versions(url) == ["3.0.0", "4.0.1"]
    assert shipped.versions(ICD_10_CM) == ["2026"]
    assert shipped.versions("https://www.usps.com/") == [""]
    newest = shipped.find("CodeSystem", url)
    assert newest is not None
    assert newest["version"] == "3.0.0"
    assert code_system(url).find("unknown") is not None
    assert code_system(f"{url}|4.0.1").find("unknown") is None


def test_other_resources() -> None:
    assert shipped.find("ValueSet", "http://hl7.org/fhir/ValueSet/none") is None
    value_set = shipped.find("ValueSet", "http://hl7.org/fhir/ValueSet/observation-status|4.0.1")
    assert value_set is not None
    assert value_set["compose"]["include"] == [{"system": "http://hl7.org/fhir/observation-status"}]
    assert shipped.find("ConceptMap", "http://hl7.org/fhir/ConceptMap/cm-address-use-v3") is not None
    named = shipped.find("NamingSystem", "urn:oid:2.16.840.1.113883.6.96")
    assert named is not None
    assert named == shipped.find("NamingSystem", "http://snomed.info/sct")


def test_the_list() -> None:
    listed = shipped.code_systems()
    assert len(listed) == 1963
    assert sum(system.concepts for system in listed) == 152597
    assert shipped.Listed(ICD_10_CM, "2026", code_system(ICD_10_CM).resource["title"], 98186) in listed
    assert list(listed) == sorted(listed)


def test_it_is_a_source_for_the_engine() -> None:
    source: Source = shipped
    assert source.code_system(ICD_10_CM) is shipped.code_system(ICD_10_CM)


def test_icd_10_cm() -> None:
    system = code_system(ICD_10_CM)
    assert list(system.parents("S52.521A")) == ["S52.521"]
    assert "S52.521A" in system.below("S52")
    assert "S52.521A" not in system.below("S53")
    assert len(system.roots()) == 1918
    assert all(len(code) == 3 for code in system.roots())
    billable = system.having("billable", ["true"])
    assert ("E11.9" in billable, "E11" in billable) == (True, False)
    assert all(not system.children(code) for code in islice(billable, 500))
    assert next(iter(system.search("e11.9"))) == "E11.9"
    found = list(islice(system.search("type 2 diab"), 200))
    assert "E11.9" in found
    concept = system.find("E11")
    assert concept is not None
    assert "diabetes NOS" in [d.value for d in concept.designations]


def test_large_systems_answer_like_small_ones() -> None:
    """Every code of HCPCS is found, by any case, and its words find it."""
    system = code_system(HCPCS)
    assert isinstance(system, ConceptFile)
    for code in islice(system.codes(), 0, None, 37):
        concept = system.find(code)
        folded = system.find_folded(code.lower())
        assert concept is not None
        assert folded == concept
        assert code in set(system.search(f"{code} {(concept.display or '').split()[0]}"))


def test_the_pack_is_what_the_sources_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled anew, the small systems are byte for byte what is shipped."""
    spec = shared("spec")
    monkeypatch.setattr(compile_terminology, "OUTPUT", tmp_path)
    compile_terminology.compile_pack(spec)
    folder = Path(shipped.__file__).parents[1] / "definitions"
    assert (tmp_path / "terminology.pack").read_bytes() == (folder / "terminology.pack").read_bytes()
    pack = Pack(tmp_path / "terminology.pack")
    assert [len(pack.urls(kind)) for kind in ("CodeSystem", "ValueSet", "ConceptMap")] == [1218, 3212, 80]
