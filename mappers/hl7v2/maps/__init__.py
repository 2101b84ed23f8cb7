"""The mapping tables, read once: data derived from HL7's v2-to-FHIR maps, each row with the row it came from.

Source: https://build.fhir.org/ig/HL7/v2-to-fhir/. ``origin`` of a row is ``map:line`` of the published table, or
``ours`` with a reason in docs/hl7v2.md. ``not_covered.csv`` lists the published rows that no row here translates.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import msgspec


def _rows(name: str) -> list[dict[str, str]]:
    text = (files(__package__) / f"{name}.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


@dataclass(frozen=True, slots=True)
class MessageTypes:
    """Message codes (table 0076) and trigger events (table 0003) of HL7 v2."""

    codes: frozenset[str]
    events: frozenset[str]


@dataclass(frozen=True, slots=True)
class FieldCheck:
    """A check of one field before a message is acknowledged.

    ``check`` is ``required``, ``identified`` (a first component), ``required-with`` field ``other``, ``timestamp`` or
    ``table`` (``codes``).
    """

    field: int
    name: str
    check: str
    other: int
    table: str
    codes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a segment or data type map.

    ``source`` is the field or component number (0: the segment as such), ``condition`` and ``target`` are in the
    small languages of
    :mod:`mappers.hl7v2.engine`, ``convert`` names a conversion, ``vocabulary`` a table of codes, ``extra`` what goes
    beside the value.
    """

    origin: str
    source: int
    condition: str
    target: str
    convert: str
    vocabulary: str
    extra: object


@dataclass(frozen=True, slots=True)
class Code:
    """What a v2 code becomes."""

    code: str
    system: str
    display: str


@cache
def message_types() -> MessageTypes:
    """Return the message codes and events that HL7 defines."""
    rows = _rows("message_types")
    return MessageTypes(
        frozenset(r["code"] for r in rows if r["table"] == "0076"),
        frozenset(r["code"] for r in rows if r["table"] == "0003"),
    )


@cache
def mapped_types() -> Mapping[str, tuple[str, ...]]:
    """Message types that are mapped (``ORU^R01``) → the segments they must have."""
    return MappingProxyType({r["type"]: tuple(r["required"].split()) for r in _rows("messages")})


@cache
def value_types() -> frozenset[str]:
    """Return the data types that OBX-2 may name (tables 0125 and 0440)."""
    return frozenset(r["code"] for r in _rows("message_types") if r["table"] == "0440")


@cache
def field_checks(segment: str) -> tuple[FieldCheck, ...]:
    """Return the checks of one segment's fields that are made before a message is acknowledged."""
    return tuple(
        FieldCheck(
            int(r["field"]),
            r["name"],
            r["check"],
            int(r["other"] or 0),
            r["table"],
            value_types() if r["table"] else frozenset(),
        )
        for r in _rows("checks")
        if r["segment"] == segment
    )


@cache
def authorities() -> Mapping[str, str]:
    """Namespaces of assigning authorities, upper case → identifier system."""
    return MappingProxyType({r["namespace"]: r["system"] for r in _rows("authorities")})


@cache
def patient_identifier_ranks() -> Mapping[str, int]:
    """Return, for identifier type codes (table 0203), how well they identify a patient; the lowest wins."""
    return MappingProxyType({r["type"]: int(r["rank"]) for r in _rows("patient_identifiers")})


@cache
def code_systems() -> Mapping[str, str]:
    """Names of coding systems (table 0396), upper case → URI."""
    return MappingProxyType({r["name"]: r["system"] for r in _rows("code_systems")})


@cache
def codes() -> Mapping[str, Mapping[str, Code]]:
    """Vocabulary → v2 code → FHIR code."""
    out: dict[str, dict[str, Code]] = defaultdict(dict)
    for r in _rows("codes"):
        out[r["vocabulary"]][r["code"]] = Code(r["target"], r["system"], r["display"])
    return MappingProxyType({name: MappingProxyType(table) for name, table in out.items()})


@cache
def maps() -> Mapping[str, tuple[Row, ...]]:
    """Map name (``PID[Patient]``, ``CX[Identifier]``) → its rows, in order."""
    out: dict[str, list[Row]] = defaultdict(list)
    for name in ("segments", "datatypes"):
        for r in _rows(name):
            extra = msgspec.json.decode(r["extra"]) if r["extra"] else None
            out[r["map"]].append(
                Row(r["origin"], int(r["source"]), r["condition"], r["target"], r["convert"], r["vocabulary"], extra)
            )
    return MappingProxyType({name: tuple(rows) for name, rows in out.items()})


@dataclass(frozen=True, slots=True)
class Link:
    """A reference between resources of one message: ``target`` of ``resource`` points to ``to``."""

    resource: str
    target: str
    to: str


@cache
def links() -> tuple[Link, ...]:
    """Return the references that a message's structure implies."""
    return tuple(Link(r["resource"], r["target"], r["to"]) for r in _rows("links"))


@dataclass(frozen=True, slots=True)
class Anchor:
    """A segment's part in a message: in a group of ``scope`` it feeds ``resource`` through ``map``.

    ``opens`` is ``always``, ``once`` or empty, see :mod:`mappers.hl7v2.groups`.
    """

    segment: str
    scope: str
    opens: str
    resource: str
    map: str


@cache
def anchors() -> Mapping[str, tuple[Anchor, ...]]:
    """Message code (``ORU``) → its anchors in order."""
    out: dict[str, list[Anchor]] = defaultdict(list)
    for r in _rows("anchors"):
        for message in r["messages"].split():
            out[message].append(Anchor(r["segment"], r["scope"], r["opens"], r["resource"], r["map"]))
    return MappingProxyType({name: tuple(rows) for name, rows in out.items()})
