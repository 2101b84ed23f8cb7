"""history of an instance, of a type and of the whole server, https://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from conformance.definitions import resource_types
from conformance.primitives import date_range
from fhir_server.errors import Forbidden, InvalidRequest, NotFound
from fhir_server.interactions.bundle import link, make_bundle, raw
from fhir_server.interactions.conditions import is_visible
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.prepare import has_criteria, require_grant
from fhir_server.interactions.request import Answer, Request
from fhir_server.search import cursor
from fhir_server.search.summary import View, view_of
from fhir_server.store.database import Session
from fhir_server.store.history import Past, Place, Window, read_history
from fhir_server.store.read import read

DEFAULT_COUNT = 50
MAX_COUNT = 1000
_MAX_DIGITS = 10
_METHODS = {"C": "POST", "U": "PUT", "D": "DELETE"}
_WRITTEN = frozenset(("_count", "_since", "_at", "_cursor", "_summary", "_elements"))
_OF_THE_FORM = frozenset(("_format", "_pretty"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the parameters of a history ask for, and their text for links (the cursor left out)."""

    count: int
    window: Window
    cursor: str | None
    pairs: tuple[tuple[str, str], ...]


def _instant(microseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # the end of the year 9999
        return datetime.max.replace(tzinfo=UTC)


def _span(name: str, text: str) -> tuple[datetime, datetime]:
    try:
        low, high = date_range(text.replace(" ", "+"))  # a plus sign that a client failed to escape in the URL
    except ValueError as error:
        raise InvalidRequest(f"{name} takes a date or an instant, not '{text[:40]}'.", code="value") from error
    return _instant(low), _instant(high)


def parse_history(query: Sequence[tuple[str, str]]) -> Asked:
    """Parse the parameters of a history: ``_count``, ``_since``, ``_at`` and the server's own ``_cursor``.

    A date covers all of its precision: ``_since=2026`` begins with that year, ``_at=2026`` asks for what was current
    at some moment of it. Raises InvalidRequest for a bad value, a repeated or an unknown parameter.
    """
    given: dict[str, str] = {}
    for name, value in query:
        if name in _OF_THE_FORM:
            continue
        if name not in _WRITTEN:
            raise InvalidRequest(f"{name[:40]} is not supported on a history.", code="not-supported")
        if name in given:
            raise InvalidRequest(f"{name} may be given once.", code="value")
        given[name] = value
    count = given.get("_count", str(DEFAULT_COUNT))
    if not count.isascii() or not count.isdigit() or len(count) > _MAX_DIGITS:
        raise InvalidRequest(f"_count must be a whole number, not '{count[:40]}'.", code="value")
    since = _span("_since", given["_since"])[0] if "_since" in given else None
    start, end = _span("_at", given["_at"]) if "_at" in given else (None, None)
    pairs = tuple((name, value) for name, value in given.items() if name != "_cursor")
    return Asked(min(int(count), MAX_COUNT) or 1, Window(since, start, end), given.get("_cursor"), pairs)


def _status(past: Past) -> str:
    if past.version.method == "D":
        return "204"
    return "201" if past.version.version == 1 or past.replaced == "D" else "200"


def _entry(context: Context, past: Past, view: View) -> dict[str, Any]:
    version, path = past.version, f"{past.resource_type}/{past.version.id}"
    entry: dict[str, Any] = {"fullUrl": f"{context.base_url}/{path}"}
    if version.content is not None:
        entry["resource"] = raw(view.show(past.resource_type, version.content))
    entry["request"] = {
        "method": _METHODS[version.method],
        "url": past.resource_type if version.method == "C" else path,
    }
    entry["response"] = {
        "status": _status(past),
        "etag": f'W/"{version.version}"',
        "lastModified": format_instant(version.last_updated),
    }
    return entry


def _visible(context: Context, page: Sequence[Past]) -> Iterator[Past]:
    """Yield the versions of a page that the caller may see.

    A resource may have been about someone else once, so a grant with criteria is tried on every version; a deletion is
    seen by who may see what was deleted.
    """
    limited: dict[str, bool] = {}
    for past in page:
        name = past.resource_type
        if name not in limited:
            limited[name] = has_criteria(context.caller, "read", name)
        if limited[name]:
            content = past.deleted if past.version.content is None else past.version.content
            if content is None or not is_visible(context, name, content):
                continue
        yield past


def _readable_types(context: Context, request: Request) -> tuple[str, ...]:
    """Return the types to look at: the one asked for, or all that the caller may read."""
    resource_type = request.target.resource_type
    if resource_type is not None:
        require_grant(context.caller, "read", resource_type)
        return (resource_type,)
    types = tuple(t for t in resource_types() if context.caller.grants_for("read", t))
    if not types:
        raise Forbidden(f"{context.caller.subject} may not read anything.")
    return types


async def _require_known(context: Context, session: Session, resource_type: str, id_: str, asked: Asked) -> None:
    """Raise NotFound unless the resource is there for the caller; then none of its versions was asked for."""
    current = await read(session, context.caller.tenant, resource_type, id_) if asked.pairs or asked.cursor else None
    if current is not None:
        if not has_criteria(context.caller, "read", resource_type):
            return
        if current.content is not None and is_visible(context, resource_type, current.content):
            return
    raise NotFound(f"{resource_type}/{id_} is not known.")


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Return versions, newest first, in pages: of one resource, of one type or of all types the caller may read."""
    target, caller = request.target, context.caller
    types, asked = _readable_types(context, request), parse_history(target.query)
    key = context.server.cursor_key
    question = _question(context, request, asked)
    after = None if asked.cursor is None else _place(cursor.unseal_place(question, asked.cursor, key))
    versions, number = await read_history(
        session, caller.tenant, types, id_=target.id, window=asked.window, after=after, limit=asked.count + 1
    )
    page = versions[: asked.count]
    shown = list(_visible(context, page))
    if target.id is not None and not shown:
        await _require_known(context, session, types[0], target.id, asked)
    url = "/".join(p for p in (context.base_url, target.resource_type, target.id, "_history") if p)
    used = [*asked.pairs, *([("_cursor", asked.cursor)] if asked.cursor else [])]
    links = [link("self", f"{url}?{urlencode(used)}" if used else url)]
    if len(versions) > asked.count:
        following = cursor.seal_place(question, _position(page[-1]), key)
        links.append(link("next", f"{url}?{urlencode([*asked.pairs, ('_cursor', following)])}"))
        if target.id is not None and has_criteria(caller, "read", types[0]):
            number = None  # those on the next pages may not be the caller's
    elif after is None:
        number = len(page)
    # Of versions that the caller may not see not even the number is told.
    total = number if len(shown) == len(page) else None
    view = view_of(target.query)
    entries = [_entry(context, past, view) for past in shown]
    return Answer(200, make_bundle("history", format_instant(context.now), links, entries, total))


def _question(context: Context, request: Request, asked: Asked) -> Hashable:
    """Return what a cursor belongs to; the size of pages may change on the way."""
    window, target = asked.window, request.target
    times = tuple(None if t is None else t.isoformat() for t in (window.since, window.start, window.end))
    return "history", context.caller.tenant, target.resource_type, target.id, times


def _position(past: Past) -> list[Any]:
    return [past.version.last_updated.isoformat(), past.resource_type, past.version.id, past.version.version]


def _place(position: Sequence[Any]) -> Place:
    last_updated, resource_type, id_, version = position
    return Place(datetime.fromisoformat(last_updated), resource_type, id_, version)
