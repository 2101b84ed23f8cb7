"""SNOMED CT in Release Format 2, https://hl7.org/fhir/R4/snomedct.html and https://docs.snomed.org (RF2 specification).

Read is the snapshot of a release: concepts, descriptions, text definitions, inferred relationships, and a language reference
set for which synonym to prefer. The hierarchy is is-a; an attribute is a property whose code is the attribute's concept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

from conformance.terminology.code_system import Concept, Designation, Property
from conformance.terminology.files.write import Entry
from conformance.terminology.importers.join import Join
from conformance.terminology.importers.source import (
    Import,
    Json,
    Member,
    choose,
    choose_one,
    describe,
    list_members,
    require_version,
)
from conformance.terminology.importers.tables import read_columns, refuse

URL = "http://snomed.info/sct"
US_ENGLISH = "900000000000509007"
_CORE, _US = "900000000000207008", "731000124108"
_MODULES = {"INT": _CORE, "US1000124": _US}
_IS_A = "116680003"
_DEFINED = "900000000000073002"
_PREFERRED = "900000000000548007"
_NAME, _SYNONYM = "900000000000003001", "900000000000013009"
_INFERRED, _ADDITIONAL = "900000000000011006", "900000000000227009"
_USES: dict[str, Json] = {
    _NAME: {"system": URL, "code": _NAME, "display": "Fully specified name"},
    _SYNONYM: {"system": URL, "code": _SYNONYM, "display": "Synonym"},
}
_CONCEPTS = r"x?sct2_Concept_Snapshot_(\w+?)_(\d{8})\.txt"


def read_snomed(path: Path, version: str | None = None, language_refset: str = US_ENGLISH) -> Import:
    """Read a release (zip archive or folder). ``version`` is a URI; without it the names of the files tell edition and date.

    Raises InvalidContent for files that are missing or can't be read.
    """
    members = list_members(path)
    concepts = choose_one(members, _CONCEPTS, path, "concepts")
    choose_one(members, r"x?sct2_Relationship_Snapshot_.*\.txt", path, "relationships")
    match = re.fullmatch(_CONCEPTS, concepts.stem, re.IGNORECASE)
    module = _MODULES.get(match[1]) if match else None
    known = f"{URL}/{module}/version/{match[2]}" if match and module else None
    chosen = require_version(version, known, path, f"{URL}/MODULE/version/YYYYMMDD")
    properties = [
        {"code": "inactive", "uri": "http://hl7.org/fhir/concept-properties#inactive", "type": "boolean"},
        {"code": "sufficientlyDefined", "type": "boolean"},
        {"code": "moduleId", "uri": "http://snomed.info/field/Concept.moduleId", "type": "code"},
    ]
    resource = describe(
        URL,
        chosen,
        "SNOMED_CT",
        "SNOMED CT",
        caseSensitive=False,
        hierarchyMeaning="is-a",
        compositional=True,
        property=properties,
    )
    return Import(resource, _entries(members, concepts, language_refset))


def _entries(members: list[Member], concepts: Member, language_refset: str) -> Iterator[Entry]:
    with Join() as join:
        _read_concepts(concepts, join)
        preferred = _read_preferred(members, language_refset)
        for member in choose(members, r"x?sct2_Description_Snapshot.*\.txt"):
            _read_descriptions(member, join, preferred)
        preferred.clear()
        for member in choose(members, r"x?sct2_TextDefinition_Snapshot.*\.txt"):
            _read_descriptions(member, join, preferred)
        for member in choose(members, r"x?sct2_Relationship_Snapshot_.*\.txt"):
            _read_relationships(member, join, "destinationId", "R")
        for member in choose(members, r"x?sct2_RelationshipConcreteValues_Snapshot_.*\.txt"):
            _read_relationships(member, join, "value", "V")
        for code, rows in join.groups():
            yield _entry(code, rows)


def _read_concepts(member: Member, join: Join) -> None:
    for line, (code, active, module, status) in read_columns(
        member, ("id", "active", "moduleId", "definitionStatusId")
    ):
        if not code.isdigit():
            refuse(member, line, "id", f"{code!r} is not an identifier")
        if active not in ("0", "1"):
            refuse(member, line, "active", f"{active!r} is neither 0 nor 1")
        if not join.add(code):
            refuse(member, line, "id", f"{code} is there twice")
        join.put(code, f"C\t{active}\t{module}\t{status}")


def _read_preferred(members: list[Member], refset: str) -> set[int]:
    """Return the descriptions that a language reference set prefers."""
    preferred: set[int] = set()
    for member in choose(members, r"x?der2_cRefset_Language.*Snapshot.*\.txt"):
        for line, (active, which, description, acceptability) in read_columns(
            member, ("active", "refsetId", "referencedComponentId", "acceptabilityId")
        ):
            if active == "1" and acceptability == _PREFERRED and which == refset:
                if not description.isdigit():
                    refuse(member, line, "referencedComponentId", f"{description!r} is not an identifier")
                preferred.add(int(description))
    return preferred


def _read_descriptions(member: Member, join: Join, preferred: set[int]) -> None:
    columns = ("id", "active", "conceptId", "languageCode", "typeId", "term")
    for line, (id_, active, concept, language, type_, term) in read_columns(member, columns):
        if active != "1":
            continue
        if not id_.isdigit():
            refuse(member, line, "id", f"{id_!r} is not an identifier")
        kind = {_NAME: "N", _SYNONYM: "S"}.get(type_, "T")
        mark = "P" if int(id_) in preferred else ""
        if not join.put(concept, f"{kind}\t{mark}\t{language}\t{term}"):
            refuse(member, line, "conceptId", f"{concept} is not among the concepts")


def _read_relationships(member: Member, join: Join, target: str, kind: str) -> None:
    columns = ("active", "sourceId", target, "typeId", "characteristicTypeId")
    for line, (active, source, destination, type_, characteristic) in read_columns(member, columns):
        if active != "1" or characteristic not in (_INFERRED, _ADDITIONAL):
            continue
        if kind == "V" and destination.startswith("#") and not _is_number(destination[1:]):
            refuse(member, line, target, f"{destination!r} is not a number")
        if kind == "R" and destination not in join.places:
            refuse(member, line, target, f"{destination} is not among the concepts")
        if not join.put(source, f"{kind}\t{type_}\t{destination}"):
            refuse(member, line, "sourceId", f"{source} is not among the concepts")


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _entry(code: str, rows: list[str]) -> Entry:
    """Return a concept from its rows, those of the kinds C, N, S, T, R and V as they are put above."""
    active, module, status = "1", "", ""
    displays: dict[str, str] = {}
    definition = None
    designations: list[Designation] = []
    properties: list[Property] = []
    parents: list[str] = []
    for row in rows:
        parts = row.split("\t", 3)
        kind, first, second = parts[0], parts[1], parts[2]
        if kind == "R":
            if first == _IS_A:
                parents.append(second)
            else:
                properties.append(Property(first, "code", second))
        elif kind == "C":
            active, module, status = first, second, parts[3]
        elif kind == "V":
            number = second.startswith("#")
            value = Decimal(second[1:]) if number else second.strip('"')
            properties.append(Property(first, "decimal" if number else "string", value))
        elif kind == "T":
            definition = definition or parts[3]
        else:
            displays.setdefault(kind + first, parts[3])
            designations.append(Designation(parts[3], second, _USES[_NAME if kind == "N" else _SYNONYM]))
    display = next((displays[which] for which in ("SP", "S", "NP", "N") if which in displays), None)
    facts = (
        Property("inactive", "boolean", active == "0"),
        Property("sufficientlyDefined", "boolean", status == _DEFINED),
        Property("moduleId", "code", module),
    )
    # An attribute may be there in several groups.
    found = (*facts, *(dict.fromkeys(properties) if len(properties) > 1 else properties))
    return Concept(code, display, definition, tuple(designations), found, inactive=active == "0"), parents
