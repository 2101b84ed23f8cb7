"""history of an instance, https://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from fhir_server.errors import InvalidRequest, NotFound
from fhir_server.interactions.bundle import link, make_bundle, raw
from fhir_server.interactions.conditions import is_visible
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.prepare import has_criteria, require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.store.database import Session
from fhir_server.store.read import MAX_VERSION, Version, history

DEFAULT_COUNT = 50
MAX_COUNT = 1000
_MAX_DIGITS = 10
_METHODS = {"C": "POST", "U": "PUT", "D": "DELETE"}
_KNOWN = frozenset(("_count", "_before", "_format", "_pretty"))


def _whole_number(request: Request, name: str, default: int, maximum: int) -> int:
    text = next((v for n, v in request.target.query if n == name), None)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise InvalidRequest(f"{name} must be a whole number, not '{text[:40]}'.", code="value")
    return min(int(text), maximum)


def _status(version: Version, older: Version | None) -> str:
    if version.method == "D":
        return "204"
    return "201" if version.version == 1 or (older is not None and older.method == "D") else "200"


def _entry(context: Context, resource_type: str, version: Version, older: Version | None) -> dict[str, Any]:
    path = f"{resource_type}/{version.id}"
    entry: dict[str, Any] = {"fullUrl": f"{context.base_url}/{path}"}
    if version.content is not None:
        entry["resource"] = raw(version.content)
    entry["request"] = {
        "method": _METHODS[version.method],
        "url": resource_type if version.method == "C" else path,
    }
    entry["response"] = {
        "status": _status(version, older),
        "etag": f'W/"{version.version}"',
        "lastModified": format_instant(version.last_updated),
    }
    return entry


def _shown(
    context: Context, resource_type: str, versions: Sequence[Version], count: int
) -> Iterator[tuple[Version, Version | None]]:
    """Yield the versions of a page that the caller may see, each with the one before it.

    A resource may have been about someone else once, so a grant with criteria is tried on every version; a deletion is
    seen by who may see what was deleted.
    """
    limited = has_criteria(context.caller, "read", resource_type)
    for version, older in zip(versions[:count], [*versions[1:], None], strict=False):
        subject = version if version.content is not None else older
        if limited and (
            subject is None or subject.content is None or not is_visible(context.caller, resource_type, subject.content)
        ):
            continue
        yield version, older


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Return the versions of one resource, newest first, in pages."""
    resource_type, id_ = str(request.target.resource_type), str(request.target.id)
    require_grant(context.caller, "read", resource_type)
    count = _whole_number(request, "_count", DEFAULT_COUNT, MAX_COUNT) or 1
    before = _whole_number(request, "_before", MAX_VERSION, MAX_VERSION)
    for name, _ in request.target.query:
        if name not in _KNOWN:
            raise InvalidRequest(f"{name[:40]} is not supported on the history of an instance.", code="not-supported")
    versions = await history(session, context.caller.tenant, resource_type, id_, before=before, limit=count + 1)
    shown = list(_shown(context, resource_type, versions, count))
    if not shown:
        raise NotFound(f"{resource_type}/{id_} is not known.")
    url = f"{context.base_url}/{resource_type}/{id_}/_history"
    links = [link("self", url + (f"?{urlencode(list(request.target.query))}" if request.target.query else ""))]
    if len(versions) > count:
        links.append(link("next", f"{url}?{urlencode({'_count': count, '_before': versions[count - 1].version})}"))
    entries = [_entry(context, resource_type, version, older) for version, older in shown]
    # Version ids count from 1 without gaps, so the newest is the number of versions (of which all are shown).
    whole = before == MAX_VERSION and len(shown) == min(count, len(versions))
    total = versions[0].version if whole else None
    return Answer(200, make_bundle("history", format_instant(context.now), links, entries, total))
