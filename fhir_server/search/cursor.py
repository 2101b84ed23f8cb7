"""Where a page begins or ended, as an opaque signed text in the ``previous`` or ``next`` link, https://hl7.org/fhir/R4/http.html#paging.

It names the last resource's place in the order, not a count of resources, so that pages don't shift while others write.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from conformance.issues import Issue
from fhir_server.search.bound import BoundQuery
from fhir_server.search.errors import InvalidSearch

_SIGNATURE_LENGTH = 16
_LONGEST = 8192


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order, as JSON values, and what of it is wanted: what comes after it, or ``backwards`` before it.

    ``inclusive`` says that the resource at the place itself is wanted, too.
    """

    values: Sequence[Any]
    backwards: bool = False
    inclusive: bool = False

    def to_json(self) -> Sequence[Any]:
        """Return what a cursor says: usually the values alone."""
        return [self.values, self.backwards, self.inclusive] if self.backwards or self.inclusive else self.values

    @classmethod
    def from_json(cls, said: list[Any]) -> Place:
        """Return the place that a cursor tells of."""
        return cls(*said) if isinstance(said[0], list) else cls(said)


def turn(shown: Sequence[Sequence[Any]], place: Place | None, *, more: bool) -> tuple[Place | None, Place | None]:
    """Return where the pages before and after one are, None where there is none.

    ``shown`` are the places of the page's resources, in order; ``place`` is where the page was asked for; ``more`` says
    that there is more in the direction in which it was read.
    """
    if not shown:
        back = None if place is None else Place(place.values, not place.backwards, inclusive=True)
        return (None, back) if place is None or place.backwards else (back, None)
    before, after = Place(shown[0], backwards=True), Place(shown[-1])
    if place is not None and place.backwards:
        return before if more else None, after
    return None if place is None else before, after if more else None


def asked(query: BoundQuery) -> Hashable:
    """Return what a search on one type asks for."""
    return query.tenant, query.resource_type, query.matching


def seal_place(question: Hashable, position: Sequence[Any], key: bytes) -> str:
    """Return the cursor of a place, as JSON values, in the answer to what was asked."""
    payload = msgspec.json.encode(position)
    return urlsafe_b64encode(_sign(question, payload, key) + payload).decode().rstrip("=")


def unseal_place(question: Hashable, text: str, key: bytes) -> list[Any]:
    """Return the place that a cursor names. Raises InvalidSearch unless it was sealed for the same question."""
    if len(text) > _LONGEST:
        raise _refused()
    try:
        sealed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        raise _refused() from None
    signature, payload = sealed[:_SIGNATURE_LENGTH], sealed[_SIGNATURE_LENGTH:]
    if not hmac.compare_digest(signature, _sign(question, payload, key)):
        raise _refused()
    position: list[Any] = msgspec.json.decode(payload)
    return position


def _sign(question: Hashable, payload: bytes, key: bytes) -> bytes:
    context = msgspec.json.encode(question)
    return hmac.digest(key, len(context).to_bytes(4, "big") + context + payload, "sha256")[:_SIGNATURE_LENGTH]


def _refused() -> InvalidSearch:
    return InvalidSearch([Issue("error", "value", "This '_cursor' was not made by this server for this query.")])
