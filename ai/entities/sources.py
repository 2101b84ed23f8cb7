"""The texts of a DocumentReference, a Composition or a Binary, and whom and when they are about.

https://hl7.org/fhir/R4/documentreference.html, composition.html, binary.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ai.codes.notes import texts_of
from ai.invocation import read_required
from fhir_server.operations.contract import Context, OperationError, Resource

_MOST_ATTACHMENTS = 20


@dataclass(frozen=True, slots=True)
class Source:
    """The texts in order, what holds them (empty for a text that was sent), its patient and its date where it has one."""

    texts: tuple[str, ...]
    reference: str
    subject: Resource | None
    date: str


async def read_source(resource_type: str, identity: str, context: Context) -> Source:
    """Read a stored resource's texts; 404 for an unknown one, 422 for one without readable text."""
    reference = f"{resource_type}/{identity}"
    resource = await read_required(context, reference)
    texts = await _texts(resource, context)
    if not texts:
        kinds = ", ".join(sorted(set(_kinds(resource)))) or "no content"
        raise OperationError(
            422,
            "not-supported",
            f"{reference} holds no text that can be read ({kinds}); plain text, Markdown and HTML can",
        )
    subject = resource.get("subject") or resource.get("securityContext")
    return Source(tuple(texts), reference, subject, str(resource.get("date", "")))


async def _texts(resource: Resource, context: Context) -> list[str]:
    if resource["resourceType"] == "Binary":
        return _of_attachment(resource)
    found = texts_of(resource)
    for content in resource.get("content", ())[:_MOST_ATTACHMENTS]:
        url = str(content.get("attachment", {}).get("url", ""))
        if "data" not in content.get("attachment", {}) and url.startswith("Binary/"):
            binary = await context.read(url.split("/_history/", maxsplit=1)[0])
            found += _of_attachment(binary) if binary else []
    return found


def _of_attachment(attachment: Resource) -> list[str]:
    kept: dict[str, Any] = {key: attachment[key] for key in ("contentType", "data") if key in attachment}
    return texts_of({"resourceType": "DocumentReference", "content": [{"attachment": kept}]})


def _kinds(resource: Resource) -> list[str]:
    attachments = [content.get("attachment", {}) for content in resource.get("content", ())]
    return [str(one["contentType"]) for one in (resource, *attachments) if "contentType" in one]
