"""From one criterion as written to the condition it stands for, https://hl7.org/fhir/R4/search.html#modifiers."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.search import row
from fhir_server.search.condition import AllOf, Condition, Not
from fhir_server.search.environment import Environment
from fhir_server.search.errors import InvalidSearch, Unsupported, invalid_value
from fhir_server.search.kinds import KINDS, present
from fhir_server.search.parse import parse
from fhir_server.search.query import Criterion
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import slot


def bind_criterion(resource_type: str, criterion: Criterion, environment: Environment) -> Condition:
    """Return the condition of one parameter of the type itself.

    Raises InvalidSearch for a bad value, Unsupported for what the server can't use and for chains.
    """
    if len(criterion.path) > 1:
        raise Unsupported(f"A chained parameter such as '{criterion.name}' can't be used here.")
    parameter = environment.parameters.of(resource_type).get(criterion.last.name)
    if parameter is None:
        name = criterion.last.name
        if name.startswith("_"):
            raise Unsupported(f"'{name}' is not supported.")
        raise Unsupported(f"{resource_type} has no search parameter '{name}'.")
    try:
        if criterion.last.modifier == "missing":
            return _missing(parameter, criterion, environment)
        return _compared(parameter, criterion, environment)
    except InvalidSearch:
        raise
    except ValueError as reason:
        raise invalid_value(criterion.name, criterion.value, str(reason)) from reason


def bind_all(resource_type: str, pairs: Sequence[tuple[str, str]], environment: Environment) -> AllOf | None:
    """Return the conjunction of criteria that must not lose any of its parts; None when one of them can't be used.

    Chains are among those: the condition must mean the same on a resource in memory, which holds no other resources.
    """
    try:
        conditions = [bind_criterion(resource_type, c, environment) for c in parse(pairs)]
    except (Unsupported, InvalidSearch):
        return None
    return AllOf(tuple(conditions)) if len(conditions) == len(pairs) else None


def _compared(parameter: Parameter, criterion: Criterion, environment: Environment) -> Condition:
    modifier = criterion.last.modifier
    if parameter.code == "_id":
        _check_modifier(criterion, row.ID_MODIFIERS)
        return row.id_condition(modifier, criterion.values)
    if parameter.code == "_lastUpdated":
        _check_modifier(criterion, row.UPDATED_MODIFIERS)
        return row.updated_condition(criterion.values)
    if not parameter.indexed:
        raise Unsupported(f"Search parameter '{parameter.code}' of type {parameter.type} is not supported yet.")
    kind = KINDS[parameter.type]
    _check_modifier(criterion, kind.modifiers)
    return kind.condition(parameter, slot(environment.tenant, parameter), modifier, criterion.values, environment)


def _check_modifier(criterion: Criterion, known: frozenset[str]) -> None:
    modifier = criterion.last.modifier
    if modifier is not None and modifier not in known:
        raise Unsupported(f"Modifier ':{modifier}' is not supported on search parameter '{criterion.last.name}'.")


def _missing(parameter: Parameter, criterion: Criterion, environment: Environment) -> Condition:
    if not parameter.indexed:
        raise Unsupported(f"Modifier ':missing' is not supported on search parameter '{parameter.code}'.")
    if criterion.value not in ("true", "false"):
        raise ValueError("':missing' takes true or false")
    there = present(KINDS[parameter.type], slot(environment.tenant, parameter))
    return Not(there) if criterion.value == "true" else there
