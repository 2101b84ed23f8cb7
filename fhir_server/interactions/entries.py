"""The entries of a batch or transaction as requests, https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.errors import FhirError, InvalidRequest, Unprocessable
from fhir_server.interactions.bundle import raw
from fhir_server.interactions.context import format_instant
from fhir_server.interactions.failures import locate, outcome
from fhir_server.interactions.request import WRITES, Answer, Conditions, Request, Target, parse_query, parse_target

REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 304: "Not Modified"}
MAX_ENTRIES = 20_000
NEEDS_RESOURCE = ("create", "update", "patch")
# What carries a patch in a Bundle: a FHIRPath Patch is Parameters, the other formats travel as the data of a Binary.
PATCHES = ("Parameters", "Binary")


@dataclass(slots=True)
class Entry:
    """One entry: its place in the Bundle, its full URL, its method and its request."""

    number: int
    full_url: str | None
    method: str
    request: Request

    @property
    def expression(self) -> str:
        """The FHIRPath of this entry."""
        return entry_expression(self.number)

    def shows(self, *, representation: bool) -> bool:
        """Tell whether the answer comes with the resource."""
        return self.method != "HEAD" and (representation or self.request.target.code not in WRITES)


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


def parse_entry(item: dict[str, Any], number: int, *, strict: bool = False) -> Entry:
    """Turn a Bundle.entry into a request, ``strict`` like the Bundle's own; raises InvalidRequest or NotFound, placed at the entry."""
    where = entry_expression(number)
    asked = item.get("request")
    if asked is None:
        raise InvalidRequest("The entry has no request.", code="required", expression=f"{where}.request")
    target = _parse_url(asked, where)
    resource = item.get("resource")
    if target.code in NEEDS_RESOURCE:
        if resource is None:
            raise InvalidRequest("The entry has no resource.", code="required", expression=f"{where}.resource")
        if target.code == "patch":
            _check_patch(resource, where)
        elif resource["resourceType"] != target.resource_type:
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
    request = Request(target, conditions, resource=resource, strict=strict)
    return Entry(number, item.get("fullUrl"), asked["method"], request)


def _check_patch(resource: dict[str, Any], where: str) -> None:
    if resource["resourceType"] not in PATCHES:
        raise InvalidRequest(
            f"A patch in a Bundle is a Parameters or a Binary, not a {resource['resourceType']}.",
            code="value",
            expression=f"{where}.resource",
        )
    if resource["resourceType"] == "Binary" and not ("contentType" in resource and "data" in resource):
        raise InvalidRequest(
            "A Binary that carries a patch needs contentType and data.", code="required", expression=f"{where}.resource"
        )


def parse_entries(bundle: dict[str, Any], *, strict: bool = False) -> list[Entry | FhirError]:
    """Parse all entries.

    One that can't be parsed is its error, so that a batch goes on and a transaction tells all.
    """
    items = bundle.get("entry", [])
    if len(items) > MAX_ENTRIES:
        raise Unprocessable(f"The Bundle has {len(items)} entries; the limit is {MAX_ENTRIES}.", code="too-costly")
    out: list[Entry | FhirError] = []
    for number, item in enumerate(items):
        try:
            out.append(parse_entry(item, number, strict=strict))
        except FhirError as error:
            out.append(error)
    return out


def response_entry(asked: Entry, answer: Answer, *, representation: bool) -> dict[str, Any]:
    """Return the Bundle.entry that answers one entry.

    What is read comes with it, except for HEAD; what is written only with ``representation``.
    """
    return answer_entry(answer, shown=asked.shows(representation=representation))


def answer_entry(answer: Answer, *, shown: bool) -> dict[str, Any]:
    """Return the Bundle.entry that carries an answer, with its content if that is to be ``shown``."""
    status = f"{answer.status} {REASONS.get(answer.status, '')}".strip()
    response: dict[str, Any] = {"status": status}
    entry: dict[str, Any] = {}
    if answer.id is not None and answer.status in (200, 201):
        response["location"] = f"{answer.resource_type}/{answer.id}/_history/{answer.version}"
    if answer.version is not None:
        response["etag"] = f'W/"{answer.version}"'
    if answer.last_updated is not None:
        response["lastModified"] = format_instant(answer.last_updated)
    if answer.job is not None:
        response["location"] = f"_async/{answer.job}"
    # Hints are left to who asks for them: a Bundle of thousands of entries would come back full of them.
    told = [issue for issue in answer.issues if issue.severity == "warning"]
    if told:
        response["outcome"] = outcome(told)
    if answer.content is not None and shown:
        entry["resource"] = raw(answer.content)
    entry["response"] = response
    return entry
