"""The entries of a batch or transaction as requests, https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.errors import FhirError, InvalidRequest, Unprocessable
from fhir_server.interactions.bundle import raw
from fhir_server.interactions.context import format_instant
from fhir_server.interactions.failures import locate
from fhir_server.interactions.request import Answer, Conditions, Request, Target, parse_query, parse_target

REASONS = {200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified"}
MAX_ENTRIES = 20_000
NEEDS_RESOURCE = ("create", "update")


@dataclass(slots=True)
class Entry:
    """One entry: its place in the Bundle, its full URL and its request."""

    number: int
    full_url: str | None
    request: Request

    @property
    def expression(self) -> str:
        """The FHIRPath of this entry."""
        return entry_expression(self.number)


def entry_expression(number: int) -> str:
    """Return the FHIRPath of a Bundle's entry."""
    return f"Bundle.entry[{number}]"


def _parse_url(asked: dict[str, Any], where: str) -> Target:
    for name in ("method", "url"):
        if name not in asked:  # a primitive may consist of extensions only
            raise InvalidRequest(f"The request has no {name}.", code="required", expression=f"{where}.request.{name}")
    path, _, query = asked["url"].partition("?")
    try:
        target = parse_target(asked["method"], path.lstrip("/"), parse_query(query))
    except FhirError as error:
        raise locate(error, f"{where}.request.url") from error
    if target.code == "transaction":
        raise InvalidRequest("A Bundle can't be an entry's request.", expression=f"{where}.request.url")
    return target


def parse_entry(item: dict[str, Any], number: int) -> Entry:
    """Turn a Bundle.entry into a request; raises InvalidRequest or NotFound, placed at the entry."""
    where = entry_expression(number)
    asked = item.get("request")
    if asked is None:
        raise InvalidRequest("The entry has no request.", code="required", expression=f"{where}.request")
    target = _parse_url(asked, where)
    resource = item.get("resource")
    if target.code in NEEDS_RESOURCE:
        if resource is None:
            raise InvalidRequest("The entry has no resource.", code="required", expression=f"{where}.resource")
        if resource["resourceType"] != target.resource_type:
            raise InvalidRequest(
                f"The resource is a {resource['resourceType']}, the URL says {target.resource_type}.",
                code="value",
                expression=f"{where}.request.url",
            )
    conditions = Conditions(
        if_match=asked.get("ifMatch"),
        if_none_match=asked.get("ifNoneMatch"),
        if_modified_since=asked.get("ifModifiedSince"),
        if_none_exist=asked.get("ifNoneExist"),
    )
    return Entry(number, item.get("fullUrl"), Request(target, conditions, resource=resource))


def parse_entries(bundle: dict[str, Any]) -> list[Entry | FhirError]:
    """Parse all entries.

    One that can't be parsed is its error, so that a batch goes on and a transaction tells all.
    """
    items = bundle.get("entry", [])
    if len(items) > MAX_ENTRIES:
        raise Unprocessable(f"The Bundle has {len(items)} entries; the limit is {MAX_ENTRIES}.", code="too-costly")
    out: list[Entry | FhirError] = []
    for number, item in enumerate(items):
        try:
            out.append(parse_entry(item, number))
        except FhirError as error:
            out.append(error)
    return out


def response_entry(answer: Answer, *, representation: bool) -> dict[str, Any]:
    """Return the Bundle.entry that answers one entry."""
    status = f"{answer.status} {REASONS.get(answer.status, '')}".strip()
    response: dict[str, Any] = {"status": status}
    entry: dict[str, Any] = {}
    if answer.id is not None and answer.status in (200, 201):
        response["location"] = f"{answer.resource_type}/{answer.id}/_history/{answer.version}"
    if answer.version is not None:
        response["etag"] = f'W/"{answer.version}"'
    if answer.last_updated is not None:
        response["lastModified"] = format_instant(answer.last_updated)
    if answer.content is not None and representation:
        entry["resource"] = raw(answer.content)
    entry["response"] = response
    return entry
