"""Code systems in one plain table: a site's licensed CPT file, and any other as CSV.

CPT (https://hl7.org/fhir/R4/cpt.html) is the AMA's; nothing of it is part of this project. The table has a column with the
code and at least one of the long, medium and short descriptors, separated by tabs or pipes; what comes before the header is
the AMA's notice and passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from conformance.terminology.code_system import Concept, Designation, Property
from conformance.terminology.files.errors import InvalidContent
from conformance.terminology.files.write import Entry
from conformance.terminology.importers.source import Import, Member, describe, list_members, require_version
from conformance.terminology.importers.tables import read_columns, read_header, refuse

CPT = "http://www.ama-assn.org/go/cpt"
_CODE = ("cpt code", "cpt", "code")
_DESCRIPTORS = ("long", "medium", "short")
_FURTHEST_HEADER = 100
_CPT_CODE_LENGTH = 5
_RESERVED = frozenset(("code", "display", "definition", "parent", "inactive"))


def read_cpt(path: Path, version: str | None = None) -> Import:
    """Read a licensed table of codes and descriptors; ``version`` is the year.

    Raises InvalidContent when the file has no such table, or a row that is none.
    """
    chosen = require_version(version, None, path, "2026")
    found = [(member, *header) for member in list_members(path) if (header := _find_header(member))]
    if len(found) != 1:
        count = "several files have" if found else "no file has"
        raise InvalidContent(f"{path}: {count} a header with CPT Code and one of Long, Medium, Short")
    resource = describe(CPT, chosen, "CPT", "Current Procedural Terminology (CPT)")
    return Import(resource, _cpt_entries(*found[0]))


def _find_header(member: Member) -> tuple[int, list[str], str] | None:
    """Return the header's line, its names and what separates them."""
    if not member.stem.lower().endswith((".txt", ".csv", ".tsv", ".psv")):
        return None
    for line, text in enumerate(islice(member.lines("cp1252"), _FURTHEST_HEADER), 1):
        for separator in ("\t", "|"):
            names = [_normal(name) for name in text.rstrip("\r\n").split(separator)]
            if any(code in names for code in _CODE) and any(kind in names for kind in _DESCRIPTORS):
                return line, names, separator
    return None


def _normal(name: str) -> str:
    """Return a column's name without case and the words that only some years have."""
    folded = name.strip().strip('"').lower()
    for word in (" descriptor", " description"):
        folded = folded.removesuffix(word)
    return folded


def _cpt_entries(member: Member, header_line: int, names: list[str], separator: str) -> Iterator[Entry]:
    seen: set[str] = set()
    code_at = next(names.index(name) for name in _CODE if name in names)
    places = [(kind, names.index(kind)) for kind in _DESCRIPTORS if kind in names]
    for line, text in enumerate(member.lines("cp1252"), 1):
        cells = [cell.strip() for cell in text.rstrip("\r\n").split(separator)]
        if line <= header_line or not any(cells):
            continue
        code = cells[code_at] if code_at < len(cells) else ""
        if len(code) != _CPT_CODE_LENGTH or not code.isalnum():
            refuse(member, line, names[code_at], f"{code!r} is not a CPT code")
        if code in seen:
            refuse(member, line, names[code_at], f"{code} is there twice")
        seen.add(code)
        texts = [(kind, cells[place]) for kind, place in places if place < len(cells) and cells[place]]
        if not texts:
            refuse(member, line, places[0][0], "missing")
        designations = tuple(Designation(said, "en", {"display": f"{kind} descriptor"}) for kind, said in texts[1:])
        yield Concept(code, texts[0][1], None, designations), ()


def read_csv(path: Path, url: str, version: str | None = None) -> Import:
    """Read a CSV file whose header has ``code`` and perhaps ``display``, ``definition``, ``parent`` and ``inactive``.

    ``parent`` may be several codes with a ``|`` between; every other column is a property of strings. Raises InvalidContent.
    """
    chosen = require_version(version, None, path, "1")
    if not url.startswith(("http://", "https://", "urn:")):
        raise InvalidContent(f"{url!r} can't be the URL of a code system")
    (member,) = list_members(path)[:1] or [Member(None, str(path))]
    names = read_header(member, ",", quoted=True)
    if "code" not in names:
        refuse(member, 1, "code", f"missing; there are {', '.join(names) or 'none'}")
    if len(set(names)) < len(names):
        refuse(member, 1, next(name for name in names if names.count(name) > 1), "there twice")
    properties = [{"code": name, "type": "string"} for name in names if name not in _RESERVED]
    title = path.stem
    name = "".join(c for c in title.title() if c.isalnum()) or "CodeSystem"
    resource = describe(url, chosen, name, title, **({"property": properties} if properties else {}))
    if "parent" in names:
        resource["hierarchyMeaning"] = "is-a"
    return Import(resource, _csv_entries(member, names))


def _csv_entries(member: Member, names: Sequence[str]) -> Iterator[Entry]:
    seen: set[str] = set()
    parents: dict[str, int] = {}  # and the line that first names it
    for line, values in read_columns(member, names, separator=",", quoted=True):
        cells = {name: value.strip() for name, value in zip(names, values, strict=True)}
        if not cells["code"]:
            refuse(member, line, "code", "missing")
        if cells["code"] in seen:
            refuse(member, line, "code", f"{cells['code']} is there twice")
        seen.add(cells["code"])
        above = [parent.strip() for parent in cells.get("parent", "").split("|") if parent.strip()]
        for parent in above:
            parents.setdefault(parent, line)
        inactive = cells.get("inactive", "").lower()
        if inactive not in ("", "true", "false", "1", "0"):
            refuse(member, line, "inactive", f"{inactive!r} is neither true nor false")
        properties = tuple(
            Property(name, "string", value) for name, value in cells.items() if name not in _RESERVED and value
        )
        concept = Concept(
            cells["code"],
            cells.get("display") or None,
            cells.get("definition") or None,
            (),
            properties,
            inactive=inactive in ("true", "1"),
        )
        yield concept, above
    for parent, line in parents.items():
        if parent not in seen:
            refuse(member, line, "parent", f"{parent} is not among the codes")
