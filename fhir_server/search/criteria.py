"""From one criterion as written to the condition it stands for, https://hl7.org/fhir/R4/search.html#modifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from fhir_server.search import full_text, row
from fhir_server.search.condition import AllOf, AnyOf, Condition, Not
from fhir_server.search.environment import Environment
from fhir_server.search.errors import InvalidSearch, Unsupported, invalid_value
from fhir_server.search.hierarchy import in_memory
from fhir_server.search.kinds import KINDS, present
from fhir_server.search.parse import parse
from fhir_server.search.query import Criterion
from fhir_server.search.registry import COLUMNS, Parameter
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

    Chains and hierarchies are among those: the condition must mean the same on a resource in memory, which holds no other
    resources. So is terminology, whose answers a query has at hand only for what it asks itself.
    """
    alone = replace(environment, terms=MappingProxyType({}))
    try:
        conditions = [bind_criterion(resource_type, c, alone) for c in parse(pairs)]
    except (Unsupported, InvalidSearch):
        return None
    usable = len(conditions) == len(pairs) and all(map(in_memory, conditions))
    return AllOf(tuple(conditions)) if usable else None


def _compared(parameter: Parameter, criterion: Criterion, environment: Environment) -> Condition:
    modifier = criterion.last.modifier
    if parameter.code == "_id":
        _check_modifier(criterion, row.ID_MODIFIERS)
        return row.id_condition(modifier, criterion.values)
    if parameter.code == "_lastUpdated":
        _check_modifier(criterion, row.UPDATED_MODIFIERS)
        return row.updated_condition(criterion.values)
    if parameter.code in full_text.COLUMNS:
        _check_modifier(criterion, frozenset())
        return full_text.condition(parameter.code, parameter.resource_type, environment.tenant, criterion.values)
    if not parameter.indexed:
        raise Unsupported(_reason(parameter))
    kind = KINDS[parameter.type]
    _check_modifier(criterion, kind.modifiers)
    return kind.condition(parameter, slot(environment.tenant, parameter), modifier, criterion.values, environment)


def _check_modifier(criterion: Criterion, known: frozenset[str]) -> None:
    modifier = criterion.last.modifier
    if modifier is not None and modifier not in known:
        raise Unsupported(f"Modifier ':{modifier}' is not supported on search parameter '{criterion.last.name}'.")


def _reason(parameter: Parameter) -> str:
    """Return why a parameter can't be used at all."""
    if parameter.definition.expression is None:
        what = "its definition has no expression that says what it reads"
    else:
        what = f"type {parameter.type} is not indexed"
    return f"Search parameter '{parameter.code}' can't be used: {what}."


def _missing(parameter: Parameter, criterion: Criterion, environment: Environment) -> Condition:
    column = parameter.code in COLUMNS
    if not parameter.indexed and not column:
        known = parameter.code in full_text.COLUMNS
        why = ": words are indexed, not whether there are any" if known else ""
        raise Unsupported(f"Modifier ':missing' is not supported on search parameter '{parameter.code}'{why}.")
    if criterion.value not in ("true", "false"):
        raise ValueError("':missing' takes true or false")
    if column:  # every resource has an id and an instant of its last update
        return AnyOf(()) if criterion.value == "true" else AllOf(())
    there = present(parameter, environment)
    return Not(there) if criterion.value == "true" else there
