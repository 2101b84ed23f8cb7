"""The searchset Bundle, the same for every kind of search, https://hl7.org/fhir/R4/bundle.html#searchset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypedDict
from urllib.parse import quote, urlencode

import msgspec

from fhir_server.interactions.bundle import link, make_bundle, raw
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.failures import outcome
from fhir_server.interactions.request import Answer
from fhir_server.search.execute import Match, SearchPage
from fhir_server.search.registry import SearchParameters
from fhir_server.search.summary import View
from fhir_server.search.terminology import TenantTerminologies


class Surroundings(TypedDict):
    """What every search takes from its request, beside what it searches for: see ``fhir_server.search.execute``."""

    cursor_key: bytes
    strict: bool
    registry: SearchParameters
    base_url: str
    terminologies: TenantTerminologies


def surroundings(context: Context, *, strict: bool) -> Surroundings:
    """Return a request's surroundings for ``search`` and ``search_types``."""
    return {
        "cursor_key": context.server.cursor_key,
        "strict": strict,
        "registry": context.parameters,
        "base_url": context.base_url,
        "terminologies": context.server.terminologies,
    }


def answer_page(
    context: Context, page: SearchPage, path: str, packaged: Sequence[dict[str, Any] | msgspec.Raw] = ()
) -> Answer:
    """Answer with a page of the search on ``path`` (below the base): matches, what they include, what was not used.

    ``packaged`` are matches beside the stored ones, as entries.
    """
    url = f"{context.base_url}/{path}"
    entries: list[dict[str, Any] | msgspec.Raw] = [*_entries(context.base_url, page.matches, "match", page.view)]
    entries += _entries(context.base_url, page.included, "include", page.view)
    entries += packaged
    if page.issues:
        entries.append({"resource": outcome(page.issues), "search": {"mode": "outcome"}})
    total = None if page.total is None else page.total + len(packaged)
    return Answer(200, make_bundle("searchset", format_instant(context.now), _links(url, page), entries, total))


def _links(url: str, page: SearchPage) -> list[dict[str, str]]:
    """Return the links: to this page, to the first, the one before and the next, all by GET."""
    lasting = urlencode([pair for pair in page.used if pair[0] != "_cursor"])
    cursors = [value for name, value in page.used if name == "_cursor"]
    first = f"{url}?{lasting}" if lasting else url
    after = f"{first}{'&' if lasting else '?'}_cursor="
    # A cursor's characters need no escape.
    links = [link("self", after + quote(cursors[-1]) if cursors else first), link("first", first)]
    if page.previous_cursor is not None:
        links.append(link("previous", after + page.previous_cursor))
    if page.next_cursor is not None:
        links.append(link("next", after + page.next_cursor))
    return links


def _entries(base_url: str, matches: Sequence[Match], mode: str, view: View) -> Iterator[msgspec.Raw]:
    """Yield the entries as JSON: a page has many, and all of them look the same."""
    if not matches:
        return
    start = b'{"fullUrl":' + msgspec.json.encode(f"{base_url}/")[:-1]
    end = b',"search":{"mode":"' + mode.encode() + b'"}}'
    whole, included = view.whole, mode == "include"
    for resource_type, id_, _, _, content, _, within in matches:
        shown = content if whole else view.show(resource_type, content, included=included)
        place = f"{resource_type}/{id_}" if within is None else f"{within}#{id_}"
        yield raw(b'%b%b","resource":%b%b' % (start, place.encode(), shown, end))
