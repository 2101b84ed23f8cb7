"""search-type, https://hl7.org/fhir/R4/http.html#search: parameters in, searchset Bundle out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fhir_server.interactions.bundle import link, make_bundle, raw
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.failures import outcome
from fhir_server.interactions.request import Answer, Request
from fhir_server.search.execute import Match, search
from fhir_server.store.database import Session


def _entry(context: Context, match: Match, mode: str) -> dict[str, Any]:
    return {
        "fullUrl": f"{context.base_url}/{match.resource_type}/{match.id}",
        "resource": raw(match.content),
        "search": {"mode": mode},
    }


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Return one page of matches with what they include, and an OperationOutcome for what was not used."""
    resource_type = str(request.target.resource_type)
    page = await search(
        session,
        context.caller,
        resource_type,
        request.target.query,
        cursor_key=context.server.cursor_key,
        strict=request.strict,
        base_url=context.base_url,
    )
    url = f"{context.base_url}/{resource_type}"
    links = [link("self", f"{url}?{urlencode(page.used)}" if page.used else url)]
    if page.next_cursor is not None:
        rest = [p for p in page.used if p[0] != "_cursor"]
        links.append(link("next", f"{url}?{urlencode([*rest, ('_cursor', page.next_cursor)])}"))
    entries = [_entry(context, m, "match") for m in page.matches]
    entries += [_entry(context, m, "include") for m in page.included]
    if page.issues:
        entries.append({"resource": outcome(page.issues), "search": {"mode": "outcome"}})
    return Answer(200, make_bundle("searchset", format_instant(context.now), links, entries, page.total))
