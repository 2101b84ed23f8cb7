"""RxNorm in Rich Release Format, https://hl7.org/fhir/R4/rxnorm.html and https://www.nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html.

Only what RxNorm itself says (``SAB`` is RXNORM) is read: the sources it brings together have licences of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from conformance.terminology.code_system import Concept, Designation, Property
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
from conformance.terminology.importers.tables import read_columns, refuse

URL = "http://www.nlm.nih.gov/research/umls/rxnorm"
_RXNORM = "RXNORM"
# The columns of each table.
_CONSO = "RXCUI LAT TS LUI STT SUI ISPREF RXAUI SAUI SCUI SDUI SAB TTY CODE STR SRL SUPPRESS CVF"
_REL = "RXCUI1 RXAUI1 STYPE1 REL RXCUI2 RXAUI2 STYPE2 RELA RUI SRUI SAB SL RG DIR SUPPRESS CVF"
_SAT = "RXCUI LUI SUI RXAUI STYPE CODE ATUI SATUI ATN SAB ATV SUPPRESS CVF"
_STY = "RXCUI TUI STN STY ATUI CVF"
# Terms of these types are other names of a concept, of all others its name.
_OTHER_NAMES = frozenset(("SY", "TMSY", "PSN", "ET"))
_IS_A, _REVERSE_IS_A = "isa", "inverse_isa"
_HIDDEN = frozenset("OYE")


def read_rxnorm(path: Path, version: str | None = None) -> Import:
    """Read a release (zip archive or folder); a name like ``RxNorm_full_06032024.zip`` tells the version, MMDDYYYY.

    Raises InvalidContent for files that are missing or can't be read.
    """
    members = list_members(path)
    names = choose_one(members, r"RXNCONSO\.RRF", path, "names")
    match = re.search(r"RxNorm_\w+?_(\d{8})", path.name, re.IGNORECASE)
    chosen = require_version(version, match[1] if match else None, path, "06032024")
    properties = [
        {"code": "TTY", "description": "Term type", "type": "code"},
        {"code": "STY", "description": "Semantic type of the UMLS", "type": "code"},
        {"code": "SUPPRESS", "description": "N, or why the concept should not be used any more", "type": "code"},
    ]
    resource = describe(URL, chosen, "RxNorm", "RxNorm", hierarchyMeaning="is-a", property=properties)
    return Import(resource, _entries(members, names))


def _entries(members: list[Member], names: Member) -> Iterator[Entry]:
    with Join() as join:
        for line, (code, source, kind, text, hidden) in read_columns(
            names, ("RXCUI", "SAB", "TTY", "STR", "SUPPRESS"), header=_CONSO.split(), separator="|"
        ):
            if not code.isdigit():
                refuse(names, line, "RXCUI", f"{code!r} is not an identifier")
            if source == _RXNORM:
                join.add(code)
                join.put(code, f"N\t{kind}\t{hidden}\t{text}")
        for member in choose(members, r"RXNREL\.RRF"):
            _read_relations(member, join)
        for member in choose(members, r"RXNSAT\.RRF"):
            for _, (code, name, source, value) in read_columns(
                member, ("RXCUI", "ATN", "SAB", "ATV"), header=_SAT.split(), separator="|"
            ):
                if source == _RXNORM:
                    join.put(code, f"A\t{name}\t\t{value}")
        for member in choose(members, r"RXNSTY\.RRF"):
            for _, (code, type_) in read_columns(member, ("RXCUI", "TUI"), header=_STY.split(), separator="|"):
                join.put(code, f"T\tSTY\t\t{type_}")
        for code, rows in join.groups():
            yield _entry(code, [row.split("\t", 3) for row in rows])


def _read_relations(member: Member, join: Join) -> None:
    """Put the relations between concepts: the second of a row has the relation to the first."""
    columns = ("RXCUI1", "RXCUI2", "RELA", "SAB", "STYPE1", "SUPPRESS")
    for line, (target, source, name, by, kind, hidden) in read_columns(
        member, columns, header=_REL.split(), separator="|"
    ):
        if by != _RXNORM or kind != "CUI" or not name or name == _REVERSE_IS_A or hidden in _HIDDEN:
            continue
        if target not in join.places:
            refuse(member, line, "RXCUI1", f"{target} is not among the concepts")
        if not join.put(source, f"R\t{name}\t\t{target}"):
            refuse(member, line, "RXCUI2", f"{source} is not among the concepts")


def _entry(code: str, rows: list[list[str]]) -> Entry:
    names = [(kind, hidden, text) for what, kind, hidden, text in rows if what == "N"]
    # What is in use goes before what is suppressed, a name before a synonym.
    kind, hidden, display = min(names, key=lambda name: (name[1] in _HIDDEN, name[0] in _OTHER_NAMES))
    designations = {
        text: Designation(text, "en", {"system": URL, "code": k}) for k, _, text in names if text != display
    }
    properties = {
        ("TTY", kind): Property("TTY", "code", kind),
        ("SUPPRESS", hidden): Property("SUPPRESS", "code", hidden),
    }
    for what, name, _, value in rows:
        if what in "TRA" and (what, name) != ("R", _IS_A):
            properties[name, value] = Property(name, "string" if what == "A" else "code", value)
    parents = [value for what, name, _, value in rows if (what, name) == ("R", _IS_A)]
    found = (tuple(designations.values()), tuple(properties.values()))
    return Concept(code, display, None, *found, inactive=hidden in _HIDDEN), parents
