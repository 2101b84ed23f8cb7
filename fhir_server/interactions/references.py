"""References inside a transaction, https://hl7.org/fhir/R4/http.html#trules and bundle.html#references.

A reference to another entry's ``fullUrl`` becomes the address that entry gets; a conditional reference
(``Patient?identifier=1``) becomes the address of its one match. Elements of type uri and its kin that hold exactly a
``fullUrl``, and links in a narrative, follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from conformance.definitions import resource_types, types

URI_TYPES = frozenset(("uri", "url", "canonical", "oid", "uuid"))
RESTFUL_URL = re.compile(r"(?P<base>https?://.+)/(?P<path>[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?")
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


def is_conditional(reference: str) -> bool:
    """Tell whether a reference is a search (``Type?query``)."""
    name, mark, _ = reference.partition("?")
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


def rewrite(value: Any, replacement: Callable[[str], str | None]) -> None:
    """Replace references, uris and narrative links below a JSON value, in place, where ``replacement`` knows better."""
    if type(value) is list:
        for inner in value:
            if type(inner) is dict or type(inner) is list:
                rewrite(inner, replacement)
        return
    names = uri_names()
    for name, inner in value.items():
        kind = type(inner)
        if kind is dict or kind is list:
            if kind is list and name in names:
                value[name] = [(replacement(i) or i) if type(i) is str else i for i in inner]
            rewrite(value[name], replacement)
        elif kind is str:
            if name == "reference" or name in names:
                new = replacement(inner)
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
