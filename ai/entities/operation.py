"""``$extract-entities`` on a text (system), and on a DocumentReference, a Composition or a Binary."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from ai.artifact import ArtifactError
from ai.authorship import TAG, device_of, provenance_of
from ai.codes.notes import refuse_unreadable
from ai.entities.candidates import candidates_of
from ai.entities.model import NAME, EntityModel, load
from ai.entities.proposals import Found, propose
from ai.entities.recognition import recognise
from ai.entities.sources import Source, read_source
from ai.invocation import flag_of, values_of
from fhir_server.operations.contract import Context, Invocation, OperationError, Resource

LONGEST = 200_000
_SCALE = Decimal("0.0001")

Notes = Sequence[Sequence[Found]]


async def answer(invocation: Invocation, context: Context, models: Path | None = None) -> Resource:
    """Return Parameters with the entities of each text, in order; see the OperationDefinition.

    Refuses with 400 (no text, control characters), 404 (unknown resource), 413 (too long), 422 (no readable text;
    proposals without a patient).
    """
    source = await _source(invocation, context)
    for text in source.texts:
        refuse_unreadable(text, LONGEST)
    if sum(map(len, source.texts)) > LONGEST:
        raise OperationError(413, "too-long", f"the texts of {source.reference} have more than {LONGEST} characters")
    subject = _subject(invocation, source) if flag_of(invocation, "proposals") else None
    try:
        # In a thread, so that a long note holds up nobody else's read.
        model = await asyncio.to_thread(load, models)
        notes = await asyncio.to_thread(extract, source.texts, model)
    except ArtifactError as error:
        raise OperationError(503, "exception", f"the entity model cannot be used: {error}") from error
    device = device_of(NAME, model.version, model.sha256)
    parameters = list(_parameters(notes, source, model))
    if subject is not None:
        found = [one for note in notes for one in note]
        bundle = propose(found, source, subject, device, context)
        parameters.append({"name": "proposals", "resource": bundle})
    sources = [source.reference] if source.reference else []
    parameters.append({"name": "provenance", "resource": provenance_of([], sources, device, context.now)})
    return {"resourceType": "Parameters", "meta": {"tag": [TAG]}, "parameter": parameters}


async def _source(invocation: Invocation, context: Context) -> Source:
    if invocation.id is not None and invocation.resource_type is not None:
        return await read_source(invocation.resource_type, invocation.id, context)
    values = values_of(invocation, "text")
    if len(values) != 1 or not isinstance(values[0], str):
        raise OperationError(400, "required", "send one text as parameter text, or call the operation on a document")
    return Source((values[0],), "", None, "")


def _subject(invocation: Invocation, source: Source) -> Resource:
    """Return whom the proposals are about; 422 when nobody says."""
    given = values_of(invocation, "subject")
    if given and not (len(given) == 1 and isinstance(given[0], dict) and given[0].get("reference")):
        raise OperationError(400, "value", "parameter subject must be one Reference", "Parameters.parameter.value")
    subject: Resource | None = given[0] if given else source.subject
    if subject is None:
        raise OperationError(422, "business-rule", "proposals need a patient: send parameter subject")
    return subject


def extract(texts: Sequence[str], model: EntityModel) -> list[list[Found]]:
    """Return the entities of each text with their code candidates."""
    return [
        [
            Found(entity, text[entity.start : entity.end], candidates_of(entity, text))
            for entity in recognise(text, model.taggers)
        ]
        for text in texts
    ]


def _parameters(notes: Notes, source: Source, model: EntityModel) -> list[Resource]:
    # A text that was sent is not sent back; one that was read is, since offsets count its characters.
    read = [{"name": "note", "valueString": text} for text in source.texts] if source.reference else []
    entities = [{"name": "entity", "part": _parts(one, number)} for number, note in enumerate(notes) for one in note]
    about = [{"name": "name", "valueString": NAME}, {"name": "version", "valueString": model.version}]
    return [*read, *entities, {"name": "model", "part": about}]


def _parts(one: Found, note: int) -> list[dict[str, Any]]:
    entity = one.entity
    parts: list[dict[str, Any]] = [
        {"name": "type", "valueCode": entity.type},
        {"name": "text", "valueString": one.text},
        {"name": "start", "valueInteger": entity.start},
        {"name": "end", "valueInteger": entity.end},
        {"name": "assertion", "valueCode": entity.assertion},
        {"name": "confidence", "valueDecimal": _decimal(entity.confidence)},
    ]
    if note:
        parts.append({"name": "note", "valueInteger": note})
    if entity.section:
        parts.append({"name": "section", "valueString": entity.section})
    if entity.measurement is not None:
        unit = entity.measurement.unit
        coded = {"unit": unit, "system": "http://unitsofmeasure.org", "code": unit} if unit else {}
        parts += [{"name": "value", "valueQuantity": {"value": v, **coded}} for v in entity.measurement.values]
    parts += [
        {
            "name": "attribute",
            "part": [
                {"name": "name", "valueCode": attribute.name.replace("_", "-")},
                {"name": "text", "valueString": attribute.text},
                {"name": "start", "valueInteger": attribute.start},
                {"name": "end", "valueInteger": attribute.end},
            ],
        }
        for attribute in entity.attributes
    ]
    parts += [
        {
            "name": "code",
            "part": [
                {"name": "coding", "valueCoding": {"system": c.system, "code": c.code, "display": c.display}},
                {"name": "score", "valueDecimal": _decimal(c.score)},
            ],
        }
        for c in one.codings
    ]
    return parts


def _decimal(value: float) -> Decimal:
    return Decimal(repr(round(min(value, 1.0), 4))).quantize(_SCALE)
