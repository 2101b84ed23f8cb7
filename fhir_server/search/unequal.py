"""Values that are unequal to one, https://hl7.org/fhir/R4/search_filter.html#ops (``ne``) on hashed parameters.

"An item in the set has an unequal value": a resource carries the tokens of all its values together, so where there are
several, they don't tell whether one of them lacks a token. Such a resource also carries a mark, and in a second form
each token that all values have. Resources with one value, which most are, carry nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_server.search.condition import AllOf, AnyOf, Condition, HasTokens, Not, has_any
from fhir_server.search.slot import ALONE, SEVERAL, Slot
from fhir_server.store.hashing import value_hash

_EVERY = value_hash("\x00every")


def add_common(place: Slot, values: Sequence[Iterable[int]], tokens: list[int]) -> None:
    """Add what tells of several values, each given as its tokens: that there are several, and which tokens all have."""
    tokens.append(place.token(SEVERAL))
    tokens.extend(token ^ _EVERY for token in set.intersection(*map(set, values)))


def has_unequal(place: Slot, equal: Condition, text: str | None) -> Condition:
    """Return the condition that a value of a parameter isn't one for which ``equal`` holds.

    ``text`` is the search value, unescaped, or None if it stands for no more than one token.
    """
    there = has_any((place.present,))
    if not isinstance(equal, HasTokens):  # a parameter whose values are compared as one
        return AllOf((there, Not(equal)))
    sought = equal.tokens if text is None else (*equal.tokens, place.token(ALONE + text))
    common = has_any(token ^ _EVERY for token in sought)
    all_equal = AllOf((equal, AnyOf((Not(has_any((place.token(SEVERAL),))), common))))
    return AllOf((there, Not(all_equal)))
