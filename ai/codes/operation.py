"""``Encounter/$suggest-codes`` for an encounter and for free text."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from ai.artifact import ArtifactError, content_hash
from ai.authorship import TAG, device_of, provenance_of
from ai.codes.notes import Note, notes_of, refuse_unreadable
from ai.codes.suggestion import NAME, CodeModel, Suggestion, load, suggest
from ai.codes.terms import RELEASE, SYSTEM
from ai.invocation import count_of, read_required, values_of
from ai.pool import shared
from fhir_server.operations.contract import Context, Invocation, OperationError, Resource

LONGEST = 50_000
_DEFAULT_COUNT = 20
_MOST = 100
_SCALE = Decimal("0.0001")


async def answer(invocation: Invocation, context: Context, models: Path | None = None) -> Resource:
    """Return Parameters with suggestions, best first; see the OperationDefinition.

    Refuses with 400 (no text, binary), 404 (unknown encounter), 413 (too long). An encounter without any text gets an
    answer without suggestions.
    """
    count = count_of(invocation, "count", _DEFAULT_COUNT, _MOST)
    if invocation.id is not None:
        encounter = await read_required(context, f"Encounter/{invocation.id}")
        notes = await notes_of(encounter, context)
        sources = [f"Encounter/{invocation.id}", *dict.fromkeys(note.source for note in notes)]
    else:
        notes, sources = [Note(_text(invocation), "")], []
    readable = [note for note in notes if _readable(note, given=invocation.id is None)]
    if sum(len(note.text) for note in readable) > LONGEST:
        raise OperationError(413, "too-long", f"the encounter's notes have more than {LONGEST} characters")
    try:
        # In another process, so that a long note holds up nobody else's read.
        found = await shared().run(suggest_for, readable, models)
        model = load(models)
    except ArtifactError as error:
        raise OperationError(503, "exception", f"the code model cannot be used: {error}") from error
    device = device_of(NAME, model.version, content_hash(model.to_artifact()))
    provenance = provenance_of([], list(dict.fromkeys(sources)), device, context.now)
    return _parameters(found[:count], model, provenance)


def _text(invocation: Invocation) -> str:
    values = values_of(invocation, "text")
    if len(values) != 1 or not isinstance(values[0], str):
        raise OperationError(400, "required", "send one note as parameter text, or call the operation on an Encounter")
    return values[0]


def _readable(note: Note, *, given: bool) -> bool:
    """Refuse an unreadable text that the caller sent; pass over one that merely lies in the record."""
    try:
        refuse_unreadable(note.text, LONGEST)
    except OperationError as error:
        if given or error.code == "too-long":
            raise
        return False
    return True


def suggest_for(notes: list[Note], models: Path | None = None) -> list[tuple[Suggestion, list[tuple[Note, int, int]]]]:
    """Return suggestions over several notes: a code once, with its best confidence and all its evidence."""
    best: dict[str, Suggestion] = {}
    evidence: dict[str, list[tuple[Note, int, int]]] = {}
    for note in notes:
        for suggestion in suggest(note.text, _MOST, models):
            code = suggestion.code.code
            evidence.setdefault(code, []).extend((note, start, end) for start, end in suggestion.evidence)
            if code not in best or suggestion.confidence > best[code].confidence:
                best[code] = suggestion
    ordered = sorted(best.values(), key=lambda suggestion: (-suggestion.confidence, suggestion.code.code))
    return [(suggestion, evidence[suggestion.code.code]) for suggestion in ordered]


def _parameters(
    found: list[tuple[Suggestion, list[tuple[Note, int, int]]]], model: CodeModel, provenance: Resource
) -> Resource:
    suggestions = [{"name": "suggestion", "part": _parts(suggestion, spans)} for suggestion, spans in found]
    about = [
        {"name": "name", "valueString": NAME},
        {"name": "version", "valueString": model.version},
        {"name": "codes", "valueString": RELEASE},
    ]
    return {
        "resourceType": "Parameters",
        "meta": {"tag": [TAG]},
        "parameter": [*suggestions, {"name": "model", "part": about}, {"name": "provenance", "resource": provenance}],
    }


def _parts(suggestion: Suggestion, spans: list[tuple[Note, int, int]]) -> list[dict[str, Any]]:
    coding = {"system": SYSTEM, "version": "2026", "code": suggestion.code.code, "display": suggestion.code.display}
    return [
        {"name": "code", "valueCoding": coding},
        {"name": "confidence", "valueDecimal": Decimal(repr(suggestion.confidence)).quantize(_SCALE)},
        {"name": "billable", "valueBoolean": suggestion.code.billable},
        {"name": "matched", "valueString": suggestion.term},
        *({"name": "evidence", "part": _evidence(note, start, end)} for note, start, end in spans),
    ]


def _evidence(note: Note, start: int, end: int) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [
        {"name": "text", "valueString": note.text[start:end]},
        {"name": "start", "valueInteger": start},
        {"name": "end", "valueInteger": end},
    ]
    if note.source:
        parts.append({"name": "source", "valueReference": {"reference": note.source}})
    return parts
