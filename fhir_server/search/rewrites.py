"""What every bound query goes through before it becomes SQL, in order; authorization is the first.

``sql`` accepts only what ``rewrite`` returns, so no query can miss a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NewType

from fhir_server.auth.caller import Caller, Grant, Interaction
from fhir_server.errors import Forbidden
from fhir_server.search.bound import BoundQuery
from fhir_server.search.condition import AllOf, AnyOf, Condition, HasTokens
from fhir_server.search.criteria import bind_all
from fhir_server.search.registry import SearchParameters

Rewritten = NewType("Rewritten", BoundQuery)
Permitted = NewType("Permitted", AllOf)
Rewrite = Callable[[BoundQuery, Caller, SearchParameters], BoundQuery]


def rewrite(query: BoundQuery, caller: Caller, parameters: SearchParameters) -> Rewritten:
    """Return the query after all rewrites. Raises Forbidden when the caller may not search the type."""
    for step in REWRITES:
        query = step(query, caller, parameters)
    return Rewritten(query)


def authorize(query: BoundQuery, caller: Caller, parameters: SearchParameters) -> BoundQuery:
    """Limit a query to the caller's tenant and to what one of its grants for ``search`` covers."""
    allowed = permitted(caller, "search", query.resource_type, parameters)
    if allowed is None or query.tenant != caller.tenant:
        raise Forbidden(f"{caller.subject} may not search {query.resource_type}.")
    return replace(query, where=AllOf((query.where, allowed)))


def merge_tokens(query: BoundQuery, _: Caller, __: SearchParameters) -> BoundQuery:
    """Make one containment test of all tokens that must be there, which is what the GIN index answers best."""
    conditions = list(_flatten(query.where))
    required = [c for c in conditions if isinstance(c, HasTokens) and c.every]
    if len(required) > 1:
        tokens = tuple(dict.fromkeys(token for c in required for token in c.tokens))
        conditions = [HasTokens(tokens, every=True), *(c for c in conditions if c not in required)]
    return replace(query, where=AllOf(tuple(conditions)))


REWRITES: tuple[Rewrite, ...] = (authorize, merge_tokens)


def permitted(
    caller: Caller, interaction: Interaction, resource_type: str, parameters: SearchParameters
) -> Permitted | None:
    """Return the condition that resources must fulfil for a caller's interaction; None when it is forbidden."""
    grants = caller.grants_for(interaction, resource_type)
    if any(not grant.criteria for grant in grants):
        return Permitted(AllOf(()))
    alternatives = tuple(_covered(grants, resource_type, caller.tenant, parameters))
    return Permitted(AllOf((AnyOf(alternatives),))) if alternatives else None


def _covered(
    grants: Iterable[Grant], resource_type: str, tenant: int, parameters: SearchParameters
) -> Iterator[Condition]:
    for grant in grants:
        condition = bind_all(resource_type, grant.criteria, tenant, parameters)
        if condition is not None:  # a criterion that the type can't be held to covers nothing
            yield condition


def _flatten(condition: Condition) -> Iterator[Condition]:
    """Yield the parts of nested conjunctions, and of alternatives that are none."""
    if isinstance(condition, AllOf):
        for part in condition.conditions:
            yield from _flatten(part)
    elif isinstance(condition, AnyOf) and len(condition.conditions) == 1:
        yield from _flatten(condition.conditions[0])
    else:
        yield condition
