"""Vital signs and other measurements: a name, a value, a unit, by patterns (``data/measurements.json``).

https://hl7.org/fhir/R4/observation-vitalsigns.html; units are UCUM's, https://ucum.org. Linear in the length of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

_DATA = Path(__file__).parent / "data" / "measurements.json"
_LINK = re.compile(
    r"(?:\s{0,3}(?:\([A-Za-z0-9]{1,6}\)|[:=,~]|-(?!\d)|(?:is|was|of|at|to|level|levels|value|were|are|rate|reading|measured|approximately|about|around"
    r"|today|currently|has been|in the|up to|on admission|count|down)\b)){0,5}\s{0,4}",
    re.IGNORECASE,
)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,7}(?:\.\d{1,4})?"
_VALUE = re.compile(rf"({_NUMBER})(?!\d|[,./]\d)")
_PAIR = re.compile(r"(\d{2,3})\s?(?:/|over)\s?(\d{2,3})(?![\d/])")
_LONGEST_UNIT = 20


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A measurement: its name, its LOINC code (vital signs only), units as written → UCUM, and what is plausible."""

    name: str
    code: str
    display: str
    pair: tuple[str, ...]
    units: dict[str, str]
    assume: bool
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Measurement:
    """``text[start:end]`` gives values (two for a pair such as blood pressure) in a UCUM unit, empty when unknown."""

    start: int
    end: int
    kind: Kind
    values: tuple[Decimal, ...]
    unit: str


@cache
def _kinds() -> dict[str, Kind]:
    kinds = {}
    for row in json.loads(_DATA.read_text(encoding="utf-8"))["measurements"]:
        kind = Kind(
            row["name"],
            row.get("code", ""),
            row.get("display", ""),
            tuple(row.get("pair", ())),
            row["units"],
            row["assume"],
            Decimal(str(row["low"])),
            Decimal(str(row["high"])),
        )
        kinds.update(dict.fromkeys(row["phrases"], kind))
    return kinds


@cache
def _names() -> re.Pattern[str]:
    phrases = "|".join(re.escape(phrase) for phrase in sorted(_kinds(), key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{phrases})(?!\w)", re.IGNORECASE)


@cache
def _units() -> dict[int, re.Pattern[str]]:
    found = {}
    for kind in _kinds().values():
        if kind.units:
            units = "|".join(re.escape(unit) for unit in sorted(kind.units, key=len, reverse=True))
            found[id(kind)] = re.compile(rf"\s{{0,2}}({units})(?![A-Za-z])", re.IGNORECASE)
    return found


def find_measurements(text: str) -> Iterator[Measurement]:
    """Yield the measurements of a text in order, not overlapping; a name without a plausible value is none."""
    end = 0
    for match in _names().finditer(text):
        if match.start() < end:
            continue
        measured = _measured(text, match, _kinds()[match.group().lower()])
        if measured:
            end = measured.end
            yield measured


def _measured(text: str, name: re.Match[str], kind: Kind) -> Measurement | None:
    linked = _LINK.match(text, name.end())
    at = linked.end() if linked else name.end()
    value = (_PAIR if kind.pair else _VALUE).match(text, at)
    if value is None or at == name.end():
        return None
    values = tuple(Decimal(number.replace(",", "")) for number in value.groups())
    if not all(kind.low <= number <= kind.high for number in values):
        return None
    units = _units().get(id(kind))
    written = units.match(text, value.end(), value.end() + _LONGEST_UNIT) if units else None
    if written:
        return Measurement(name.start(), written.end(), kind, values, kind.units[written[1].lower()])
    unit = next(iter(kind.units.values())) if kind.assume else ""
    return Measurement(name.start(), value.end(), kind, values, unit)
