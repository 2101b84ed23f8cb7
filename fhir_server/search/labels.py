"""The profiles, tags and security labels that a type's resources carry, https://hl7.org/fhir/R4/resource-operation-meta.html.

Tokens find the resources that have any; what they have is read from the content.
"""

from __future__ import annotations

from typing import Any

from psycopg.types.numeric import Int4
from sqlalchemy import Select, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.types import Text

from fhir_server.auth.caller import Caller
from fhir_server.search.condition import AllOf, Condition, current, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.rewrites import permitted
from fhir_server.search.slot import slot
from fhir_server.search.statement import Blueprint, Run, run, scope_of

LABELS = {"profile": "_profile", "security": "_security", "tag": "_tag"}
"""Elements of Meta and the search parameters that tell of them."""


def labels(caller: Caller, resource_type: str, environment: Environment) -> Run | None:
    """Return the statement for the distinct (profile, security, tag) JSON texts; None when the type may not be read."""
    allowed = permitted(caller, "read", resource_type, environment)
    if allowed is None:
        return None
    known = environment.parameters.of(resource_type)
    labelled = has_any(slot(environment.tenant, known[code]).present for code in LABELS.values())
    condition = AllOf((labelled, allowed))
    blueprint = Blueprint(("labels", resource_type, condition.shape), lambda: _labels(resource_type, condition))
    return run(blueprint, [Int4(environment.tenant), *condition.values()])


def _labels(resource_type: str, condition: Condition) -> Select[Any]:
    scope = scope_of(resource_type)
    # json, not jsonb: nothing but the path is looked at, so no number is too large for it.
    content = cast(func.convert_from(scope.table.c.content, literal_column("'UTF8'")), JSON)
    found: list[Any] = [
        cast(content.op("#>")(literal_column(f"'{{meta,{name}}}'::text[]")), Text()).label(name) for name in LABELS
    ]
    return select(*found).distinct().where(current(resource_type, condition, scope))
