"""The prefixes and atoms of UCUM as data, https://ucum.org/ucum, read from the compiled file beside this module."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import msgspec


@dataclass(frozen=True, slots=True)
class Atom:
    """A unit without prefix: ``value`` times ``unit``, or made by a ``function`` of that (degrees, logarithms).

    ``unit`` is None for a base unit. ``metric`` ones take prefixes; ``arbitrary`` ones compare with nothing else.
    """

    value: Fraction
    unit: str | None
    function: str | None
    metric: bool
    arbitrary: bool


@dataclass(frozen=True, slots=True)
class Essence:
    """All prefixes with their values, all atoms by code."""

    prefixes: Mapping[str, Fraction]
    atoms: Mapping[str, Atom]


@cache
def essence() -> Essence:
    """Return UCUM's tables."""
    raw = msgspec.json.decode(gzip.decompress((files(__package__) / "essence.json.gz").read_bytes()))
    atoms = {code: Atom(Fraction(1), None, None, True, False) for code in raw["base"]}
    for code, unit in raw["units"].items():
        flags = unit.get("metric", False), unit.get("arbitrary", False)
        atoms[code] = Atom(Fraction(unit["value"]), unit["unit"], unit.get("function"), *flags)
    prefixes = {code: Fraction(value) for code, value in raw["prefixes"].items()}
    return Essence(MappingProxyType(prefixes), MappingProxyType(atoms))
