"""From the query as written to one whose parameters are known, https://hl7.org/fhir/R4/search.html#errors.

What the server doesn't know becomes an issue, and an error when handling is strict; a value that the parameter can't
have is always an error, since leaving it out would find more than was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.issues import Issue
from fhir_server.search.bind_chain import bind_chain
from fhir_server.search.bound import BoundQuery
from fhir_server.search.condition import AllOf, Condition
from fhir_server.search.controls import CONTROLS, INDECISIVE, Controls
from fhir_server.search.criteria import bind_criterion
from fhir_server.search.environment import Environment
from fhir_server.search.errors import InvalidSearch, Unsupported
from fhir_server.search.query import Criterion


def bind(
    resource_type: str,
    criteria: Iterable[Criterion],
    environment: Environment,
    *,
    strict: bool = False,
) -> BoundQuery:
    """Return the query with its parameters attached.

    Raises InvalidSearch for bad values, and if ``strict`` for anything that can't be used.
    """
    conditions: list[Condition] = []
    controls = Controls(resource_type, environment.parameters)
    used: list[Criterion] = []
    issues: list[Issue] = []
    for criterion in criteria:
        try:
            if len(criterion.path) == 1 and criterion.last.name in CONTROLS:
                controls.apply(criterion)
            else:
                bind_one = bind_criterion if len(criterion.path) == 1 else bind_chain
                conditions.append(bind_one(resource_type, criterion, environment))
            used.append(criterion)
        except Unsupported as reason:
            issues.append(Issue("error" if strict else "warning", "not-supported", str(reason)))
    if strict and issues:
        raise InvalidSearch(issues)
    return BoundQuery(
        resource_type=resource_type,
        tenant=environment.tenant,
        where=AllOf(tuple(conditions)),
        sort=tuple(controls.sort),
        count=controls.count,
        total=controls.total,
        includes=tuple(controls.includes),
        cursor=controls.cursor,
        used=tuple((c.name, c.value) for c in used),
        matching=tuple((c.name, c.value) for c in used if c.last.name not in INDECISIVE),
        issues=tuple(issues),
    )
