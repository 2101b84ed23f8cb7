"""Where a page ended, as an opaque signed text in the ``next`` link, https://hl7.org/fhir/R4/http.html#paging.

It names the last resource's place in the order, not a count of resources, so that pages don't shift while others write.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Hashable, Sequence
from typing import Any

import msgspec

from conformance.issues import Issue
from fhir_server.search.bound import BoundQuery
from fhir_server.search.errors import InvalidSearch

_SIGNATURE_LENGTH = 16
_LONGEST = 8192


def seal(query: BoundQuery, position: Sequence[Any], key: bytes) -> str:
    """Return the cursor of a place: the sort values as JSON values, then the resource's key."""
    return seal_place(_asked(query), position, key)


def unseal(query: BoundQuery, text: str, key: bytes) -> list[Any]:
    """Return the place that a cursor names. Raises InvalidSearch unless it was sealed for the same tenant and query."""
    return unseal_place(_asked(query), text, key)


def seal_place(asked: Hashable, position: Sequence[Any], key: bytes) -> str:
    """Return the cursor of a place, as JSON values, in the answer to what was asked."""
    payload = msgspec.json.encode(position)
    return urlsafe_b64encode(_sign(asked, payload, key) + payload).decode().rstrip("=")


def unseal_place(asked: Hashable, text: str, key: bytes) -> list[Any]:
    """Return the place that a cursor names. Raises InvalidSearch unless it was sealed for the same question."""
    if len(text) > _LONGEST:
        raise _refused()
    try:
        sealed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        raise _refused() from None
    signature, payload = sealed[:_SIGNATURE_LENGTH], sealed[_SIGNATURE_LENGTH:]
    if not hmac.compare_digest(signature, _sign(asked, payload, key)):
        raise _refused()
    position: list[Any] = msgspec.json.decode(payload)
    return position


def _asked(query: BoundQuery) -> Hashable:
    return query.tenant, query.resource_type, query.matching


def _sign(asked: Hashable, payload: bytes, key: bytes) -> bytes:
    context = msgspec.json.encode(asked)
    return hmac.digest(key, len(context).to_bytes(4, "big") + context + payload, "sha256")[:_SIGNATURE_LENGTH]


def _refused() -> InvalidSearch:
    return InvalidSearch([Issue("error", "value", "This '_cursor' was not made by this server for this query.")])
