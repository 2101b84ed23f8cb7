"""The plain reading against examples of the specification, so that it may judge others.

https://hl7.org/fhir/R4/search.html#number, #date, #string, #token, #uri and #escaping.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.search.oracle import dates, numbers, position, references, strings, tokens
from tests.search.oracle.filters import Compared, Joined, parse_filter
from tests.search.oracle.written import escape, split, unescape

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONWARDS = {"start": "2013-01-21"}
LATER = {"start": "2013-03-15"}


@pytest.mark.parametrize(
    ("searched", "value", "expected"),
    [
        ("100", "99.5", True),
        ("100", "100.499", True),
        ("100", "100.5", False),
        ("100.00", "99.995", True),
        ("100.00", "100.1", False),
        ("1e2", "95", True),
        ("1e2", "105", False),
        ("1.00e2", "99.5", True),
        ("1.00e2", "99.4", False),
        ("lt100", "99.999", True),
        ("lt100", "100", False),
        ("le100", "100", True),
        ("gt100", "100.001", True),
        ("ge100", "99.999", False),
        ("ne100", "100.2", False),
        ("ne100", "100.5", True),
        ("ap100", "90", True),
        ("ap100", "111", False),
    ],
)
def test_numbers(searched: str, value: str, expected: bool) -> None:
    """Precision counts for eq and ne, not for the others."""
    assert numbers.number_holds("decimal", Decimal(value), searched) is expected


@pytest.mark.parametrize(
    ("searched", "value", "expected"),
    [
        ("5.4|http://unitsofmeasure.org|mg", "5.36", True),
        ("0.0054|http://unitsofmeasure.org|g", "5.4", True),
        ("5.40e-3|http://unitsofmeasure.org|g", "5.4", True),
        ("5.4||milligram", "5.4", True),
        ("5.4||mg", "5.4", True),
        ("5.4||g", "5.4", False),
        ("5.4|http://other.example|mg", "5.4", False),
        ("gt0.005|http://unitsofmeasure.org|g", "5.4", True),
    ],
)
def test_quantities(searched: str, value: str, expected: bool) -> None:
    """The unit is its code or what people read; with a system it may be converted."""
    has = {"value": Decimal(value), "system": "http://unitsofmeasure.org", "code": "mg", "unit": "milligram"}
    assert numbers.quantity_holds("Quantity", has, searched) is expected


@pytest.mark.parametrize(
    ("searched", "value", "expected"),
    [
        ("eq2013-01-14", "2013-01-14T00:00:00Z", True),
        ("eq2013-01-14", "2013-01-14T10:00:00Z", True),
        ("eq2013-01-14", "2013-01-15T00:00:00Z", False),
        ("ne2013-01-14", "2013-01-15T00:00:00Z", True),
        ("ne2013-01-14", "2013-01-14T10:00:00Z", False),
        ("lt2013-01-14T10:00Z", "2013-01-14", True),
        ("gt2013-01-14T10:00Z", "2013-01-14", True),
        ("ge2013-03-14", ONWARDS, True),
        ("le2013-03-14", ONWARDS, True),
        ("sa2013-03-14", LATER, True),
        ("sa2013-03-14", ONWARDS, False),
        ("eb2013-03-14", LATER, False),
        ("eb2013-03-14", ONWARDS, False),
        ("2013", "2013-02", True),
        ("2013-02-03", "2013-02", False),
        ("2020-01-01", "2019-12-31T23:30:00-05:00", True),
        ("ap2016", "2015-06", True),
        ("ap2016", "2013-06", False),
    ],
)
def test_dates(searched: str, value: str | dict[str, str], expected: bool) -> None:
    """The examples of the table of prefixes."""
    assert dates.holds("dateTime" if isinstance(value, str) else "Period", value, searched, NOW) is expected


def test_strings() -> None:
    """From the start, whatever case and accents; exactly; anywhere."""
    assert strings.holds("string", "Évelyne", None, "eve")
    assert not strings.holds("string", "Severine", None, "eve")
    assert strings.holds("string", "Severine", "contains", "EVE")
    assert not strings.holds("string", "Eve", "exact", "eve")
    assert strings.holds("HumanName", {"given": ["Ada", "Eve"], "family": "Li"}, None, "eve")
    assert strings.sounds_alike(["Robert"], "Rupert")
    assert not strings.sounds_alike(["Robert"], "Rubin")
    assert strings.sounds_alike(["Ashcraft"], "Ashcroft")


@pytest.mark.parametrize(
    ("searched", "expected"),
    [("x", True), ("s|x", True), ("s|", True), ("|x", False), ("t|x", False), ("y", False)],
)
def test_tokens(searched: str, expected: bool) -> None:
    """Four forms of a token."""
    assert tokens.matches(tokens.Token("s", "x"), searched) is expected


def test_references_and_uris() -> None:
    """An id, a type with it, this server's own URL; URIs as they are or by segments."""
    base, here = "http://here/fhir", {"reference": "Patient/1/_history/2"}
    assert all(references.holds(here, None, text, base) for text in ("1", "Patient/1", "http://here/fhir/Patient/1"))
    assert not references.holds(here, "Group", "1", base)
    assert not references.holds({"reference": "http://there/fhir/Patient/1"}, None, "1", base)
    assert references.uri_holds("uri", "http://acme/fhir/1", "below", "http://acme/fhir/")
    assert not references.uri_holds("uri", "http://acme/fhirx", "below", "http://acme/fhir")
    assert references.uri_holds("uri", "http://acme/fhir", "above", "http://acme/fhir/1/2")


def test_places() -> None:
    """Boston is 306 km from New York, give or take one."""
    boston = {"latitude": Decimal("42.3601"), "longitude": Decimal("-71.0589")}
    assert position.holds(boston, "40.7128|-74.0060|307")
    assert not position.holds(boston, "40.7128|-74.0060|305|km")
    assert position.holds(boston, "40.7128|-74.0060|191|[mi_i]")


def test_escapes_and_filters() -> None:
    """A marked separator separates nothing; parentheses group."""
    assert split(r"a\,b,c\\,d", ",") == [r"a\,b", r"c\\", "d"]
    assert unescape(r"a\,b\|\$\\\x") == "a,b|$\\\\x"
    assert unescape(escape("a,b|$\\x")) == "a,b|$\\x"
    left, right = Compared("name", "eq", 'p "q'), Compared("birthdate", "ge", "2014-10-10")
    assert parse_filter(r'name eq "p \"q" and (birthdate ge 2014-10-10)') == Joined("and", (left, right))
    assert parse_filter("not (a pr true) or b eq c").operator == "or"
