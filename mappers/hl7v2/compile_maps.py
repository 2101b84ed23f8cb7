"""Rebuild the generated tables of ``maps/`` from HL7's published ones.

``python -m mappers.hl7v2.compile_maps <v2-to-fhir/mappings> <terminology package .tgz>`` writes ``codes.csv`` (the
concept maps that our rows use),
``message_types.csv`` (tables 0003, 0076 and 0440) and ``not_covered.csv`` (published rows that no row of ours
translates). Sources: https://github.com/HL7/v2-to-fhir (CC0), https://terminology.hl7.org.
"""

from __future__ import annotations

import csv
import json
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

_HERE = Path(__file__).parent / "maps"
_HEADER_ROWS = 2
_IDENTIFIER, _NAME, _ATTRIBUTE, _EXTENSION = 1, 2, 9, 10
_CODE, _TARGET, _DISPLAY, _SYSTEM, _ALTERNATE = 0, 6, 8, 9, 7
_VALUE_TYPES = ("OBX[Observation]", "5")
_SEGMENT_MAPS = (
    "PID[Patient]",
    "PD1[Patient]",
    "PV1[Encounter]",
    "PV2[Encounter]",
    "ORC[ServiceRequest]",
    "ORC[DiagnosticReport]",
    "OBR[ServiceRequest]",
    "OBR[DiagnosticReport]",
    "OBR[Specimen]",
    "SPM[Specimen]",
    "OBX[Observation]",
    "NTE[Observation]",
    "NTE[ServiceRequest]",
)
_DATATYPE_MAPS = (
    "CX[Identifier]",
    "EI[Identifier-Extension]",
    "XPN[HumanName]",
    "XAD[Address]",
    "XCN[Practitioner]",
    "XON[Organization]",
    "DR[Period]",
    "CQ[Quantity]",
)
_OURS = {
    # Codes that HL7's concept maps leave open, and where FHIR's definition has a fitting one.
    "ObservationResultStatusCodesInterpretation": {
        "B": "amended", "I": "registered", "O": "registered", "R": "preliminary", "S": "preliminary", "V": "final",
        "U": "final",
    },
    "ResultStatus[Non-Queries]": {"A": "partial", "M": "amended", "N": "registered"},
    "OrderControlCode[ServiceRequest.status]": {"RE": "completed"},
}  # fmt: skip
_MISSPELLED = {"entered-in-errror": "entered-in-error"}


def _read(folder: Path, name: str) -> list[list[str]]:
    found = [p for p in folder.glob("*.csv") if f" {name} - " in p.name or f"_ {name} - " in p.name]
    if len(found) != 1:
        raise SystemExit(f"{folder}: {len(found)} tables named {name}")
    with found[0].open(newline="", encoding="utf-8") as file:
        return [[*(c.strip() for c in row), *[""] * 20] for row in csv.reader(file)]


def _write(name: str, header: list[str], rows: Iterable[Iterable[str]]) -> None:
    with (_HERE / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _ours(name: str) -> list[dict[str, str]]:
    with (_HERE / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _file_name(vocabulary: str) -> str:
    return vocabulary.replace("/", "")


def _codes(folder: Path) -> Iterable[list[str]]:
    used = {r["vocabulary"] for name in ("segments", "datatypes") for r in _ours(name) if r["vocabulary"]}
    used |= {"TelecommunicationEquipmentType", "TelecommunicationUseCode", "SpecimenType"}
    for vocabulary in sorted(used):
        done = set()
        table = _read(folder, _file_name(vocabulary))
        # Three of the published tables put display and system one column further left.
        shift = 0 if table[1][_SYSTEM] == "Code System" else -1
        for number, row in enumerate(table, start=1):
            code, target, system = row[_CODE].replace("\xa0", ""), row[_TARGET], row[_SYSTEM + shift]
            if number <= _HEADER_ROWS or not code or not target or not system.startswith(("http", "urn:")):
                continue
            done.add(code)
            display = row[_DISPLAY + shift] or row[_ALTERNATE]
            yield [vocabulary, f"{vocabulary}:{number}", code, _MISSPELLED.get(target, target), system, display]
        for code, target in _OURS.get(vocabulary, {}).items():
            if code not in done:
                yield [vocabulary, "ours", code, target, "", ""]


def _message_types(package: Path) -> Iterable[list[str]]:
    with tarfile.open(package) as archive:
        for table in ("0003", "0076", "0440"):
            member = archive.extractfile(f"package/CodeSystem-v2-{table}.json")
            if member is None:
                raise SystemExit(f"{package} has no v2-{table}")
            codes = {c["code"] for c in json.load(member)["concept"]} - {"varies", "Varies"}
            yield from ([table, code] for code in sorted(codes))


def _not_covered(folder: Path) -> Iterable[list[str]]:
    covered: dict[str, set[int]] = {}
    for name in ("segments", "datatypes"):
        for origin in (r["origin"] for r in _ours(name)):
            if origin != "ours":
                published, _, numbers = origin.rpartition(":")
                covered.setdefault(published, set()).update(int(n) for n in numbers.split("+"))
    for kind, names in (("segments", _SEGMENT_MAPS), ("datatypes", _DATATYPE_MAPS)):
        for name in names:
            for number, row in enumerate(_read(folder / kind, name), start=1):
                if number <= _HEADER_ROWS or not (row[_ATTRIBUTE] or row[_EXTENSION]):
                    continue
                position = row[_IDENTIFIER].replace(".", "-").partition("-")[2]
                if number in covered.get(name, ()) or (name == _VALUE_TYPES[0] and position in ("5", "6", "4")):
                    continue
                yield [f"{name}:{number}", row[_IDENTIFIER], row[_NAME], row[_ATTRIBUTE] or row[_EXTENSION]]


def main(mappings: Path, package: Path) -> None:
    """Write the three generated tables."""
    _write("codes", ["vocabulary", "origin", "code", "target", "system", "display"], _codes(mappings / "codesystems"))
    _write("message_types", ["table", "code"], _message_types(package))
    _write("not_covered", ["origin", "field", "name", "target"], _not_covered(mappings))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
