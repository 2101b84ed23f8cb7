"""Where the values of one search parameter go in the indexes of one tenant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.search.registry import Parameter
from fhir_server.store.entries import IndexEntries
from fhir_server.store.hashing import parameter_id, salt, value_hash

# NUL can't occur in a FHIR string, so these never meet a value.
PRESENT = "\x00present"
EXACT = "\x00="
TEXT = "\x00~"
OF_TYPE = "\x00t"
# A search text that stands for several tokens, where values are compared one by one, and the mark of several values.
ALONE = "\x00a"
SEVERAL = "\x00several"


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter's place: ``salt`` is mixed into its tokens, ``parameter`` is its number in the range tables.

    ``identifier_salt`` is that of the identifiers of logical references; ``present`` is the token of a resource that
    has the parameter at all; ``systems`` gives the system that a required binding implies for a code.
    """

    salt: int
    identifier_salt: int
    present: int
    parameter: int
    systems: Mapping[str, str]

    def token(self, text: str) -> int:
        """Return the token of a searchable text."""
        return self.salt ^ value_hash(text)


Extract = Callable[[Slot, str, Any, IndexEntries], None]
"""Adds the index entries of one value of a FHIR type: (slot, type, JSON value, entries)."""
Wider = Callable[[Slot, str, Any, str], Sequence[int]]
"""Returns tokens, made of ALONE, for the texts that find one value by one of several tokens: (slot, type, value, base)."""


@lru_cache(maxsize=32768)
def _salts(tenant: int, resource_type: str, code: str) -> tuple[int, int]:
    return salt(tenant, resource_type, code), salt(tenant, resource_type, f"{code}:identifier")


def slot(tenant: int, parameter: Parameter) -> Slot:
    """Return the place of a parameter's values for a tenant."""
    own, identifiers = _salts(tenant, parameter.resource_type, parameter.code)
    return Slot(own, identifiers, own ^ value_hash(PRESENT), parameter.id, parameter.systems)


def named_slot(tenant: int, resource_type: str, name: str) -> Slot:
    """Return a place of values that have no parameter of their own, such as the pairs of a composite."""
    own, identifiers = _salts(tenant, resource_type, name)
    return Slot(own, identifiers, own ^ value_hash(PRESENT), parameter_id(resource_type, name), {})
