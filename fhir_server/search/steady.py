"""Which searches one plan serves whatever their values are, https://www.postgresql.org/docs/current/sql-prepare.html.

How a search is best run depends on how many resources fulfil each criterion, which only the values tell; so searches are
planned anew each time, and that takes longer than running most of them. Where a single criterion leads to the matches by
an index, a plan that follows the index and gives up after too many matches is as good for any value.
"""

from __future__ import annotations

from fhir_server.search.chain import Chain
from fhir_server.search.condition import Condition, HasTokens, parts
from fhir_server.search.string import StartsWith


def leads_by_index(condition: Condition) -> bool:
    """Tell whether a condition is a single criterion that an index answers, chains to such a one included."""
    criteria = list(parts(condition))
    if len(criteria) != 1:
        return False
    match criteria[0]:
        case HasTokens(tokens=tokens):
            return bool(tokens)
        case StartsWith(prefix=prefix):
            return prefix != ""
        case Chain(targets=targets):
            return all(leads_by_index(target.condition) for target in targets)
    return False
