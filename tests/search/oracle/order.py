"""What resources are ordered by, https://hl7.org/fhir/R4/search.html#sort.

Latitude taken as the server documents it: strings as they are compared, at most 200 characters, by code point; spans of
time by their start; quantities by their number; codes without their system; references as they stand, those to the
server itself relative. Of several values the one that comes first in the order counts.
"""

from __future__ import annotations

from typing import Any

from conformance.definitions import SearchParameter
from tests.search.oracle import dates, numbers, references, strings, tokens
from tests.search.oracle.definitions import Pairs

LONGEST = 200
SORTABLE = ("string", "date", "number", "quantity", "token", "reference", "uri")


def sort_values(resource_type: str, parameter: SearchParameter, pairs: Pairs, base_url: str) -> list[Any]:
    """Return the values that a resource can be ordered by."""
    out: list[Any] = []
    for fhir_type, value in pairs:
        match parameter.type:
            case "string":
                out += [strings.plain(text)[:LONGEST] for text in strings.strings(fhir_type, value)]
            case "date":
                out += [low for low, _ in dates.spans(fhir_type, value)]
            case "number" | "quantity":
                if found := numbers.limits(fhir_type, value):
                    out.append(found[0] if found[0].is_finite() else found[1])
            case "token":
                out += [token.code for token in tokens.tokens(fhir_type, value, None) if token.code]
            case "reference":
                target = references.target(value)
                # A resource inside of another sorts by ``#id``, but not where the parameter asks for its type first.
                if target and not (target.startswith("#") and _asks_for_type(resource_type, parameter)):
                    out.append(target.removeprefix(f"{base_url}/"))
            case "uri":
                out.append(value)
    return out


def _asks_for_type(resource_type: str, parameter: SearchParameter) -> bool:
    branches = [branch.strip() for branch in (parameter.expression or "").split("|")]
    return any("resolve()" in branch for branch in branches if branch.startswith(f"{resource_type}."))
