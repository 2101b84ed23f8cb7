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
from fhir_server.search.controls import CONTROLS, INDECISIVE, Controls, effective
from fhir_server.search.environment import Environment
from fhir_server.search.errors import InvalidSearch, Unsupported
from fhir_server.search.filter.bind import bind_filter
from fhir_server.search.filter.parse import NAME as FILTER
from fhir_server.search.query import Criterion


def bind(
    resource_type: str,
    criteria: Iterable[Criterion],
    environment: Environment,
    *,
    strict: bool = False,
    together: tuple[str, ...] = (),
) -> BoundQuery:
    """Return the query with its parameters attached; ``together`` are the types of a search on several.

    Raises InvalidSearch for bad values, and if ``strict`` for anything that can't be used.
    """
    conditions: list[Condition] = []
    controls = Controls(resource_type, environment.parameters, together)
    used: list[Criterion] = []
    issues: list[Issue] = []
    for criterion in criteria:
        try:
            if len(criterion.path) == 1 and criterion.last.name in CONTROLS:
                controls.apply(criterion)
            else:
                bind_one = bind_filter if criterion.name == FILTER else bind_chain
                conditions.append(bind_one(resource_type, criterion, environment))
            used.append(criterion)
        except Unsupported as reason:
            issues.append(Issue("error" if strict else "warning", "not-supported", str(reason)))
    if controls.contained != "false" and controls.includes:
        text = "Nothing is included where contained resources are searched ('_contained')."
        issues.append(Issue("error" if strict else "warning", "not-supported", text))
        used = [c for c in used if c.last.name not in ("_include", "_revinclude")]
        controls.includes.clear()
    if strict and issues:
        raise InvalidSearch(issues)
    return BoundQuery(
        resource_type=resource_type,
        tenant=environment.tenant,
        where=AllOf(tuple(conditions)),
        sort=tuple(controls.sort),
        count=controls.size,
        total=controls.counting,
        includes=tuple(controls.includes),
        view=controls.view,
        cursor=controls.cursor,
        used=tuple((c.name, c.value) for c in effective(used)),
        matching=tuple((c.name, c.value) for c in used if c.last.name not in INDECISIVE),
        issues=tuple(issues),
        contained=controls.contained,
        as_container=controls.as_container,
    )
