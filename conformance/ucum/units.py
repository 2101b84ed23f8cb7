"""Units as products of base units, https://ucum.org/ucum#section-Semantics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


class UnknownUnitError(ValueError):
    """A code that isn't UCUM, or a product that has no meaning; the message says which."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A value ``x`` in this unit is ``x * factor + offset`` in the product of the base units in ``powers``.

    ``powers`` holds no zeros. ``alone`` marks a unit on a scale of its own (degrees, logarithms), which no product can
    hold; a logarithmic one is its own base.
    """

    factor: Fraction
    powers: Mapping[str, int]
    offset: Fraction = Fraction(0)
    alone: bool = False

    def times(self, other: Unit, sign: int = 1) -> Unit:
        """Return the product, or with ``sign`` -1 the quotient. Raises UnknownUnitError for units that stand alone."""
        if self.alone or other.alone:
            raise UnknownUnitError("a unit with a scale of its own can't be part of a product")
        powers = dict(self.powers)
        for base, power in other.powers.items():
            powers[base] = powers.get(base, 0) + sign * power
        return Unit(self.factor * other.factor**sign, {base: power for base, power in powers.items() if power})

    def to_power(self, exponent: int) -> Unit:
        """Return a power of the unit. Raises UnknownUnitError for a unit that stands alone."""
        if exponent == 1:
            return self
        if self.alone:
            raise UnknownUnitError("a unit with a scale of its own has no powers")
        powers = {base: power * exponent for base, power in self.powers.items() if exponent}
        return Unit(self.factor**exponent, powers)

    def scaled(self, factor: Fraction) -> Unit:
        """Return the unit with a prefix of this value."""
        return Unit(self.factor * factor, self.powers, self.offset, self.alone)

    @property
    def base(self) -> str:
        """The product of base units as a UCUM code, the same for all units that can be compared; ``1`` without any."""
        parts = [base + ("" if power == 1 else str(power)) for base, power in sorted(self.powers.items())]
        return ".".join(parts) or "1"


ONE = Unit(Fraction(1), {})
