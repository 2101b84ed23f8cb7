"""UCUM, the Unified Code for Units of Measure, https://ucum.org/ucum: codes to canonical units.

``canonical("mg/dL")`` tells how values in milligrams per decilitre become grams per cubic metre, exactly;
``convert(23, "Cel", "[degF]")`` takes a value from one unit to another; ``validate(code)`` says what is wrong with a code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from conformance.ucum.essence import essence
from conformance.ucum.parser import parse
from conformance.ucum.special import SCALES, Scale, apply
from conformance.ucum.units import Unit, UnknownUnitError

__all__ = ["SYSTEM", "Canonical", "Unit", "UnknownUnitError", "canonical", "convert", "parse", "validate"]

SYSTEM = "http://unitsofmeasure.org"
"""The code system under which FHIR knows UCUM."""

# "the range of US-ASCII characters 33-126", without braces
_ANNOTATION = re.compile(r"\{([^{}]*)\}")
_ANNOTATION_TEXT = re.compile(r"[!-z|~]*")


@dataclass(frozen=True, slots=True)
class Canonical:
    """What a unit's values are in base units: ``value * factor + offset`` times ``unit``.

    Two units can be compared when their ``unit`` is the same. ``alone`` marks a unit with a scale of its own, which
    has no products and sums (degrees Celsius, decibels).
    """

    unit: str
    factor: Fraction
    offset: Fraction
    alone: bool = False

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
    return Canonical(unit.base, unit.factor, unit.offset, unit.alone)


def validate(code: str) -> str | None:
    """Return what is wrong with a UCUM code (case sensitive), None if it is valid."""
    for annotation in _ANNOTATION.finditer(code):
        if not _ANNOTATION_TEXT.fullmatch(annotation[1]):
            return f"{annotation[0]!r} in {code!r} has characters other than ASCII 33 to 126"
    try:
        parse(code)
    except UnknownUnitError as error:
        return str(error)
    return None


def _scale(unit: Canonical) -> tuple[Scale, Canonical] | None:
    """Return the scale of a unit that isn't linear and the unit it is made of."""
    atom = essence().atoms.get(unit.unit)
    if atom is None or atom.function is None or atom.unit is None or atom.function not in SCALES:
        return None
    proper = parse(atom.unit).scaled(atom.value)
    return SCALES[atom.function], Canonical(proper.base, proper.factor, proper.offset)


def convert(value: Decimal | Fraction | int, source: str, target: str) -> Fraction | None:
    """Return ``value`` of the unit ``source`` in the unit ``target``, None where they measure different things.

    Exact, except for units on logarithmic, tangent or root scales: 30 digits, and 17 for tangents; a value such a scale
    doesn't have (a negative number of bels' argument) is None, too. Raises UnknownUnitError for a code that isn't UCUM.
    """
    here, there = canonical(source), canonical(target)
    if here is None or there is None:
        unknown = source if here is None else target
        raise UnknownUnitError(validate(unknown) or f"{unknown!r} is not a UCUM unit")
    amount: Fraction | None = here.of(value)
    if here.unit != there.unit:
        leaving, entering = _scale(here), _scale(there)
        if leaving is not None:
            scale, here = leaving
            proper = apply(scale.proper, amount) if amount is not None else None
            amount = None if proper is None else here.of(proper)
        proper_unit = entering[1] if entering is not None else there
        if amount is None or here.unit != proper_unit.unit:
            return None
        if entering is not None:
            amount = apply(entering[0].special, (amount - proper_unit.offset) / proper_unit.factor)
    return None if amount is None else (amount - there.offset) / there.factor
