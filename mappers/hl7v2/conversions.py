"""The conversions that map rows name: data types to FHIR data types, https://build.fhir.org/ig/HL7/v2-to-fhir/datatype_maps.html."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from mappers.hl7v2 import concepts, people, places, primitives
from mappers.hl7v2.engine import Conversion, Rule, compile_map, fill
from mappers.hl7v2.identity import cx_identity, ei_identity
from mappers.hl7v2.maps import maps
from mappers.hl7v2.primitives import number, text
from mappers.hl7v2.run import Run
from mappers.hl7v2.tokenizer import part

Json = dict[str, Any]


def _authority(piece: str, run: Run, depth: int) -> str | None:
    return people.authority(piece, run, depth)


def _identifier(piece: str, run: Run, depth: int) -> Json | None:
    """CX: value and system by who assigned it, else by who sent it."""
    identity = cx_identity(piece, run.message)
    if identity is None:
        return None
    return {**fill(rules("CX[Identifier]"), piece, run, depth), "system": identity.system, "value": identity.value}


def _entity(piece: str, run: Run, depth: int) -> Json | None:
    """EI: like CX, its authority spread over three components."""
    del depth
    identity = ei_identity(piece, run.message)
    return None if identity is None else {"system": identity.system, "value": identity.value}


def _entity_pair(piece: str, run: Run, depth: int, position: int) -> Json | None:
    """EIP: the placer's (1) or filler's (2) number; deeper, an EI is divided by subcomponents."""
    raw = part(piece, run.marks[depth], position)
    mark = run.delimiters.subcomponent
    return _entity(raw.replace(mark, run.delimiters.component) if mark else raw, run, depth)


def _licence(piece: str, run: Run, depth: int) -> Json | None:
    """DLN: the number of a driving licence, by the state that gave it."""
    value, state = (text(p, run) for p in [*concepts.split(piece, run, depth), ""][:2])
    if value is None:
        return None
    system = f"urn:x-hl7v2:licence:{state}" if state and state.isalnum() else f"urn:x-hl7v2:sender:{run.sender}:DL"
    return {
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "DL"}]},
        "system": system,
        "value": value,
    }


def _identifier_type(piece: str, run: Run, depth: int, vocabulary: str) -> Json | None:
    """Return the kind of an identifier: table 0203, unknown ones as text."""
    given = primitives.code_text(primitives.leaf(piece, run, depth), run)
    if given is None:
        return None
    known = concepts.lookup(vocabulary, given)
    if known is None:
        return {"text": given}
    return {"coding": [{"system": known.system, "code": known.code, "display": known.display}]}


def _name(piece: str, run: Run, depth: int) -> Json | None:
    found = fill(rules("XPN[HumanName]"), piece, run, depth)
    return found if {"family", "given"} & found.keys() else None


def _address(piece: str, run: Run, depth: int) -> Json | None:
    found = fill(rules("XAD[Address]"), piece, run, depth)
    return found if found.keys() - {"use", "type", "period"} else None


def _street(piece: str, run: Run, depth: int) -> str | None:
    """SAD: street, name and number as one line."""
    mark = run.marks[depth]
    parts = piece.split(mark) if mark else [piece]
    return (parts[0].strip() and text(parts[0], run)) or text(" ".join(p for p in reversed(parts[1:]) if p), run)


def _period(piece: str, run: Run, depth: int) -> Json | None:
    return fill(rules("DR[Period]"), piece, run, depth) or None


def _collected(piece: str, run: Run, depth: int) -> Json | None:
    """SPM-17: a moment, or a period when it has an end."""
    period = _period(piece, run, depth)
    if period is None:
        return None
    if "end" in period and period["end"] != period.get("start"):
        return {"collectedPeriod": period}
    return {"collectedDateTime": period["start"]} if "start" in period else None


def _decimal(piece: str, run: Run, depth: int) -> Any:
    value = number(primitives.leaf(piece, run, depth))
    if value is None:
        run.warn("not a number")
    return value


def _quantity(piece: str, run: Run, depth: int) -> Json | None:
    found = fill(rules("CQ[Quantity]"), piece, run, depth)
    return found if "value" in found else None


def _specimen_source(piece: str, run: Run, depth: int) -> Json | None:
    """SPS.1: the specimen's type, a coded value of subcomponents."""
    first = concepts.split(piece, run, depth)[0]
    return concepts.concept(first, run, depth + 1, "SpecimenType") if first.strip() else None


def _family(piece: str, run: Run, depth: int) -> str | None:
    mark = run.marks[depth]
    raw = piece.split(mark, 1)[0] if mark else piece
    return primitives.first(raw, run, depth + 1)


_PLAIN: dict[str, Conversion] = {
    "string": text,
    "first": primitives.first,
    "family": _family,
    "annotation": primitives.annotation,
    "dateTime": primitives.date_time,
    "date": primitives.date,
    "instant": primitives.instant,
    "integer": primitives.integer,
    "boolean": primitives.boolean,
    "decimal": _decimal,
    "authority": _authority,
    "identifier": _identifier,
    "licence": _licence,
    "EI[Identifier]": _entity,
    "placer-assigned": partial(_entity_pair, position=1),
    "filler-assigned": partial(_entity_pair, position=2),
    "XPN[HumanName]": _name,
    "XAD[Address]": _address,
    "street": _street,
    "telecom": people.telecom,
    "DR[Period]": _period,
    "CQ[Quantity]": _quantity,
    "collected": _collected,
    "specimen-source": _specimen_source,
    "location": places.location,
}
_BY_VOCABULARY: dict[str, Callable[..., Any]] = {
    "concept": concepts.concept,
    "coding": concepts.coding,
    "code": concepts.code,
    "identifier-type": _identifier_type,
}


def _practitioner(piece: str, run: Run, depth: int) -> Json | None:
    return people.practitioner(fill(rules("XCN[Practitioner]"), piece, run, depth), run)


def _named_practitioner(piece: str, run: Run, depth: int) -> Json | None:
    """NDL.1 is a person, its parts one level deeper."""
    first = concepts.split(piece, run, depth)[0]
    return people.practitioner(fill(rules("XCN[Practitioner]"), first, run, depth + 1), run) if first else None


def _organization(piece: str, run: Run, depth: int) -> Json | None:
    return people.organization(fill(rules("XON[Organization]"), piece, run, depth), run)


def _concept_organization(piece: str, run: Run, depth: int) -> Json | None:
    """OBX-15: a coded value that names a laboratory; its coding is the organization's identifier."""
    found = concepts.concept(piece, run, depth)
    if found is None:
        return None
    first = found.get("coding", [{}])[0]
    draft: Json = {}
    if "code" in first:
        draft["identifier"] = [
            {"system": first.get("system") or f"urn:x-hl7v2:sender:{run.sender}", "value": first["code"]}
        ]
    if name := first.get("display") or found.get("text"):
        draft["name"] = name
    return people.organization(draft, run)


_PLAIN |= {
    "practitioner": _practitioner,
    "named-practitioner": _named_practitioner,
    "organization": _organization,
    "concept-organization": _concept_organization,
}


def conversion(name: str, vocabulary: str) -> Conversion:
    """Return the conversion that a map row names."""
    if name in _BY_VOCABULARY:
        return partial(_BY_VOCABULARY[name], vocabulary=vocabulary)
    return _PLAIN[name]


@cache
def rules(name: str) -> tuple[Rule, ...]:
    """Return a compiled map."""
    return compile_map(name, conversion)


def check_maps() -> None:
    """Compile every map, so that a mistake in a table shows at start and not with a message."""
    for name in maps():
        rules(name)
