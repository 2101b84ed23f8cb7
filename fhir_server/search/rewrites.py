"""What every bound query goes through before it becomes SQL, in order; authorization is the first.

``sql`` accepts only what ``rewrite`` returns, so no query can miss a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NewType

from conformance.definitions import resource_types
from fhir_server.auth.caller import Caller, Grant, Interaction
from fhir_server.errors import Forbidden
from fhir_server.search.bound import BoundQuery
from fhir_server.search.chain import Chain, Target
from fhir_server.search.condition import AllOf, AnyOf, Condition, HasTokens, Not, parts
from fhir_server.search.contained import Within
from fhir_server.search.criteria import bind_all
from fhir_server.search.date import compare_together
from fhir_server.search.environment import Environment
from fhir_server.search.hierarchy import Related
from fhir_server.search.listed import Listed
from fhir_server.search.reverse import Has

Rewritten = NewType("Rewritten", BoundQuery)
Permitted = NewType("Permitted", AllOf)
Rewrite = Callable[[BoundQuery, Caller, Environment], BoundQuery]


def rewrite(query: BoundQuery, caller: Caller, environment: Environment) -> Rewritten:
    """Return the query after all rewrites. Raises Forbidden when the caller may not search a type that it needs."""
    for step in REWRITES:
        query = step(query, caller, environment)
    return Rewritten(query)


def authorize(query: BoundQuery, caller: Caller, environment: Environment) -> BoundQuery:
    """Limit a query to the caller's tenant and to what one of its grants for ``search`` covers, at every step of chains."""
    allowed = permitted(caller, "search", query.resource_type, environment)
    if allowed is None or query.tenant != caller.tenant:
        raise Forbidden(f"{caller.subject} may not search {query.resource_type}.")
    where: Condition = AllOf((_authorize_chains(query.where, caller, environment), allowed))
    if query.contained == "true":
        where = Within(where, _containers(caller, environment), once=query.as_container)
    return replace(query, where=where)


def _containers(caller: Caller, environment: Environment) -> dict[str, AllOf]:
    """Return, by type, what containers have to fulfil: they must be such as the caller may search and read."""
    containers: dict[str, AllOf] = {}
    for name in resource_types():
        searched = permitted(caller, "search", name, environment)
        read = permitted(caller, "read", name, environment)
        if searched is not None and read is not None:
            containers[name] = AllOf((searched,) if searched == read else (searched, read))
    return containers


def _authorize_chains(condition: Condition, caller: Caller, environment: Environment) -> Condition:
    """Limit all that chains, ``_has`` and ``_list`` lead to to what the caller may search: who finds by a value learns of it.

    Of several types that a reference may point to, those that the caller may not search at all drop out; Forbidden
    is raised when none remains.
    """
    match condition:
        case Chain():
            targets = tuple(_authorized(condition.targets, caller, environment))
            if not targets:
                types = ", ".join(target.resource_type for target in condition.targets)
                raise Forbidden(f"{caller.subject} may not search {types}, as the chained parameter asks.")
            return replace(condition, targets=targets)
        case Has() | Listed():
            for target in _authorized((condition.target,), caller, environment):
                return replace(condition, target=target)
            raise Forbidden(f"{caller.subject} may not search {condition.target.resource_type}, as the search asks.")
        case Related():
            found = permitted(caller, "search", condition.resource_type, environment)
            if found is None:
                raise Forbidden(f"{caller.subject} may not search {condition.resource_type}, as the hierarchy asks.")
            return replace(condition, allowed=found)
        case AllOf() | AnyOf():
            inner = tuple(_authorize_chains(part, caller, environment) for part in condition.conditions)
            return replace(condition, conditions=inner)
        case Not():
            return Not(_authorize_chains(condition.condition, caller, environment))
        case _:
            return condition


def _authorized(targets: Iterable[Target], caller: Caller, environment: Environment) -> Iterator[Target]:
    for target in targets:
        allowed = permitted(caller, "search", target.resource_type, environment)
        if allowed is not None:
            wanted = _authorize_chains(target.wanted, caller, environment)
            yield replace(target, wanted=wanted, allowed=allowed)


def merge_tokens(query: BoundQuery, _: Caller, __: Environment) -> BoundQuery:
    """Make one containment test of all tokens that must be there, which is what the GIN index answers best."""
    conditions = list(parts(query.where))
    required = [c for c in conditions if isinstance(c, HasTokens) and c.every]
    if len(required) > 1:
        tokens = tuple(dict.fromkeys(token for c in required for token in c.tokens))
        conditions = [HasTokens(tokens, every=True), *(c for c in conditions if c not in required)]
    return replace(query, where=AllOf(tuple(conditions)))


def merge_dates(query: BoundQuery, _: Caller, __: Environment) -> BoundQuery:
    """Make one range of the two ends of a date, where a resource has no more than one: each end by itself finds too much."""
    return replace(query, where=AllOf(tuple(compare_together(parts(query.where)))))


REWRITES: tuple[Rewrite, ...] = (authorize, merge_tokens, merge_dates)


def permitted(
    caller: Caller, interaction: Interaction, resource_type: str, environment: Environment
) -> Permitted | None:
    """Return the condition that resources must fulfil for a caller's interaction; None when it is forbidden."""
    grants = caller.grants_for(interaction, resource_type)
    if any(not grant.criteria for grant in grants):
        return Permitted(AllOf(()))
    alternatives = tuple(_covered(grants, resource_type, environment))
    return Permitted(AllOf((AnyOf(alternatives),))) if alternatives else None


def _covered(grants: Iterable[Grant], resource_type: str, environment: Environment) -> Iterator[Condition]:
    for grant in grants:
        condition = bind_all(resource_type, grant.criteria, environment)
        if condition is not None:  # a criterion that the type can't be held to covers nothing
            yield condition
