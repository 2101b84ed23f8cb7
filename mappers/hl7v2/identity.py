"""What names things across messages: identifier systems, and who a patient, visit or order is.

Design: an authority is a URI. Object identifiers become ``urn:oid:``, UUIDs ``urn:uuid:``, URIs themselves; a few
namespaces
have a URI of their own (maps/authorities.csv); any other becomes ``urn:x-hl7v2:authority:…``. An identifier without
an authority belongs to
its sender. https://hl7.org/fhir/R4/identifier-registry.html, HL7 v2.9 chapter 2A.3.33 (HD), https://www.hl7.eu/HL7v2x/v29/std29/ch02a.html.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

from mappers.hl7v2.maps import authorities, patient_identifier_ranks
from mappers.hl7v2.tokenizer import DELETE, Message, Segment, part

_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+$", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.ASCII | re.IGNORECASE)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+$", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9._-]+$", re.ASCII)
_PLAIN_PART = re.compile(r"[A-Za-z0-9._:^-]*$", re.ASCII)
_UNRANKED = 50


class Identity(NamedTuple):
    """An identifier's ``system`` (a URI) and ``value``."""

    system: str
    value: str


def _segment(text: str) -> str:
    return text if _PLAIN.match(text) else quote(text, safe="")


def sender_name(message: Message) -> str:
    """Return sending application and facility as a URI path: ``LAB:CITY``."""
    header = message.header
    names = [header.value(number) for number in (3, 4)]
    return ":".join(_segment(n) for n in names if n) or "unknown"


def authority_uri(namespace: str, universal_id: str, universal_type: str) -> str | None:
    """Return the URI of an assigning authority (the components of an HD), or None when all are empty."""
    namespace, universal_id, kind = namespace.strip(), universal_id.strip(), universal_type.strip().upper()
    if universal_id:
        if kind in ("ISO", "") and _OID.match(universal_id):
            return f"urn:oid:{universal_id}"
        if kind in ("UUID", "GUID") and _UUID.match(universal_id):
            return f"urn:uuid:{universal_id.lower()}"
        if kind in ("URI", "URL") and _URI.match(universal_id):
            return universal_id
    known = authorities().get(namespace.upper())
    if known is not None:
        return known
    if universal_id:
        return f"urn:x-hl7v2:authority:{_segment(kind or 'L')}:{_segment(universal_id)}"
    return f"urn:x-hl7v2:authority:{_segment(namespace)}" if namespace else None


def _hd(segment_part: str, subcomponent: str) -> str | None:
    return authority_uri(*(part(segment_part, subcomponent, n) for n in (1, 2, 3)))


def _cx(raw: str, message: Message) -> tuple[Identity, str] | None:
    """Return identity and type code of a CX, or None when it has no value."""
    marks = message.delimiters
    value = part(raw, marks.component, 1).strip()
    if not value or value == DELETE:
        return None
    kind = part(raw, marks.component, 5).strip()
    system = _hd(part(raw, marks.component, 4), marks.subcomponent) or _hd(
        part(raw, marks.component, 6), marks.subcomponent
    )
    if system is None:
        # Without an authority, numbers of different kinds may coincide: the kind goes into the system.
        system = f"urn:x-hl7v2:sender:{sender_name(message)}" + (f":{_segment(kind)}" if kind else "")
    return Identity(system, value), kind


def patient_identifier(message: Message) -> Identity | None:
    """Return PID-3's most suitable repetition, by maps/patient_identifiers.csv."""
    segment = message.first("PID")
    if segment is None:
        return None
    ranks = patient_identifier_ranks()
    found = [cx for raw in segment.repetitions(3) if (cx := _cx(raw, message))]
    best = min(found, key=lambda cx: ranks.get(cx[1].upper(), _UNRANKED), default=None)
    return None if best is None else best[0]


def cx_identity(raw: str, message: Message) -> Identity | None:
    """Return the identity in one CX, or None when it has no value."""
    found = _cx(raw, message)
    return None if found is None else found[0]


def visit_identifier(message: Message) -> Identity | None:
    """Return what a visit is known by: PV1-19, else the account number PID-18, else None."""
    visit, patient = message.first("PV1"), message.first("PID")
    for segment, number in ((visit, 19), (patient, 18)):
        for raw in segment.repetitions(number)[:1] if segment is not None else ():
            identity = cx_identity(raw, message)
            if identity is not None:
                return identity
    return None


def ei_identity(raw: str, message: Message) -> Identity | None:
    """Return the identity in an EI (order numbers, specimen numbers), or None when it has no value."""
    marks = message.delimiters
    value = part(raw, marks.component, 1).strip()
    if not value or value == DELETE:
        return None
    system = authority_uri(*(part(raw, marks.component, n) for n in (2, 3, 4)))
    return Identity(system or f"urn:x-hl7v2:sender:{sender_name(message)}", value)


def order_number(message: Message, order: Segment | None, observation: Segment | None) -> Identity | None:
    """Return the filler's number of an order (OBR-3, ORC-3), else the placer's (OBR-2, ORC-2), else None."""
    for number in (3, 2):
        for segment in (observation, order):
            for raw in segment.repetitions(number)[:1] if segment is not None else ():
                identity = ei_identity(raw, message)
                if identity is not None:
                    return identity
    return None


def composed(kind: str, *parts: str) -> Identity:
    """Return an identity made of several values, e.g. an observation's: order, code and sub-id."""
    return Identity(
        f"urn:x-hl7v2:{kind}", "/".join(p if _PLAIN_PART.match(p) else quote(p, safe=":.-^") for p in parts)
    )
