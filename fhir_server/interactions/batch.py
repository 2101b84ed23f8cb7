"""batch, https://hl7.org/fhir/R4/http.html#transaction: each entry by itself, and what fails says so in its place."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import msgspec

from conformance.decode import decode, encode
from conformance.issues import InvalidResource, Issue
from fhir_server.errors import FhirError
from fhir_server.interactions.bundle import make_bundle
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.entries import Entry, entry_expression, parse_entries, response_entry
from fhir_server.interactions.failures import as_fhir_error, locate, outcome
from fhir_server.interactions.request import Answer, Request

RunRequest = Callable[[Context, Request], Awaitable[Answer]]

_ENTRY = re.compile(r"Bundle\.entry\[([0-9]+)\][.[]")
_PLAIN = msgspec.json.Decoder(float_hook=Decimal)


def spare_entries(body: bytes, refusal: InvalidResource) -> tuple[dict[str, Any], dict[int, FhirError]]:
    """Return a refused Bundle with its invalid entries emptied, and their errors by number.

    Raises the refusal when the Bundle is no batch, or when something is wrong with the Bundle itself.
    """
    issues: dict[int, list[Issue]] = defaultdict(list)
    for issue in refusal.issues:
        place = _ENTRY.match(issue.expression or "")
        if place is None:
            raise refusal
        issues[int(place[1])].append(issue)
    bundle = _PLAIN.decode(body)  # it was JSON, or the issues would have no place in it
    if bundle.get("type") != "batch":
        raise refusal
    for number in issues:
        bundle["entry"][number] = {"request": {"method": "GET", "url": "metadata"}}
    return decode(encode(bundle), "Bundle"), {n: as_fhir_error(InvalidResource(found)) for n, found in issues.items()}


async def run(
    context: Context,
    bundle: dict[str, Any],
    refused: dict[int, FhirError],
    run_request: RunRequest,
    *,
    representation: bool,
    strict: bool = False,
) -> Answer:
    """Run each entry in turn. ``refused`` are the errors of entries that were found invalid before, by number."""
    entries = []
    for number, parsed in enumerate(parse_entries(bundle, strict=strict)):
        try:
            asked = _usable(refused.get(number, parsed))
            answer = await run_request(context, asked.request)
            entries.append(response_entry(asked, answer, representation=representation))
        except Exception as failure:  # the other entries must not suffer, whatever it is
            error = locate(as_fhir_error(failure), entry_expression(number))
            entries.append({"response": {"status": str(error.status), "outcome": outcome(error.issues)}})
    return Answer(200, make_bundle("batch-response", format_instant(context.now), [], entries))


def _usable(parsed: Entry | FhirError) -> Entry:
    if isinstance(parsed, FhirError):
        raise parsed
    return parsed
