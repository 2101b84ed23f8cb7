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
from fhir_server.search.chain import Chain, Target
from fhir_server.search.condition import AllOf, AnyOf, Condition, HasTokens, Not, parts
from fhir_server.search.criteria import bind_all
from fhir_server.search.registry import SearchParameters

Rewritten = NewType("Rewritten", BoundQuery)
Permitted = NewType("Permitted", AllOf)
Rewrite = Callable[[BoundQuery, Caller, SearchParameters], BoundQuery]


def rewrite(query: BoundQuery, caller: Caller, parameters: SearchParameters) -> Rewritten:
    """Return the query after all rewrites. Raises Forbidden when the caller may not search a type that it needs."""
    for step in REWRITES:
        query = step(query, caller, parameters)
    return Rewritten(query)


def authorize(query: BoundQuery, caller: Caller, parameters: SearchParameters) -> BoundQuery:
    """Limit a query to the caller's tenant and to what one of its grants for ``search`` covers, at every step of chains."""
    allowed = permitted(caller, "search", query.resource_type, parameters)
    if allowed is None or query.tenant != caller.tenant:
        raise Forbidden(f"{caller.subject} may not search {query.resource_type}.")
    return replace(query, where=AllOf((_authorize_chains(query.where, caller, parameters), allowed)))


def _authorize_chains(condition: Condition, caller: Caller, parameters: SearchParameters) -> Condition:
    """Limit all that chains lead to to what the caller may search: who finds by a value learns of it.

    Of several types that a reference may point to, those that the caller may not search at all drop out; Forbidden
    is raised when none remains.
    """
    match condition:
        case Chain():
            targets = tuple(_authorized(condition.targets, caller, parameters))
            if not targets:
                types = ", ".join(target.resource_type for target in condition.targets)
                raise Forbidden(f"{caller.subject} may not search {types}, as the chained parameter asks.")
            return replace(condition, targets=targets)
        case AllOf() | AnyOf():
            inner = tuple(_authorize_chains(part, caller, parameters) for part in condition.conditions)
            return replace(condition, conditions=inner)
        case Not():
            return Not(_authorize_chains(condition.condition, caller, parameters))
        case _:
            return condition


def _authorized(targets: Iterable[Target], caller: Caller, parameters: SearchParameters) -> Iterator[Target]:
    for target in targets:
        allowed = permitted(caller, "search", target.resource_type, parameters)
        if allowed is not None:
            wanted = _authorize_chains(target.wanted, caller, parameters)
            yield Target(target.resource_type, wanted, allowed)


def merge_tokens(query: BoundQuery, _: Caller, __: SearchParameters) -> BoundQuery:
    """Make one containment test of all tokens that must be there, which is what the GIN index answers best."""
    conditions = list(parts(query.where))
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
