"""The definitions of FHIR 4.0.1 by canonical URL, held against their source."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance import compile_structures
from conformance.decode import check
from conformance.definitions import resource_types, types
from conformance.structures import find_definition, find_structure, open_pack, type_url
from tests.shared import shared


def test_every_type_has_a_snapshot() -> None:
    for name, type_ in types().items():
        if type_.kind != "backbone":
            structure = find_structure(type_url(name))
            assert structure is not None, name
            check(structure)
            assert structure["snapshot"]["element"][0]["path"] == name


def test_the_packs_hold_what_the_specification_has() -> None:
    structures = open_pack("structures").urls("StructureDefinition")
    assert len(structures) == 651
    assert {type_url(name) for name in resource_types()} < set(structures)
    counts = {t: len(open_pack("definitions").urls(t)) for t in compile_structures.DEFINITIONS}
    assert counts == {"SearchParameter": 1397, "OperationDefinition": 46, "CompartmentDefinition": 5}


def test_finding() -> None:
    url = "http://hl7.org/fhir/StructureDefinition/Patient"
    found = find_structure(f"{url}|4.0.1")
    assert found is not None
    assert found == find_definition("StructureDefinition", url)
    assert find_structure(f"{url}|5.0.0") is None
    assert find_structure("http://example.org/none") is None
    assert find_definition("Patient", url) is None
    name = find_definition("SearchParameter", "http://hl7.org/fhir/SearchParameter/Patient-birthdate")
    assert name is None or name["code"] == "birthdate"
    everything = find_definition("OperationDefinition", "http://hl7.org/fhir/OperationDefinition/Patient-everything")
    assert everything is not None
    assert everything["parameter"][0]["documentation"]
    assert find_definition("CompartmentDefinition", "http://hl7.org/fhir/CompartmentDefinition/patient") is not None


def test_what_is_kept_of_an_element() -> None:
    patient = find_structure(type_url("Patient"))
    assert patient is not None
    gender = next(e for e in patient["snapshot"]["element"] if e["path"] == "Patient.gender")
    assert gender["binding"]["valueSet"] == "http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1"
    assert "description" not in gender["binding"]
    assert not {"short", "definition", "mapping", "comment"} & gender.keys()
    assert {rule["key"] for rule in gender["constraint"]} == {"ele-1"}
    assert "xpath" not in gender["constraint"][0]


def test_compiling_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shared("spec", "r4")
    shipped = compile_structures.OUTPUT
    monkeypatch.setattr(compile_structures, "OUTPUT", tmp_path)
    compile_structures.main(source)
    for name in ("structures.pack", "definitions.pack"):
        assert (tmp_path / name).read_bytes() == (shipped / name).read_bytes()
