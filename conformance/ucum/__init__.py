"""UCUM, the Unified Code for Units of Measure, https://ucum.org/ucum: codes to canonical units.

``canonical("mg/dL")`` tells how values in milligrams per decilitre become grams per cubic metre, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from conformance.ucum.parser import parse
from conformance.ucum.units import Unit, UnknownUnitError

__all__ = ["SYSTEM", "Canonical", "Unit", "UnknownUnitError", "canonical", "parse"]

SYSTEM = "http://unitsofmeasure.org"
"""The code system under which FHIR knows UCUM."""


@dataclass(frozen=True, slots=True)
class Canonical:
    """What a unit's values are in base units: ``value * factor + offset`` times ``unit``.

    Two units can be compared when their ``unit`` is the same.
    """

    unit: str
    factor: Fraction
    offset: Fraction

    def of(self, value: Decimal | Fraction | int) -> Fraction:
        """Return a value of this unit in base units."""
        return Fraction(value) * self.factor + self.offset


@lru_cache(maxsize=8192)
def canonical(code: str) -> Canonical | None:
    """Return what a UCUM code's values are in base units, or None for a code that isn't UCUM."""
    try:
        unit = parse(code)
    except UnknownUnitError:
        return None
    return Canonical(unit.base, unit.factor, unit.offset)
