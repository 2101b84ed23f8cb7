"""Units on a scale that isn't linear: logarithms, tangents and roots, https://ucum.org/ucum#section-Special-Units-on-non-ratio-Scales.

Each function tells what a number on its scale is as a multiple of the proper unit, and back. Their results are
irrational, so they carry 30 digits (17 for tangents), where linear units convert exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException
from fractions import Fraction
from types import MappingProxyType

_CONTEXT = Context(prec=30, Emin=-400, Emax=400)
_TWO_PLACES = Fraction(100)


@dataclass(frozen=True, slots=True)
class Scale:
    """``proper`` takes a number on the scale to a multiple of the proper unit, ``special`` takes it back."""

    proper: Callable[[Fraction], Fraction]
    special: Callable[[Fraction], Fraction]


def _decimal(value: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _logarithm(base: int, times: int) -> Scale:
    """Return the scale ``times`` · log(x) to ``base``; 0 stands for e."""

    def proper(value: Fraction) -> Fraction:
        exponent = _decimal(value / times)
        return Fraction(_CONTEXT.power(base, exponent) if base else _CONTEXT.exp(exponent))

    def special(value: Fraction) -> Fraction:
        if value <= 0:
            raise ValueError("only positive values have a logarithm")
        logarithm = _CONTEXT.ln(_decimal(value))
        return times * Fraction(_CONTEXT.divide(logarithm, _CONTEXT.ln(base)) if base else logarithm)

    return Scale(proper, special)


def _tangent() -> Scale:
    """Return the scale 100 · tan(x) of angles in degrees."""
    return Scale(
        lambda value: Fraction(math.degrees(math.atan(value / _TWO_PLACES))),
        lambda value: _TWO_PLACES * Fraction(math.tan(math.radians(value))),
    )


def _root() -> Scale:
    return Scale(lambda value: value * value, lambda value: Fraction(_CONTEXT.sqrt(_decimal(value))))


SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "lg": _logarithm(10, 1),
        "lgTimes2": _logarithm(10, 2),
        "ln": _logarithm(0, 1),
        "ld": _logarithm(2, 1),
        "pH": _logarithm(10, -1),
        "hpX": _logarithm(10, -1),
        "hpC": _logarithm(100, -1),
        "hpM": _logarithm(1000, -1),
        "hpQ": _logarithm(50000, -1),
        "tanTimes100": _tangent(),
        "100tan": _tangent(),
        "sqrt": _root(),
    }
)


def apply(change: Callable[[Fraction], Fraction], value: Fraction) -> Fraction | None:
    """Return what a scale makes of ``value``, None where it has no such value (the logarithm of a negative number)."""
    try:
        return change(value)
    except (ValueError, DecimalException, OverflowError):
        return None
