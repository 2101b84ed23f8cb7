"""The 64-bit hashes that equality search is made of.

A token is ``salt(tenant, type, parameter) ^ value_hash(text)``: the exclusive or can be computed in SQL too, so a join can
turn a resource's ``reference_hash`` into the token that references to it carry.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=131072)
def value_hash(text: str) -> int:
    """Return the signed 64-bit hash of a searchable text (``code``, ``system|code``, ``Patient/1`` …)."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


@lru_cache(maxsize=131072)
def salt(tenant: int, resource_type: str, parameter: str) -> int:
    """Return the signed 64-bit salt of one search parameter of one resource type of one tenant."""
    return value_hash(f"{tenant}\x1f{resource_type}\x1f{parameter}")


@lru_cache(maxsize=16384)
def parameter_id(resource_type: str, parameter: str) -> int:
    """Return the signed 32-bit number under which the range tables know a search parameter."""
    digest = blake2b(f"{resource_type}.{parameter}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big", signed=True)


@lru_cache(maxsize=131072)
def derived_parameter(parameter: int, text: str) -> int:
    """Return the number for those values of a parameter that a text sets apart, as a composite's code does."""
    digest = blake2b(f"{parameter}\x1f{text}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big", signed=True)
