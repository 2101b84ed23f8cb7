"""HCPCS Level II as the Centers for Medicare & Medicaid Services publish it, https://www.cms.gov/medicare/coding-billing/healthcare-common-procedure-system.

Read is the text file of the archive (``HCPC2025_JAN_ANWEB.txt`` and the like): lines of 320 characters, of which the first
of a code has its short description and dates, and the following ones go on with the long description.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from conformance.terminology.code_system import Concept, Designation, Property
from conformance.terminology.files.write import Entry
from conformance.terminology.importers.source import (
    Import,
    Member,
    choose_one,
    describe,
    list_members,
    require_version,
)
from conformance.terminology.importers.tables import refuse

URL = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
_FILE = r"HCPC(\d{4})_.*ANWEB.*\.txt"
_LENGTH = 320
# Other lines are notes on the table.
_RECORD_START = re.compile(r"(?:[A-Z]\d{4}|   [A-Z0-9]{2})\d{5}")
_CODE, _RECORD, _LONG, _SHORT = slice(0, 5), slice(10, 11), slice(11, 91), slice(91, 119)
_FACTS = {
    "betos": slice(256, 259),
    "added": slice(268, 276),
    "effective": slice(276, 284),
    "terminated": slice(284, 292),
}
_FIRST, _MORE = {"3": "procedure", "7": "modifier"}, frozenset("48")
_SHORT_USE = {"display": "Short description"}


def read_hcpcs(path: Path, version: str | None = None) -> Import:
    """Read a release (zip archive, folder, or the text file); the version is the year in the file's name.

    Raises InvalidContent for files that are missing or can't be read.
    """
    member = choose_one(list_members(path), _FILE, path, "codes")
    match = re.fullmatch(_FILE, member.stem, re.IGNORECASE)
    chosen = require_version(version, match[1] if match else None, path, "2025")
    properties = [
        {"code": "kind", "description": "procedure or modifier", "type": "code"},
        {"code": "betos", "description": "Berenson-Eggers type of service", "type": "code"},
        *({"code": name, "type": "dateTime"} for name in ("added", "effective", "terminated")),
    ]
    resource = describe(
        URL, chosen, "HCPCS", "Healthcare Common Procedure Coding System (HCPCS) Level II", property=properties
    )
    return Import(resource, _entries(member))


def _entries(member: Member) -> Iterator[Entry]:
    first, parts = "", [""]
    for number, raw in enumerate(member.lines("cp1252"), 1):
        # Some lines lack the blanks at their end.
        line = raw.rstrip("\r\n").ljust(_LENGTH)
        kind = line[_RECORD]
        if not _RECORD_START.match(line):
            continue
        if kind in _FIRST:
            if first:
                yield _entry(first, parts)
            first, parts = line, [line[_LONG]]
        elif kind in _MORE:
            if line[_CODE] != first[_CODE]:
                refuse(member, number, "HCPC", f"goes on with {line[_CODE].strip()}, which did not begin")
            parts.append(line[_LONG])
        else:
            refuse(member, number, "RECORD ID", f"{kind!r} is none of 3, 4, 7, 8")
    if not first:
        refuse(member, 1, "RECORD", "there are no codes in this file")
    yield _entry(first, parts)


def _entry(first: str, parts: list[str]) -> Entry:
    display = " ".join(" ".join(parts).split())
    short = first[_SHORT].strip()
    properties = [Property("kind", "code", _FIRST[first[_RECORD]])]
    for name, place in _FACTS.items():
        value = first[place].strip()
        if value and name == "betos":
            properties.append(Property(name, "code", value))
        elif value:
            properties.append(Property(name, "dateTime", f"{value[:4]}-{value[4:6]}-{value[6:]}"))
    inactive = bool(first[_FACTS["terminated"]].strip())
    designations = (Designation(short, "en", _SHORT_USE),) if short else ()
    return Concept(first[_CODE].strip(), display, None, designations, tuple(properties), inactive=inactive), ()
