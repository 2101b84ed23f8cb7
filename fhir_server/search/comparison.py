"""The prefixes of ordered parameter types, https://hl7.org/fhir/R4/search.html#prefix."""

from __future__ import annotations

import re

PREFIXES = frozenset(("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"))
_PREFIXED = re.compile(r"([a-z]{2})(.*)", re.DOTALL)


def split_prefix(text: str) -> tuple[str, str]:
    """Return (prefix, rest) of a value, ``eq`` when it has none. Raises ValueError for letters that are no prefix."""
    found = _PREFIXED.fullmatch(text)
    if found is None:
        return "eq", text
    if found[1] not in PREFIXES:
        raise ValueError(f"'{found[1]}' is none of the prefixes {', '.join(sorted(PREFIXES))}")
    return found[1], found[2]
