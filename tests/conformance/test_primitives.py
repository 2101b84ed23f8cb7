"""Formats of primitive types, and the time ranges that dates cover."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.primitives import MAX_STRING, date_range, find_fault

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
MICROSECOND = timedelta(microseconds=1)


def micros(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // MICROSECOND  # type: ignore[misc,arg-type]


LAST_DAY = micros(9999, 12, 31)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("1970", 0, 365 * DAY),
        ("2024", micros(2024, 1, 1), micros(2025, 1, 1)),
        ("2024-02", micros(2024, 2, 1), micros(2024, 3, 1)),
        ("2023-12", micros(2023, 12, 1), micros(2024, 1, 1)),
        ("2024-02-29", micros(2024, 2, 29), micros(2024, 3, 1)),
        ("2024-02-29T10:30", micros(2024, 2, 29, 10, 30), micros(2024, 2, 29, 10, 31)),
        ("2024-02-29T10:30Z", micros(2024, 2, 29, 10, 30), micros(2024, 2, 29, 10, 31)),
        ("2024-02-29T10:30:15", micros(2024, 2, 29, 10, 30, 15), micros(2024, 2, 29, 10, 30, 16)),
        ("2024-02-29T10:30:15+02:00", micros(2024, 2, 29, 8, 30, 15), micros(2024, 2, 29, 8, 30, 16)),
        ("2024-02-29T22:30:15-05:30", micros(2024, 3, 1, 4, 0, 15), micros(2024, 3, 1, 4, 0, 16)),
        ("1970-01-01T00:00:00.5Z", SECOND // 2, SECOND // 2 + SECOND // 10),
        ("1970-01-01T00:00:00.050Z", 50_000, 51_000),
        ("1970-01-01T00:00:00.123456Z", 123_456, 123_457),
        ("1970-01-01T00:00:00.123456789Z", 123_456, 123_457),
        ("1969-12-31T23:59:59Z", -SECOND, 0),
        ("2016-12-31T23:59:60Z", micros(2017, 1, 1), micros(2017, 1, 1, 0, 0, 1)),
        ("0001", micros(1, 1, 1), micros(2, 1, 1)),
        ("0001-01-01T00:00:00+14:00", micros(1, 1, 1) - 14 * HOUR, micros(1, 1, 1) - 14 * HOUR + SECOND),
        ("9999", micros(9999, 1, 1), micros(9999, 12, 31) + DAY),
        ("9999-12", micros(9999, 12, 1), micros(9999, 12, 31) + DAY),
        ("9999-12-31", micros(9999, 12, 31), micros(9999, 12, 31) + DAY),
        ("9999-12-31T23:59:59.999999-14:00", LAST_DAY + DAY + 14 * HOUR - 1, LAST_DAY + DAY + 14 * HOUR),
    ],
)  # fmt: skip
def test_date_range_covers_what_the_precision_says(value: str, low: int, high: int) -> None:
    assert date_range(value) == (low, high)


@pytest.mark.parametrize(
    "value",
    [
        "", "a", "20", "0000", "2023-00", "2023-13", "2023-02-29", "2023-1", "2023-01-01T", "2023-01-01T10",
        "2023-01-01T24:00", "2023-01-01T10:60", "2023-01-01T10:00:61", "2023-01-01Z", "2023-01-01T10:00:00+15:00",
        "2023-01-01T10:00:00 02:00", "2023-01-01T10:00:00.", "2023-01-01 10:00", "2023\n", "\u0662\u0660\u0662\u0663",
        "10000", "-2023", "2023-01-01T10:00:00z",
    ],
)  # fmt: skip
def test_date_range_refuses_what_is_no_date(value: str) -> None:
    with pytest.raises(ValueError, match=r"no such|not a date"):
        date_range(value)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_date_range_agrees_with_datetime(moment: datetime, offset: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    instant = (zoned - EPOCH) // MICROSECOND
    assert date_range(zoned.isoformat(timespec="microseconds")) == (instant, instant + 1)
    assert find_fault("instant", zoned.isoformat(timespec="microseconds")) is None
    second = instant - moment.microsecond
    assert date_range(zoned.isoformat(timespec="seconds")) == (second, second + SECOND)


@given(st.integers(1, 9999), st.integers(1, 12), st.integers(1, 31))
def test_dates_conform_exactly_when_they_exist(year: int, month: int, day: int) -> None:
    text = f"{year:04}-{month:02}-{day:02}"
    try:
        datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        assert find_fault("date", text) is not None
        with pytest.raises(ValueError, match="no such date"):
            date_range(text)
    else:
        assert find_fault("date", text) is None
        assert find_fault("dateTime", text) is None
        low, high = date_range(text)
        assert high - low == DAY


@given(st.text(alphabet="0123456789-:T+Z.", max_size=30))
def test_every_dateTime_that_conforms_has_a_range(text: str) -> None:  # noqa: N802 - the FHIR type's name
    if find_fault("dateTime", text) is None:
        low, high = date_range(text)
        assert low < high


@pytest.mark.parametrize(
    ("type_name", "good", "bad"),
    [
        ("boolean", [True, False], [0, "true", None]),
        ("integer", [0, -(2**31), 2**31 - 1], [2**31, True, "1", Decimal("1.0"), 10**400]),
        ("unsignedInt", [0, 2**31 - 1], [-1]),
        ("positiveInt", [1], [0]),
        ("decimal", [0, 1, Decimal("1.10"), Decimal("1E+308"), 10**308], ["1", True, Decimal("1E+309"), 10**309]),
        ("decimal", [Decimal("1E-308"), Decimal("0.00")], [Decimal("1E-309"), Decimal("NaN"), Decimal("Infinity")]),
        ("string", [" ", "a\tb\r\n", "\u00a0", "a" * MAX_STRING], ["", "\x00", "a\x0b", 1, None, []]),
        ("markdown", ["# a\n"], [""]),
        ("code", ["a", "a b"], [" a", "a ", "a  b", "", "a\n"]),
        ("id", ["a", "A-1.b", "a" * 64], ["a" * 65, "a_b", "", "a\n", "\u00e9"]),
        ("uri", ["urn:x", "http://a/b#c", "\u00e9"], ["a b", "a\n", ""]),
        ("canonical", ["http://a|1.0"], ["a b"]),
        ("url", ["mailto:a"], ["a\tb"]),
        ("oid", ["urn:oid:1.2.3"], ["1.2.3", "urn:oid:1.02"]),
        ("uuid", ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"], ["c757873d-ec9a-4326-a141-556f43239520"]),
        ("date", ["2024", "2024-02", "2024-02-29"], ["24", "2024-2", "2024-02-30", "2024-02-01T00:00:00Z", "2024\n"]),
        ("dateTime", ["2024", "2024-01-01T00:00:00Z"], ["2024-01-01T00:00Z", "2024-01-01T00:00:00"]),
        ("dateTime", ["2024-01-01T00:00:00.1234567+13:59"], ["2024-01-01T00:00:00+14:01"]),
        ("instant", ["2024-01-01T00:00:00Z"], ["2024-01-01", "2024-01-01T00:00:00"]),
        ("time", ["00:00:00", "23:59:60.5"], ["24:00:00", "00:00", "00:00:00Z"]),
        ("base64Binary", ["YWJj", "YWI=", "YQ==", " YWJj\nYWJj "], ["", "YWJ", "Y===", "YQ==YQ==", "YW-_"]),
        ("xhtml", ['<div xmlns="http://www.w3.org/1999/xhtml">a</div>'], ["", 1]),
    ],
)  # fmt: skip
def test_formats(type_name: str, good: list[object], bad: list[object]) -> None:
    for value in good:
        assert find_fault(type_name, value) is None, value
    for value in bad:
        fault = find_fault(type_name, value)
        assert fault is not None, value
        assert fault[0] == "value"
        assert fault[1]


def test_overlong_strings_are_named_as_such() -> None:
    fault = find_fault("string", "a" * (MAX_STRING + 1))
    assert fault is not None
    assert fault[0] == "too-long"
