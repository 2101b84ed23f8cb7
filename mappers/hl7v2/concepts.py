"""Coded values: CWE, CE, CNE, IS and ID to CodeableConcept, Coding and code.

https://hl7.org/fhir/R4/datatypes.html#CodeableConcept, HL7 v2.9 chapter 2A.3.13, https://www.hl7.eu/HL7v2x/v29/std29/ch02a.html.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from mappers.hl7v2.maps import Code, code_systems, codes
from mappers.hl7v2.primitives import code_text, text
from mappers.hl7v2.run import Run

_TABLE = re.compile(r"HL7-?(\d{4})$", re.ASCII)
_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+$", re.ASCII)
_LOCAL = re.compile(r"L$|99")
_CODINGS = ((0, 1, 2, 6), (3, 4, 5, 7), (9, 10, 11, 12))
"""Positions of code, text, system and version of each of the three codings."""
_SYSTEM_OIDS = {0: 13, 3: 16, 9: 19}
_ORIGINAL_TEXT = 8


@lru_cache(maxsize=4096)
def system_uri(name: str, sender: str) -> str | None:
    """Return the URI of a coding system named as in table 0396; local ones belong to their sender. None for no name."""
    name = name.strip()
    if not name:
        return None
    known = code_systems().get(name.upper())
    if known is not None:
        return known
    table = _TABLE.match(name.upper())
    if table is not None:
        return f"http://terminology.hl7.org/CodeSystem/v2-{table[1]}"
    if _OID.match(name):
        return f"urn:oid:{name}"
    if _LOCAL.match(name.upper()):
        return f"urn:x-hl7v2:code-system:{sender}:{quote(name, safe='')}"
    return f"urn:x-hl7v2:code-system:{quote(name, safe='')}"


def _coding(parts: list[str], positions: tuple[int, int, int, int], run: Run) -> dict[str, Any] | None:
    code, display, system, version = (parts[n] if n < len(parts) else "" for n in positions)
    oid_at = _SYSTEM_OIDS[positions[0]]
    oid = parts[oid_at].strip() if oid_at < len(parts) else ""
    out: dict[str, Any] = {}
    uri = system_uri(system, run.sender) or (f"urn:oid:{oid}" if _OID.match(oid) else None)
    symbol = code_text(code, run) if code else None
    if symbol is None:
        return None
    if uri:
        out["system"] = uri
        if version and (number := text(version, run)):
            out["version"] = number
    out["code"] = symbol
    if display and (shown := text(display, run)):
        out["display"] = shown
    return out


def split(piece: str, run: Run, depth: int) -> list[str]:
    """Return the components (or, deeper, subcomponents) of a piece."""
    mark = run.marks[depth]
    return piece.split(mark) if mark else [piece]


def lookup(vocabulary: str, code: str) -> Code | None:
    """Translate a v2 code by a vocabulary; None when the vocabulary leaves it open."""
    table = codes().get(vocabulary, {})
    return table.get(code) or table.get(code.upper())


def concept(piece: str, run: Run, depth: int, vocabulary: str = "") -> dict[str, Any] | None:
    """Return a CodeableConcept; a code that the vocabulary knows as its FHIR coding, any other as sent."""
    parts = split(piece, run, depth)
    codings = [c for at in _CODINGS if at[0] < len(parts) and (c := _coding(parts, at, run))]
    if vocabulary and codings:
        code = lookup(vocabulary, codings[0]["code"])
        if code is not None:
            translated = {"system": code.system, "code": code.code}
            if code.display:
                translated["display"] = code.display
            if codings[0].get("system") in (None, code.system):
                codings[0] = translated
            else:
                codings.insert(0, translated)
    out: dict[str, Any] = {}
    if codings:
        out["coding"] = codings
    original = parts[_ORIGINAL_TEXT] if len(parts) > _ORIGINAL_TEXT else ""
    if not original and not codings:
        original = next((p for p in (parts[1:2] + parts[4:5]) if p.strip()), "")
    if original and (shown := text(original, run)):
        out["text"] = shown
    return out or None


def coding(piece: str, run: Run, depth: int, vocabulary: str) -> dict[str, Any] | None:
    """Return a Coding by a vocabulary, else the first coding as it was sent."""
    found = concept(piece, run, depth, vocabulary)
    return found["coding"][0] if found and "coding" in found else None


def code(piece: str, run: Run, depth: int, vocabulary: str) -> str | None:
    """Return a code with a required binding: by the vocabulary or not at all (with a warning)."""
    given = split(piece, run, depth)[0].strip()
    found = lookup(vocabulary, given)
    if found is None:
        if given:
            run.warn(f"the code has no counterpart in {vocabulary}")
        return None
    return found.code
