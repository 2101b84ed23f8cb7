"""The statements' parts that write range index rows, for resources and for what they contain.

Parameters travel as array literals, one array per column, so one row and five hundred take the same statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from fhir_server.store.entries import IndexEntries


class Indexed(Protocol):
    """What has index rows: the rows point to its ``key``."""

    @property
    def key(self) -> int:
        """The key."""

    @property
    def entries(self) -> IndexEntries:
        """What to find it by."""


STRINGS = """INSERT INTO string_index (tenant, parameter, key, value)
  SELECT %s, x.parameter, x.key, x.value FROM unnest(%s::int4[], %s::int8[], %s::text[]) AS x(parameter, key, value)"""
DATES = """INSERT INTO date_index (tenant, parameter, key, low, high)
  SELECT %s, x.parameter, x.key, x.low, x.high
  FROM unnest(%s::int4[], %s::int8[], %s::int8[], %s::int8[]) AS x(parameter, key, low, high)"""
NUMBERS = """INSERT INTO number_index (tenant, parameter, key, value, low, high, system_code, code, unit)
  SELECT %s, x.parameter, x.key, x.value, x.low, x.high, x.system_code, x.code, x.unit
  FROM unnest(%s::int4[], %s::int8[], %s::numeric[], %s::numeric[], %s::numeric[], %s::int8[], %s::int8[], %s::int8[])
  AS x(parameter, key, value, low, high, system_code, code, unit)"""


def literal(values: Iterable[Any]) -> str:
    """Return a PostgreSQL array literal of numbers or NULLs."""
    return "{" + ",".join(["NULL" if v is None else str(v) for v in values]) + "}"


def text_literal(values: Iterable[str]) -> str:
    """Return a PostgreSQL array literal of texts."""
    return "{" + ",".join(['"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]) + "}"


def index_parameters(tenant: int, changes: Sequence[Indexed]) -> list[Any]:
    """Return the parameters of the three index statements, in their order."""
    strings = [(c.key, e) for c in changes for e in c.entries.strings]
    dates = [(c.key, e) for c in changes for e in c.entries.dates]
    numbers = [(c.key, e) for c in changes for e in c.entries.numbers]
    return [
        tenant,
        literal(e.parameter for _, e in strings),
        literal(k for k, _ in strings),
        text_literal(e.value for _, e in strings),
        tenant,
        literal(e.parameter for _, e in dates),
        literal(k for k, _ in dates),
        literal(e.low for _, e in dates),
        literal(e.high for _, e in dates),
        tenant,
        literal(e.parameter for _, e in numbers),
        literal(k for k, _ in numbers),
        literal(e.value for _, e in numbers),
        literal(e.low for _, e in numbers),
        literal(e.high for _, e in numbers),
        literal(e.system_code for _, e in numbers),
        literal(e.code for _, e in numbers),
        literal(e.unit for _, e in numbers),
    ]
