"""The texts of an encounter: its notes, impressions, conditions and reasons, each with the resource that holds it.

https://hl7.org/fhir/R4/documentreference.html, composition.html, clinicalimpression.html, condition.html
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

from fhir_server.operations.contract import Context, OperationError, Resource

_TAG = re.compile(r"<[^>]*>")
_BLOCK = re.compile(r"</(?:p|div|li|tr|h\d)>|<br\s*/?>", re.IGNORECASE)
_TEXTUAL = ("text/plain", "text/html", "text/markdown")
_MOST = 200

HELD_IN = ("DocumentReference", "Composition", "ClinicalImpression", "Condition")


@dataclass(frozen=True, slots=True)
class Note:
    """A text and the reference of the resource that holds it."""

    text: str
    source: str


async def notes_of(encounter: Resource, context: Context) -> list[Note]:
    """Return every text of an Encounter; an attachment that is not readable text is passed over."""
    reference = f"Encounter/{encounter['id']}"
    found = [Note(text, reference) for text in _reasons(encounter)]
    for resource_type in HELD_IN:
        for resource in await context.search(resource_type, [("encounter", reference)], limit=_MOST):
            if resource.get("status") != "entered-in-error":
                source = f"{resource_type}/{resource['id']}"
                found += [Note(text, source) for text in _TEXTS[resource_type](resource) if text.strip()]
    return found


def _reasons(encounter: Resource) -> Iterator[str]:
    for concept in encounter.get("reasonCode", ()):
        yield from _words(concept)


def _words(concept: Resource) -> Iterator[str]:
    """Yield a CodeableConcept's text, or the display of its first coding that has one."""
    text = concept.get("text") or next((c["display"] for c in concept.get("coding", ()) if c.get("display")), "")
    if text:
        yield text


def _documents(document: Resource) -> Iterator[str]:
    for content in document.get("content", ()):
        attachment = content.get("attachment", {})
        kind = str(attachment.get("contentType", "")).split(";")[0].strip().lower()
        if kind in _TEXTUAL and "data" in attachment:
            try:
                text = b64decode(attachment["data"]).decode("utf-8")
            except ValueError:
                continue
            yield plain(text) if kind == "text/html" else text


def _composition(composition: Resource) -> Iterator[str]:
    for section in composition.get("section", ()):
        yield from _section(section)


def _section(section: Resource) -> Iterator[str]:
    div = section.get("text", {}).get("div")
    if div:
        title = section.get("title")
        yield f"{title}:\n{plain(div)}" if title else plain(div)
    for inner in section.get("section", ()):
        yield from _section(inner)


def _impression(impression: Resource) -> Iterator[str]:
    yield from (impression[key] for key in ("description", "summary") if impression.get(key))
    for finding in impression.get("finding", ()):
        yield from _words(finding.get("itemCodeableConcept", {}))


def _condition(condition: Resource) -> Iterator[str]:
    """Yield a condition's words unless it is refuted, resolved or inactive."""
    states = {
        coding.get("code")
        for key in ("clinicalStatus", "verificationStatus")
        for coding in condition.get(key, {}).get("coding", ())
    }
    if not states & {"refuted", "entered-in-error", "resolved", "inactive", "remission"}:
        yield from _words(condition.get("code", {}))


_TEXTS = {
    "DocumentReference": _documents,
    "Composition": _composition,
    "ClinicalImpression": _impression,
    "Condition": _condition,
}


def texts_of(resource: Resource) -> list[str]:
    """Return the readable texts that a resource of one of the types HELD_IN holds itself."""
    return [text for text in _TEXTS[resource["resourceType"]](resource) if text.strip()]


def plain(html: str) -> str:
    """Return the text of XHTML narrative, a line per block."""
    return unescape(_TAG.sub("", _BLOCK.sub("\n", html))).strip()


def refuse_unreadable(text: str, longest: int) -> None:
    """Refuse what no note can be: 400 for nothing or binary, 413 for more than ``longest`` characters."""
    if len(text) > longest:
        raise OperationError(413, "too-long", f"the text has {len(text)} characters; at most {longest} are read")
    if not text.strip():
        raise OperationError(400, "required", "there is no text to code")
    if any(ord(character) < ord(" ") and character not in "\t\n\r\f" for character in text):
        raise OperationError(400, "value", "the text holds control characters: it is not a note")
