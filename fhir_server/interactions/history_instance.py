"""history of an instance, https://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fhir_server.errors import InvalidRequest, NotFound
from fhir_server.interactions.bundle import link, make_bundle, raw
from fhir_server.interactions.conditions import is_visible
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.prepare import require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.store.database import Session
from fhir_server.store.read import MAX_VERSION, Version, history

DEFAULT_COUNT = 50
MAX_COUNT = 1000
_METHODS = {"C": "POST", "U": "PUT", "D": "DELETE"}


def _whole_number(request: Request, name: str, default: int, maximum: int) -> int:
    text = next((v for n, v in request.target.query if n == name), None)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 10:  # noqa: PLR2004 - more digits than any bound
        raise InvalidRequest(f"{name} must be a whole number, not '{text[:40]}'.", code="value")
    return min(int(text), maximum)


def _entry(context: Context, resource_type: str, version: Version) -> dict[str, Any]:
    path = f"{resource_type}/{version.id}"
    status = {"C": "201", "D": "204"}.get(version.method, "201" if version.version == 1 else "200")
    entry: dict[str, Any] = {"fullUrl": f"{context.base_url}/{path}"}
    if version.content is not None:
        entry["resource"] = raw(version.content)
    entry["request"] = {
        "method": _METHODS[version.method],
        "url": resource_type if version.method == "C" else path,
    }
    entry["response"] = {
        "status": status,
        "etag": f'W/"{version.version}"',
        "lastModified": format_instant(version.last_updated),
    }
    return entry


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Return the versions of one resource, newest first, in pages."""
    resource_type, id_ = str(request.target.resource_type), str(request.target.id)
    require_grant(context.caller, "read", resource_type)
    count = _whole_number(request, "_count", DEFAULT_COUNT, MAX_COUNT) or 1
    before = _whole_number(request, "_before", MAX_VERSION, MAX_VERSION)
    for name, _ in request.target.query:
        if name not in ("_count", "_before", "_format", "_pretty"):
            raise InvalidRequest(f"{name[:40]} is not supported on the history of an instance.", code="not-supported")
    versions = await history(session, context.caller.tenant, resource_type, id_, before=before, limit=count + 1)
    newest = next((v for v in versions if v.content is not None), None)
    if not versions or (
        newest is not None and not is_visible(context.caller, resource_type, newest.content or b"")
    ):
        raise NotFound(f"{resource_type}/{id_} is not known.")
    page, more = versions[:count], len(versions) > count
    url = f"{context.base_url}/{resource_type}/{id_}/_history"
    links = [link("self", url + (f"?{urlencode(list(request.target.query))}" if request.target.query else ""))]
    if more:
        links.append(link("next", f"{url}?{urlencode({'_count': count, '_before': page[-1].version})}"))
    entries = [_entry(context, resource_type, v) for v in page]
    # Version ids count from 1 without gaps, so the newest is the number of versions.
    total = page[0].version if before == MAX_VERSION else None
    return Answer(200, make_bundle("history", format_instant(context.now), links, entries, total))
