"""What a resource contributes to the search indexes: plain values that search computes and the store writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

OPEN_LOW = -(2**63)
OPEN_HIGH = 2**63 - 1


class StringEntry(NamedTuple):
    """A normalised string (see search's string rules) of one parameter."""

    parameter: int
    value: str


class DateEntry(NamedTuple):
    """A span of time in microseconds since 1970 UTC, ``low`` inclusive, ``high`` exclusive; open ends are the int8 limits."""

    parameter: int
    low: int
    high: int


class NumberEntry(NamedTuple):
    """A number or quantity: value, the range [low, high) its precision covers, and hashes of its unit or None."""

    parameter: int
    value: Decimal
    low: Decimal
    high: Decimal
    system_code: int | None
    code: int | None
    unit: int | None


class TextEntry(NamedTuple):
    """A text of one parameter that resources carry as ``token``; kept once, however many carry it."""

    parameter: int
    value: str
    token: int


class UnitEntry(NamedTuple):
    """A unit (``token`` is the hash of ``system|code``) whose values compare with those of the same ``dimension``.

    In base units a value is ``(value * multiplier + addend) / divisor``; ``divisor`` and ``multiplier`` are positive.
    """

    dimension: int
    token: int
    multiplier: int
    addend: int
    divisor: int


@dataclass(slots=True)
class IndexEntries:
    """All index entries of one resource. ``tokens`` are signed 64-bit hashes, without duplicates.

    ``texts`` and ``units`` go to dictionaries that all resources share (``store.texts``). ``base`` is the server's own
    address with a slash, empty when unknown: references below it are those to ``Type/id``. ``container`` is the ``Type/id``
    that references beginning with ``#`` stay within: of the resource itself, or of what contains it.
    """

    tokens: list[int] = field(default_factory=list)
    strings: list[StringEntry] = field(default_factory=list)
    dates: list[DateEntry] = field(default_factory=list)
    numbers: list[NumberEntry] = field(default_factory=list)
    texts: list[TextEntry] = field(default_factory=list)
    units: list[UnitEntry] = field(default_factory=list)
    base: str = ""
    container: str = ""
