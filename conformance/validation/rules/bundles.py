"""Bundles, documents and messages: what their parts have to do with each other.

https://hl7.org/fhir/R4/bundle.html, https://hl7.org/fhir/R4/documents.html and https://hl7.org/fhir/R4/messaging.html.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from conformance.definitions import resource_types
from conformance.primitives import describe
from conformance.validation.references import find_entry
from conformance.validation.run import Json, Run, Where

_RESTFUL = re.compile(r".+/(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})", re.ASCII)
_TYPES = frozenset(resource_types())
_PAGING = ("self", "first", "previous", "prev", "next", "last")
_REQUESTS = frozenset({"transaction", "batch"})


def check_bundle(bundle: Json, where: Where, run: Run) -> None:
    """Make the entries known to the run, and report what contradicts the Bundle's type."""
    listed = bundle.get("entry")
    entries = [(i, e) for i, e in enumerate(listed if type(listed) is list else ()) if type(e) is dict]
    for _, entry in entries:
        url, resource = entry.get("fullUrl"), entry.get("resource")
        if type(url) is str and type(resource) is dict:
            run.entries.setdefault(url, []).append(resource)
            run.full_urls[id(resource)] = url
    kind = bundle.get("type")
    _check_links(bundle, where, run)
    for index, entry in entries:
        _check_full_url(entry, kind, ((where, "entry", index), "fullUrl", None), run)
    if kind in ("document", "message") and entries:
        _check_leading_references(entries[0][1], kind, ((where, "entry", entries[0][0]), "resource", None), run)


def check_entry(entry: Json, where: Where, run: Run) -> None:
    """Report an entry that is said to be the outcome of a search, but is no OperationOutcome."""
    search, resource = entry.get("search"), entry.get("resource")
    if type(search) is dict and type(resource) is dict and search.get("mode") == "outcome":
        found = resource.get("resourceType")
        if found != "OperationOutcome":
            message = f"The outcome of a search is an OperationOutcome, not {describe(found)} (bdl-outcome)"
            run.report("error", "value", message, ((where, "search", None), "mode", None))


def _check_links(bundle: Json, where: Where, run: Run) -> None:
    links = bundle.get("link")
    relations = Counter(
        str(link["relation"])
        for link in (links if type(links) is list else ())
        if type(link) is dict and link.get("relation") in _PAGING
    )
    for relation, count in relations.items():
        if count > 1:
            message = f"There are {count} links of the relation {describe(relation)}, so none can be told (bdl-link)"
            run.report("error", "value", message, (where, "link", None))


def _check_full_url(entry: Json, kind: Any, where: Where, run: Run) -> None:
    url, resource = entry.get("fullUrl"), entry.get("resource")
    if type(url) is not str or type(resource) is not dict:
        return
    if ":" not in url:
        run.report("error", "value", f"A fullUrl is absolute, not {describe(url)} (bdl-fullurl)", where)
        return
    match = _RESTFUL.fullmatch(url)
    if match is None or match["type"] not in _TYPES or url.startswith("urn:"):
        return
    name, own = resource.get("resourceType"), resource.get("id")
    if own is None and kind in _REQUESTS:
        return  # what is yet to be created has no id
    if (name, own) != (match["type"], match["id"]):
        message = f"The fullUrl says {match['type']}/{match['id']}, the resource {name}/{own} (bdl-fullurl)"
        run.report("error", "value", message, where)


def _check_leading_references(entry: Json, kind: str, where: Where, run: Run) -> None:
    """Report what the Composition of a document, or the focus of a message, refers to but the Bundle lacks."""
    resource = entry.get("resource")
    if type(resource) is not dict:
        return
    url = entry.get("fullUrl")
    before, run.full_url = run.full_url, url if type(url) is str else None
    start = resource if kind == "document" else {"focus": resource.get("focus")}
    for text, place in _references(start, where):
        if not text.startswith("#") and not find_entry(text, run):
            missing = f"{describe(text)} is not in the Bundle, as a {kind} demands of what its first entry refers to"
            run.report("error", "not-found", f"{missing} (bdl-{kind})", place)
    run.full_url = before


def _references(value: Any, where: Where) -> Iterator[tuple[str, Where]]:
    for name, content in value.items():
        if name in ("contained", "extension", "modifierExtension"):
            continue
        listed = content if type(content) is list else [content]
        for index, item in enumerate(listed):
            if type(item) is dict:
                here = (where, name, index if type(content) is list else None)
                if type(item.get("reference")) is str:
                    yield item["reference"], (here, "reference", None)
                yield from _references(item, here)
