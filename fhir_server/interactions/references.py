"""References inside a transaction, https://hl7.org/fhir/R4/http.html#trules and bundle.html#references.

A reference to another entry's ``fullUrl`` becomes the address that entry gets; a conditional reference
(``Patient?identifier=1``) becomes the address of its one match. Elements of type uri and its kin that hold exactly a
``fullUrl``, and links in a narrative, follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping
from functools import cache
from typing import Any

from conformance.definitions import resource_types, types

URI_TYPES = frozenset(("uri", "url", "canonical", "oid", "uuid"))
RESTFUL_URL = re.compile(r"(?P<base>https?://.+)/(?P<path>[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?")
LOCAL_REFERENCE = re.compile(
    r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#.*)?", re.DOTALL
)
NARRATIVE_LINK = re.compile(r"""(?P<before>\b(?:href|src)\s*=\s*)(?P<quote>["'])(?P<url>[^"']*)(?P=quote)""")


@cache
def uri_names() -> frozenset[str]:
    """Return the JSON names that hold a uri in some type.

    In another type a few of them hold other text; it would have to equal another entry's full URL to be taken for one.
    """
    return frozenset(
        name
        for type_ in types().values()
        for element in type_.elements.values()
        for name, code in element.json_names
        if code in URI_TYPES
    )


@cache
def _types() -> frozenset[str]:
    return frozenset(resource_types())


def is_conditional(reference: str, base_url: str = "") -> bool:
    """Tell whether a reference is a search (``Type?query``), perhaps below the server's own base."""
    name, mark, _ = relative(reference, base_url).partition("?")
    return bool(mark) and name in _types()


def references_of(value: Any) -> Iterator[str]:
    """Yield every ``Reference.reference`` below a JSON value."""
    if type(value) is dict:
        for name, inner in value.items():
            if type(inner) is dict or type(inner) is list:
                yield from references_of(inner)
            elif name == "reference" and type(inner) is str:
                yield inner
    elif type(value) is list:
        for inner in value:
            yield from references_of(inner)


def is_closed(resource: Any, addresses: Container[str] = (), base_url: str = "") -> bool:
    """Tell whether no reference of a resource has to be looked up: a condition, or a UUID that isn't among the addresses."""
    return not any(
        is_conditional(reference, base_url)
        or (reference.startswith("urn:uuid:") and reference.partition("#")[0] not in addresses)
        for reference in references_of(resource)
    )


def located_references(resource: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (FHIRPath, reference) for every ``Reference.reference`` of a resource, its contained ones included.

    What a Bundle carries is left out: its references may point to each other.
    """
    yield from _located(resource, str(resource["resourceType"]))


def _located(value: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if value.get("resourceType") == "Bundle":
        return
    for name, inner in value.items():
        if type(inner) is dict:
            yield from _located(inner, f"{path}.{name}")
        elif type(inner) is list:
            for number, item in enumerate(inner):
                if type(item) is dict:
                    yield from _located(item, f"{path}.{name}[{number}]")
        elif name == "reference" and type(inner) is str:
            yield f"{path}.{name}", inner


def place_of(resource: dict[str, Any], reference: str) -> str | None:
    """Return the FHIRPath of the first element that holds a reference; None when only a carried Bundle does."""
    return next((path for path, found in located_references(resource) if found == reference), None)


def relative(reference: str, base_url: str) -> str:
    """Return a reference below the server's own base without that base, any other as it is."""
    return reference[len(base_url) + 1 :] if base_url and reference.startswith(f"{base_url}/") else reference


def local_address(reference: str) -> str | None:
    """Return ``Type/id`` for a relative reference to a resource, versioned or not, else None."""
    found = LOCAL_REFERENCE.fullmatch(reference)
    return f"{found['type']}/{found['id']}" if found and found["type"] in _types() else None


def rewrite(value: Any, replacement: Callable[[str], str | None], base_url: str = "") -> None:
    """Replace references, uris and narrative links below a JSON value, in place, where ``replacement`` knows better.

    References (not uris: those are names) to resources below ``base_url`` become relative.
    """
    if type(value) is list:
        for inner in value:
            if type(inner) is dict or type(inner) is list:
                rewrite(inner, replacement, base_url)
        return
    names = uri_names()
    for name, inner in value.items():
        kind = type(inner)
        if kind is dict or kind is list:
            if kind is list and name in names:
                value[name] = [(replacement(i) or i) if type(i) is str else i for i in inner]
            rewrite(value[name], replacement, base_url)
        elif kind is str:
            if name == "reference" or name in names:
                new = replacement(inner)
                if new is None and name == "reference" and base_url and inner.startswith(base_url):
                    own = relative(inner, base_url)
                    new = own if local_address(own) else None
                if new is not None:
                    value[name] = new
            elif name == "div":
                value[name] = NARRATIVE_LINK.sub(
                    lambda m: m["before"] + m["quote"] + (replacement(m["url"]) or m["url"]) + m["quote"], inner
                )


def replacer(addresses: Mapping[str, str], full_url: str | None) -> Callable[[str], str | None]:
    """Return the replacement for one entry: by full URL, by condition, or relative to the entry's own base.

    A fragment after a known address stays behind its new one.
    """
    own = RESTFUL_URL.fullmatch(full_url) if full_url else None
    base = own["base"] if own else None

    def replacement(reference: str) -> str | None:
        found = addresses.get(reference)
        if found is None and base is not None and ":" not in reference:
            found = addresses.get(f"{base}/{reference}")
        if found is None and "#" in reference and not reference.startswith("#"):
            address, _, fragment = reference.partition("#")
            whole = replacement(address)
            return None if whole is None else f"{whole}#{fragment}"
        return found

    return replacement
