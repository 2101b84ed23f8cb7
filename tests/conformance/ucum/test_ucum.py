"""UCUM codes and their canonical units."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.ucum import UnknownUnitError, canonical, convert, parse, validate
from conformance.ucum.essence import essence


@pytest.mark.parametrize(
    ("value", "code", "same", "other"),
    [
        ("1", "kg", "1000", "g"), ("100", "mg", "0.1", "g"), ("1", "L", "1", "dm3"), ("1", "l", "1000", "mL"),
        ("5.5", "mg/dL", "55", "ug/mL"), ("1", "mmol/L", "1000", "umol/L"), ("120", "mm[Hg]", "12", "cm[Hg]"),
        ("37", "Cel", "98.6", "[degF]"), ("0", "Cel", "273.15", "K"), ("-40", "Cel", "-40", "[degF]"),
        ("80", "[degRe]", "100", "Cel"), ("60", "/min", "1", "Hz"), ("60", "{beats}/min", "1", "/s"),
        ("7", "10*9/L", "7", "10*6/mL"), ("7", "10*9/L", "7", "10^3/uL"), ("7", "10*3/uL", "7000", "{cells}/uL"),
        ("1", "[in_i]", "2.54", "cm"), ("1", "[lb_av]", "0.45359237", "kg"), ("1", "wk", "7", "d"), ("1", "a", "12", "mo"),
        ("50", "%", "0.5", "1"), ("1", "[IU]/L", "1", "m[IU]/mL"), ("1", "[iU]", "1", "[IU]"), ("24", "ug/(24.h)", "1", "ug/h"),
        ("1", "kg.m/s2", "1", "N"), ("1", "kg.m.s-2", "1", "N"), ("1", "m+2", "1", "m2"), ("10", "dB", "1", "B"),
        ("1", "mbar", "1", "hPa"), ("180", "deg", "1", "[pi].rad"), ("1", "[pt_us]", "2", "[cup_us]"), ("2", "/(2.s)", "1", "Hz"),
        ("1", "10*-3", "1", "[ppth]"), ("1", "meq/L", "1", "mmol/L"), ("90", "mL/min/{1.73_m2}", "90", "ml/min"),
    ],
)  # fmt: skip
def test_values_of_different_units_are_the_same(value: str, code: str, same: str, other: str) -> None:
    one, two = canonical(code), canonical(other)
    assert one is not None
    assert two is not None
    assert one.unit == two.unit
    assert one.of(Decimal(value)) == two.of(Decimal(same))


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("mg", "mL"),
        ("mg/dL", "mmol/dL"),
        ("Cel", "m"),
        ("[iU]", "[arb'U]"),
        ("[pH]", "mol/L"),
        ("dB", "Np"),
        ("g", "[iU]"),
    ],
)
def test_units_of_something_else_do_not_compare(code: str, other: str) -> None:
    one, two = canonical(code), canonical(other)
    assert one is not None
    assert two is not None
    assert one.unit != two.unit


@pytest.mark.parametrize(
    "code",
    ["", "mgs", "m//s", "m..s", "(m", "m)", "m.", "/", "kk", "kmin", "m 2", "m^2", "μg", "{open", "[nothing]", "0", "10*999",
     "m" * 101, "(" * 50 + "m" + ")" * 50, "W/Cel", "Cel2", "KG", "10*99.10*99.10*99.10*99", "é", "\x00"],
)  # fmt: skip
def test_other_codes_are_refused(code: str) -> None:
    assert canonical(code) is None
    with pytest.raises(UnknownUnitError):
        parse(code)


def test_every_atom_has_a_canonical_unit_that_is_its_own() -> None:
    for code in essence().atoms:
        known = canonical(code)
        assert known is not None, code
        again = canonical(known.unit)
        assert again is not None, known.unit
        assert (again.unit, again.factor, again.offset) == (known.unit, Fraction(1), Fraction(0)), code
    assert len(essence().atoms) == 310


UNITS = st.sampled_from(["mg", "g", "L", "mmol", "min", "10*3", "{x}", "[iU]", "m2", "s-1", "(g.m)"])


@given(UNITS, UNITS, UNITS)
def test_products_are_read_from_left_to_right(a: str, b: str, c: str) -> None:
    whole, grouped = parse(f"{a}/{b}.{c}"), parse(f"({a}/{b}).{c}")
    assert (whole.factor, whole.base) == (grouped.factor, grouped.base)
    assert whole.factor == parse(a).factor / parse(b).factor * parse(c).factor


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    known = canonical(text)
    assert known is None or known.factor > 0


@given(st.fractions())
def test_temperatures_keep_their_order(value: Fraction) -> None:
    celsius, fahrenheit = canonical("Cel"), canonical("[degF]")
    assert celsius is not None
    assert fahrenheit is not None
    assert celsius.of(value) == fahrenheit.of(value * 9 / 5 + 32)


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        ("23", "Cel", "[degF]", "73.4"), ("0", "K", "Cel", "-273.15"), ("1", "[lb_av]", "kg", "0.45359237"), ("5", "mg/dL", "g/L", "0.05"),
        ("3", "bit_s", "1", "8"), ("20", "dB", "1", "100"), ("60", "dB[W]", "kW", "1000"), ("4", "m2/s4/Hz", "[m/s2/Hz^(1/2)]", "2"),
        ("7", "[pH]", "nmol/L", "100"), ("100", "nmol/L", "[pH]", "7"), ("6", "[hp'_X]", "[ppm]", "1"), ("3", "[hp'_C]", "[hp'_M]", "2"),
        ("1", "B[V]", "B[mV]", "7"), ("100", "%[slope]", "deg", "45"), ("1", "Np", "1", "2.718281828459045"),
        ("2", "[hp'_Q]", "1", "4e-10"),
    ],
)  # fmt: skip
def test_values_convert_between_units(value: str, source: str, target: str, expected: str) -> None:
    found = convert(Decimal(value), source, target)
    assert found is not None
    assert abs(found - Fraction(expected)) <= abs(Fraction(expected)) * Fraction(1, 10**15)


@pytest.mark.parametrize(
    ("value", "source", "target"),
    [(1, "m", "g"), (-1, "1", "B"), (0, "mol/L", "[pH]"), (10**6, "B", "1"), (1, "[iU]", "g"), (1, "B[V]", "B[W]")],
)
def test_what_has_no_meaning_in_a_unit_is_not_converted(value: int, source: str, target: str) -> None:
    assert convert(value, source, target) is None


def test_unknown_units_are_told() -> None:
    with pytest.raises(UnknownUnitError, match="mgs"):
        convert(1, "mgs", "g")
    with pytest.raises(UnknownUnitError, match="mgs"):
        convert(1, "g", "mgs")


@pytest.mark.parametrize("code", ["mg", "mL/min/{1.73_m2}", "{score}", "10*3/uL", "/(2.s)", "m[H2O]", "1", "[iU]"])
def test_valid_codes(code: str) -> None:
    assert validate(code) is None


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "1 to 100 characters"),
        ("KG", "no unit 'KG'"),
        ("m//s", "from character 4"),
        ("{a b}", "33 to 126"),
        ("mL{é}", "33 to 126"),
    ],
)
def test_what_is_wrong_with_a_code(code: str, message: str) -> None:
    assert message in str(validate(code))


@given(st.fractions(min_value=Fraction(1, 10**6), max_value=10**6), st.sampled_from(list(essence().atoms)))
def test_every_unit_converts_to_its_base_and_back(value: Fraction, code: str) -> None:
    known = canonical(code)
    assert known is not None
    there = convert(value, code, known.unit)
    assert there is not None
    assert convert(there, known.unit, code) == value
