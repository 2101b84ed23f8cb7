"""From a GraphQL request's text to its answer: parsed and validated by graphql-core, compiled and run here.

https://spec.graphql.org/October2021/#sec-Execution
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    VariableDefinitionNode,
    VariablesInAllowedPositionRule,
    execute_sync,
    parse,
    specified_rules,
    validate,
)
from graphql.execution.values import get_variable_values

from conformance.issues import Issue
from fhir_server.errors import FhirError, InvalidRequest, NotFound
from fhir_server.operations.built_in import ServerContext
from fhir_server.operations.graphql.plan import Document, Selection, Variables
from fhir_server.operations.graphql.run import Run
from fhir_server.operations.graphql.schema import Schemas
from fhir_server.search.registry import SearchParameters

LONGEST = 100_000
MOST_TOKENS = 5_000
# A variable of type String may stand for a search's value, which GraphQL's types can't say.
_RULES = [rule for rule in specified_rules if rule is not VariablesInAllowedPositionRule]
_INTROSPECTION = frozenset(("__schema", "__type"))


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it was sent; ``operation`` names one of several in the text."""

    text: str
    operation: str | None
    variables: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Checked:
    """A valid document and the operation of it to run. ``truths`` are the names of its Boolean variables."""

    document: DocumentNode
    operation: OperationDefinitionNode
    truths: tuple[str, ...]
    introspects: bool


@lru_cache(maxsize=2)
def _schemas(parameters: SearchParameters) -> Schemas:
    return Schemas(parameters)


@lru_cache(maxsize=256)
def _check(parameters: SearchParameters, root: str | None, text: str, operation: str | None) -> _Checked:
    """Parse and validate a query; raises InvalidRequest with every error and its place."""
    try:
        document = parse(text, max_tokens=MOST_TOKENS)
        errors = validate(_schemas(parameters).get(root), document, _RULES, max_errors=20)
    except GraphQLError as error:
        raise _refused([error]) from error
    except RecursionError as error:
        raise InvalidRequest("The query is nested too deeply.", code="too-costly") from error
    if errors:
        raise _refused(errors)
    chosen = _choose(document, operation)
    if chosen.operation is not OperationType.QUERY:
        kind = chosen.operation.value
        raise InvalidRequest(f"A {kind} is not supported; resources are written by the REST API.", code="not-supported")
    names = {node.name.value for node in chosen.selection_set.selections if hasattr(node, "name")}
    truths = tuple(v.variable.name.value for v in chosen.variable_definitions or () if _is_boolean(v))
    return _Checked(document, chosen, truths, bool(names & _INTROSPECTION))


def _is_boolean(variable: VariableDefinitionNode) -> bool:
    named: Any = variable.type
    named = getattr(named, "type", named)
    return hasattr(named, "name") and named.name.value == "Boolean"


def _choose(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    for node in operations:
        if (name is None and len(operations) == 1) or (node.name is not None and node.name.value == name):
            return node
    asked = f"no operation '{name[:64]}'" if name else "several operations; name one by operationName"
    raise InvalidRequest(f"The query holds {asked}.", code="value")


@lru_cache(maxsize=256)
def _selection(
    parameters: SearchParameters, root: str | None, checked: _Checked, truths: tuple[tuple[str, bool], ...]
) -> Selection:
    fragments = {n.name.value: n for n in checked.document.definitions if isinstance(n, FragmentDefinitionNode)}
    document = Document(_schemas(parameters).get(root), fragments, dict(truths))
    return Selection(document, (checked.operation.selection_set,))


def _refused(errors: list[GraphQLError]) -> FhirError:
    issues = []
    for error in errors:
        place = "".join(f" (line {at.line}, column {at.column})" for at in (error.locations or ())[:1])
        issues.append(Issue("error", "invalid", f"{error.message[:500]}{place}"))
    return InvalidRequest.of(issues)


def _variables(
    parameters: SearchParameters, root: str | None, checked: _Checked, given: Mapping[str, Any]
) -> Variables:
    schema = _schemas(parameters).get(root)
    found = get_variable_values(schema, checked.operation.variable_definitions or (), dict(given))
    if isinstance(found, list):
        raise _refused(found)
    return found.coerced


async def answer(query: Query, context: ServerContext, root: tuple[str, str] | None) -> dict[str, Any]:
    """Return ``data`` and, where something failed, ``errors``. ``root`` is the instance asked, None for the system.

    Raises InvalidRequest for a query that is not valid, NotFound where there is no such instance.
    """
    parameters, root_type = context.parameters, root[0] if root else None
    if len(query.text) > LONGEST:
        raise InvalidRequest(f"A query may be {LONGEST} characters long.", code="too-long")
    # The first query builds the schema, which must not hold up other requests.
    checked = await asyncio.to_thread(_check, parameters, root_type, query.text, query.operation)
    variables = _variables(parameters, root_type, checked, query.variables)
    if checked.introspects:
        schema = _schemas(parameters).get(root_type)
        told = execute_sync(
            schema, checked.document, variable_values=dict(query.variables), operation_name=query.operation
        )
        if told.errors:
            raise _refused(list(told.errors))
        return {"data": told.data}
    truths = tuple((name, bool(variables.get(name, False))) for name in checked.truths)
    selection = _selection(parameters, root_type, checked, truths)
    async with context.searching() as session:
        run = Run(context, session, parameters, variables)
        if root is None:
            data = await run.answer(selection, "Query", {})
        else:
            found = await run.read({root[0]: {root[1]: None}})
            if root not in found:
                raise NotFound(f"{root[0]}/{root[1]} is not known.")
            data = await run.answer(selection, root[0], found[root])
    return {"data": data, **({"errors": run.errors} if run.errors else {})}
