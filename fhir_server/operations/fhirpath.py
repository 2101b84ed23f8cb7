"""$fhirpath: evaluates an expression on a resource that is sent along or stored, https://hl7.org/fhir/R4/fhirpath.html.

An operation of this server's own, in the shape that public FHIRPath servers share: Parameters with ``parameters``
(what was evaluated) and one ``result`` per context, whose parts are the items.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from conformance.decode import check, encode
from conformance.definitions import types
from conformance.fhirpath import FHIRPathError, FHIRPathSyntaxError, Hooks, Quantity, Temporal
from conformance.fhirpath.compiler import compile_text
from conformance.fhirpath.evaluation import evaluate_compiled
from conformance.fhirpath.frame import as_collection
from conformance.fhirpath.items import Collection, Item, Node, resource_node, to_json, type_of
from conformance.issues import InvalidResource
from fhir_server.errors import InvalidRequest, NotFound, Unprocessable
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation, Resource
from fhir_server.operations.definitions import load
from fhir_server.operations.parameters import value, value_name

Json = dict[str, Any]

JSON_VALUE = "http://fhir.forms-lab.com/StructureDefinition/json-value"
"""The extension that FHIRPath servers use for what no value[x] can carry."""
MAXIMUM_ITEMS = 10_000
_OF_SYSTEM = {"Boolean": "boolean", "String": "string", "Integer": "integer", "Long": "string", "Decimal": "decimal"}
_OF_SYSTEM |= {"Date": "date", "DateTime": "dateTime", "Time": "time", "Quantity": "Quantity"}
_UCUM = "http://unitsofmeasure.org"


async def _fhirpath(invocation: Invocation, context: ServerContext) -> Resource:
    """Evaluate the expression in a thread, so that other requests go on meanwhile."""
    given = invocation.parameters
    resource = value(given, "resource")
    if invocation.id is not None:
        if resource is not None:
            raise InvalidRequest("On an instance, $fhirpath takes no resource.", code="invalid")
        resource = await context.read(f"{invocation.resource_type}/{invocation.id}")
        if resource is None:
            raise NotFound(f"{invocation.resource_type}/{invocation.id} is not known.")
    asked = {name: value(given, name) for name in ("expression", "context")}
    variables = next((p for p in given.get("parameter", ()) if p["name"] == "variables"), None)
    results = await asyncio.to_thread(_evaluate, asked["expression"], asked["context"], resource, variables)
    echo: list[Json] = [
        {"name": "evaluator", "valueString": f"Praxis {version('praxis-fhir')} (R4)"},
        *({"name": name, "valueString": text} for name, text in asked.items() if text is not None),
        *([{"name": "resource", "resource": resource}] if resource is not None else []),
        *([variables] if variables is not None else []),
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "parameters", "part": echo}, *results]}


def _evaluate(expression: str, context: str | None, resource: Resource | None, variables: Json | None) -> list[Json]:
    """Return the ``result`` parameters; raises InvalidRequest with the place of a syntax error, Unprocessable for others."""
    try:
        run = compile_text(expression)
    except FHIRPathError as error:
        raise _refusal(error, "expression") from error
    root = resource_node(resource or {})
    environment = {part["name"]: _item(part) for part in (variables or {}).get("part", ())}
    results = []
    for place, start in _contexts(root, context, environment):
        traced: list[Json] = []
        try:
            found = _run(run, root, start, environment, traced)
        except FHIRPathError as error:
            raise _refusal(error, "expression") from error
        if len(found) > MAXIMUM_ITEMS:
            raise Unprocessable(f"The expression finds more than {MAXIMUM_ITEMS:,} items.", code="too-costly")
        parts = [*map(_part, found), *traced]
        results.append({"name": "result", "valueString": place, **({"part": parts} if parts else {})})
    return results


def _contexts(root: Node, context: str | None, environment: Json) -> list[tuple[str, Collection]]:
    """Return the path and the items of each context; the resource itself when none was asked for."""
    if context is None:
        return [(root.type_name or "%resource", [root])]
    try:
        found = _run(compile_text(context), root, [root], environment, [])
    except FHIRPathError as error:
        raise _refusal(error, "context") from error
    path = context if context.replace(".", "").isalnum() else f"({context})"
    return [(f"{path}[{number}]", [item]) for number, item in enumerate(found)]


def _run(
    run: Callable[..., Collection], root: Node, start: Collection, environment: Json, traced: list[Json]
) -> Collection:
    def trace(label: str, values: list[Any]) -> None:
        parts = [_part(item) for item in as_collection(values)]
        traced.append({"name": "trace", "valueString": label or "trace", **({"part": parts} if parts else {})})

    entries = root.value.get("entry", ()) if root.type_name == "Bundle" else ()
    targets = {entry["fullUrl"]: entry["resource"] for entry in entries if "fullUrl" in entry and "resource" in entry}
    targets |= {f"{r['resourceType']}/{r['id']}": r for r in targets.values() if "id" in r}
    return evaluate_compiled(
        run, root, context=start, environment=environment, resolve=targets.get, hooks=Hooks(trace=trace)
    )


def _refusal(error: FHIRPathError, name: str) -> InvalidRequest | Unprocessable:
    where = f"Parameters.parameter.where(name = '{name}')"
    if isinstance(error, FHIRPathSyntaxError):
        return InvalidRequest(f"The {name} is not FHIRPath. {error}", expression=where)
    return Unprocessable(f"The {name} can't be evaluated: {error}", expression=where)


def _item(part: Json) -> Item | list[Item]:
    """Return the value of a variable: a resource or an element, nothing if it has none."""
    if "resource" in part:
        return resource_node(part["resource"])
    for name, type_name in types()["Parameters.parameter"].elements["value"].json_names:
        if name in part or "_" + name in part:
            return Node(part.get(name), type_name, part.get("_" + name))
    return []


def _part(item: Item) -> Json:
    """Return an item of a result as a part that is named by its type."""
    part = _typed_part(item)
    try:
        check({"resourceType": "Parameters", "parameter": [part]})
    except InvalidResource:  # an expression can make what FHIR can't carry: half a time, an empty text
        found = to_json(item)
        return _json_part(part["name"], str(found) if isinstance(found, Temporal | Quantity) else found)
    return part


def _typed_part(item: Item) -> Json:
    namespace, type_name = type_of(item)
    if namespace == "System":
        return _system_part(item, type_name)
    if isinstance(item, Node) and type(item.value) is dict and "resourceType" in item.value:
        return {"name": type_name, "resource": item.value}
    extra = item.extra if isinstance(item, Node) else None
    name = value_name(type_name)
    if type_name not in types()["Parameters.parameter"].elements["value"].types:
        return _json_part(type_name, to_json(item))
    found = to_json(item)
    return {
        "name": type_name,
        **({} if found is None else {name: found}),
        **({} if not extra else {"_" + name: extra}),
    }


def _system_part(item: Item, type_name: str) -> Json:
    plain = to_json(item)
    name = _OF_SYSTEM.get(type_name)
    if isinstance(plain, Quantity):
        unit = {"unit": plain.unit} if plain.calendar else {"unit": plain.unit, "system": _UCUM, "code": plain.unit}
        return {"name": "Quantity", "valueQuantity": {"value": plain.value, **unit}}
    if isinstance(plain, Temporal) or type_name == "Long":
        plain = str(plain)
    if name is None:
        return _json_part(type_name, plain)
    return {"name": name, value_name(name): plain}


def _json_part(type_name: str, found: Any) -> Json:
    return {"name": type_name, "extension": [{"url": JSON_VALUE, "valueString": encode(found).decode()}]}


FHIRPATH = BuiltIn(load("fhirpath"), _fhirpath)
