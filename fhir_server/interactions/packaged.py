"""Definitions of installed packages in the answer to ``GET [base]/StructureDefinition?url=…``.

https://hl7.org/fhir/R4/http.html#search. What a package holds isn't a resource of its own at this server, so no other search
finds it: a search by nothing but canonical URL, and perhaps version, does where the tenant has stored nothing that matches.
An entry's ``fullUrl`` is the canonical URL.
"""

from __future__ import annotations

import msgspec

from fhir_server.interactions.bundle import raw
from fhir_server.interactions.context import Context
from fhir_server.interactions.prepare import has_criteria
from fhir_server.search.searchset import SearchPage
from fhir_server.store.database import Session
from fhir_server.store.packages import find_in_packages

_CRITERIA = frozenset(("url", "version"))
_RESULTS = frozenset(("_format", "_pretty", "_total", "_summary", "_elements", "_count"))
# These ask for a number alone.
_NUMBERS = frozenset((("_summary", "count"), ("_count", "0")))


async def find_packaged(
    context: Context, session: Session, resource_type: str, page: SearchPage
) -> list[dict[str, object] | msgspec.Raw]:
    """Return the entries that packages add to a page, none where the page has matches or asks for more than a URL."""
    if page.matches or all(name != "url" for name, _ in page.used):
        return []
    given = dict(page.used)
    if (
        len(given) < len(page.used)
        or not given.keys() <= _CRITERIA | _RESULTS
        or not _NUMBERS.isdisjoint(given.items())
    ):
        return []
    url, wanted = given["url"], given.get("version")
    tenant = context.caller.tenant
    if not context.server.definitions.library(tenant).generation or has_criteria(
        context.caller, "search", resource_type
    ):
        return []
    found = await find_in_packages(session, tenant, resource_type, url)
    full_url = msgspec.json.encode(url)
    return [
        raw(
            b'{"fullUrl":%b,"resource":%b,"search":{"mode":"match"}}'
            % (full_url, page.view.show(resource_type, content, included=False))
        )
        for version, content in found
        if wanted in {None, version}
    ]
