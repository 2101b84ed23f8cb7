"""From a UCUM code (case sensitive) to a unit, https://ucum.org/ucum#section-Syntax-Rules."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache

from conformance.ucum.essence import Atom, essence
from conformance.ucum.units import ONE, Unit, UnknownUnitError

LONGEST_CODE = 100
_MOST_DEPTH = 10
_LARGEST_EXPONENT = 99
# Factors beyond 10^±300 are mistakes or attacks.
_LARGEST_FACTOR = Fraction(10) ** 300
_TOKEN = re.compile(
    r"(?P<annotation>\{[^{}]*\})"
    r"|(?P<mark>[./()])"
    r"|(?P<symbol>10[*^]|(?:\[[^\[\]\s]*\]|[^\[\]{}()./+\-\d\s])+)(?P<exponent>[+-]?\d+)?"
    r"|(?P<number>\d+)",
    re.ASCII,
)
# Kelvins at the zero of the scales that have one of their own, in their own degrees.
_ZEROS = {"Cel": Fraction("273.15"), "degF": Fraction("459.67"), "degRe": Fraction("218.52")}


def parse(code: str) -> Unit:
    """Return the unit that a code stands for. Raises UnknownUnitError."""
    if not code or len(code) > LONGEST_CODE:
        raise UnknownUnitError(f"a unit has 1 to {LONGEST_CODE} characters")
    unit = _Parser(code).parse()
    if not 1 / _LARGEST_FACTOR < unit.factor < _LARGEST_FACTOR:
        raise UnknownUnitError(f"{code!r} is too large or too small a unit")
    return unit


class _Parser:
    """Reads terms from left to right: ``.`` and ``/`` bind equally, and parentheses group."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._position = 0
        self._depth = 0

    def parse(self) -> Unit:
        unit = ONE.times(self._component(), -1) if self._take("/") else self._component()
        unit = self._rest(unit)
        if self._position < len(self._code):
            raise self._error()
        return unit

    def _rest(self, unit: Unit) -> Unit:
        while True:
            if self._take("."):
                unit = unit.times(self._component())
            elif self._take("/"):
                unit = unit.times(self._component(), -1)
            else:
                return unit

    def _component(self) -> Unit:
        found = _TOKEN.match(self._code, self._position)
        if found is None:
            raise self._error()
        if found["mark"] == "(":
            return self._group()
        self._position = found.end()
        if found["annotation"]:
            return ONE
        if found["number"]:
            unit = self._number(found["number"])
        elif found["symbol"]:
            unit = _symbol(found["symbol"]).to_power(self._exponent(found["exponent"]))
        else:
            raise self._error()
        annotation = _TOKEN.match(self._code, self._position)
        if annotation is not None and annotation["annotation"]:
            self._position = annotation.end()
        return unit

    def _group(self) -> Unit:
        self._take("(")
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise self._error()
        unit = self._rest(self._component())
        if not self._take(")"):
            raise self._error()
        self._depth -= 1
        return unit

    def _number(self, digits: str) -> Unit:
        if int(digits) == 0:
            raise self._error()
        return Unit(Fraction(int(digits)), {})

    def _exponent(self, text: str | None) -> int:
        exponent = int(text) if text else 1
        if abs(exponent) > _LARGEST_EXPONENT:
            raise self._error()
        return exponent

    def _take(self, mark: str) -> bool:
        if self._code.startswith(mark, self._position):
            self._position += 1
            return True
        return False

    def _error(self) -> UnknownUnitError:
        return UnknownUnitError(f"{self._code!r} is not a UCUM unit, from character {self._position + 1} on")


@cache
def _atom(code: str) -> Unit:
    atom = essence().atoms[code]
    if atom.unit is None or (atom.arbitrary and atom.unit == "1"):
        return Unit(Fraction(1), {code: 1})
    if atom.function is not None:
        return _on_its_scale(code, atom, atom.function)
    if code in ("10*", "10^"):
        return Unit(Fraction(10), {})
    return parse(atom.unit).scaled(atom.value)


def _on_its_scale(code: str, atom: Atom, function: str) -> Unit:
    zero = _ZEROS.get(function)
    if zero is None or atom.unit is None:
        return Unit(Fraction(1), {code: 1}, alone=True)
    degree = parse(atom.unit).scaled(atom.value)
    return Unit(degree.factor, degree.powers, zero * degree.factor, alone=True)


def _symbol(symbol: str) -> Unit:
    """Return the unit of an atom, or of a metric atom with a prefix."""
    known = essence()
    if symbol in known.atoms:
        return _atom(symbol)
    for length in (1, 2):
        prefix, code = known.prefixes.get(symbol[:length]), symbol[length:]
        if prefix is not None and code in known.atoms and known.atoms[code].metric:
            return _atom(code).scaled(prefix)
    raise UnknownUnitError(f"UCUM has no unit {symbol!r}")
