"""LOINC as Regenstrief publishes it, https://hl7.org/fhir/R4/loinc.html.

Read is ``Loinc.csv`` of the release's archive and, where they are there, ``Part.csv`` (the parts, as concepts),
``LoincPartLink_Primary.csv`` (each term's parts) and ``ComponentHierarchyBySystem.csv`` (what is below what).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from conformance.terminology.code_system import Concept, Designation, Json, Property
from conformance.terminology.files.write import Entry
from conformance.terminology.importers.join import Join
from conformance.terminology.importers.source import (
    Import,
    Member,
    choose,
    choose_one,
    describe,
    list_members,
    require_version,
)
from conformance.terminology.importers.tables import read_columns, read_header, refuse

URL = "http://loinc.org"
_AXES = ("COMPONENT", "PROPERTY", "TIME_ASPCT", "SYSTEM", "SCALE_TYP", "METHOD_TYP", "CLASS")
_REQUIRED = ("LOINC_NUM", "LONG_COMMON_NAME", "STATUS", "SHORTNAME", *_AXES)
_OTHERS = ("CLASSTYPE", "ORDER_OBS", "VersionLastChanged", "EXAMPLE_UCUM_UNITS")
_NAMES = ("DisplayName", "CONSUMER_NAME")
_PART_TYPES = {"TIME": "TIME_ASPCT", "SCALE": "SCALE_TYP", "METHOD": "METHOD_TYP"}
_DEPRECATED = "DEPRECATED"
# Rows of the tables meet in one text; no value of LOINC has this character.
_UNIT = "\x1f"


def read_loinc(path: Path, version: str | None = None) -> Import:
    """Read a release (zip archive, folder, or ``Loinc.csv``); a name like ``Loinc_2.78.zip`` tells the version.

    Raises InvalidContent for files that are missing or can't be read.
    """
    members = list_members(path)
    table = choose_one(members, r"Loinc\.csv", path, "terms")
    match = re.search(r"Loinc_(\d+\.\d+)", path.name, re.IGNORECASE)
    chosen = require_version(version, match[1] if match else None, path, "2.78")
    linked = bool(choose(members, r"LoincPartLink_Primary\.csv"))
    properties = [
        {"code": "STATUS", "uri": "http://hl7.org/fhir/concept-properties#status", "type": "code"},
        *({"code": axis, "type": "Coding" if linked and axis != "CLASS" else "string"} for axis in _AXES),
        *({"code": name, "type": "string"} for name in (*_OTHERS, "PartTypeName")),
    ]
    resource = describe(
        URL,
        chosen,
        "LOINC",
        "Logical Observation Identifiers, Names and Codes (LOINC)",
        caseSensitive=False,
        hierarchyMeaning="grouped-by",
        property=properties,
    )
    return Import(resource, _entries(members, table))


def _entries(members: list[Member], table: Member) -> Iterator[Entry]:
    with Join() as join:
        names = _read_terms(table, join)
        for member in choose(members, r"Part\.csv"):
            _read_parts(member, join)
        for member in choose(members, r"LoincPartLink_Primary\.csv"):
            _read_links(member, join)
        for member in choose(members, r"ComponentHierarchyBySystem\.csv"):
            _read_hierarchy(member, join)
        for code, rows in join.groups():
            yield _entry(code, [row.split(_UNIT) for row in rows], names)


def _put(join: Join, code: str, *values: str) -> bool:
    # A line break inside a quoted value would end the row.
    return join.put(code, _UNIT.join(" ".join(value.splitlines()) for value in values))


def _read_terms(member: Member, join: Join) -> list[str]:
    """Put the terms; return the columns that their rows have."""
    header = read_header(member, ",", quoted=True)
    names = [*_REQUIRED, *(name for name in (*_OTHERS, *_NAMES) if name in header)]
    for line, values in read_columns(member, names, separator=",", quoted=True):
        if not re.fullmatch(r"\d+-\d", values[0]):
            refuse(member, line, "LOINC_NUM", f"{values[0]!r} is not a LOINC code")
        if not join.add(values[0]):
            refuse(member, line, "LOINC_NUM", f"{values[0]} is there twice")
        _put(join, values[0], "T", *values)
    return names


def _read_parts(member: Member, join: Join) -> None:
    columns = ("PartNumber", "PartTypeName", "PartName", "PartDisplayName", "Status")
    for line, values in read_columns(member, columns, separator=",", quoted=True):
        if not join.add(values[0]):
            refuse(member, line, "PartNumber", f"{values[0]} is there twice")
        _put(join, values[0], "P", *values)


def _read_links(member: Member, join: Join) -> None:
    columns = ("LoincNumber", "PartNumber", "PartName", "PartTypeName")
    for line, (code, part, name, kind) in read_columns(member, columns, separator=",", quoted=True):
        if not _put(join, code, "L", _PART_TYPES.get(kind, kind), part, name):
            refuse(member, line, "LoincNumber", f"{code} is not among the terms")


def _read_hierarchy(member: Member, join: Join) -> None:
    columns = ("IMMEDIATE_PARENT", "CODE", "CODE_TEXT")
    rows = list(read_columns(member, columns, separator=",", quoted=True))
    for _, (_, code, text) in rows:
        # Groups of the hierarchy that are no parts have no row elsewhere.
        if join.add(code):
            _put(join, code, "P", code, "", text, "", "ACTIVE")
    for line, (parent, code, _) in rows:
        if parent and parent not in join.places:
            refuse(member, line, "IMMEDIATE_PARENT", f"{parent} is not among the codes")
        if parent:
            _put(join, code, "H", parent)


def _entry(code: str, rows: list[list[str]], names: list[str]) -> Entry:
    first = rows[0]
    parents = [row[1] for row in rows if row[0] == "H"]
    if first[0] == "P":
        _, _, kind, name, shown, status = first
        properties = [Property("STATUS", "code", status)]
        if kind:
            properties.append(Property("PartTypeName", "string", kind))
        return Concept(code, shown or name, None, (), tuple(properties), inactive=status == _DEPRECATED), parents
    fields = dict(zip(names, first[1:], strict=True))
    parts = {row[1]: _part(row[2], row[3]) for row in rows if row[0] == "L"}
    properties = [Property("STATUS", "code", fields["STATUS"])]
    for axis in _AXES:
        if axis in parts and axis != "CLASS":
            properties.append(Property(axis, "Coding", parts[axis]))
        elif fields[axis]:
            properties.append(Property(axis, "string", fields[axis]))
    properties.extend(Property(name, "string", fields[name]) for name in _OTHERS if fields.get(name))
    designations = tuple(
        Designation(fields[name], "en", {"system": URL, "code": name})
        for name in ("SHORTNAME", *_NAMES)
        if fields.get(name)
    )
    inactive = fields["STATUS"] == _DEPRECATED
    return Concept(code, fields["LONG_COMMON_NAME"], None, designations, tuple(properties), inactive=inactive), parents


def _part(code: str, display: str) -> Json:
    return {"system": URL, "code": code, "display": display}
