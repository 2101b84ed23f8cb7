"""In- and out-parameters of operations, https://hl7.org/fhir/R4/parameters.html and operations.html#executing.

The three input forms (query string, Parameters, a plain resource) become one Parameters resource, checked against the definition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from conformance.decode import check
from conformance.definitions import resource_types, types
from conformance.issues import InvalidResource, Issue
from fhir_server.errors import InvalidRequest
from fhir_server.operations.contract import Resource

_NOT_PARAMETERS = frozenset(("_format", "_pretty", "_summary", "_elements"))
_ABSTRACT = frozenset(("Any", "Resource", "DomainResource"))


def is_resource(type_name: str) -> bool:
    """Tell whether a parameter's type is a resource type (or any resource)."""
    return type_name in _ABSTRACT or type_name in resource_types()


def declared(definition: Resource, use: str) -> dict[str, Any]:
    """Return the declared parameters of one direction (``in`` or ``out``) by name."""
    return {p["name"]: p for p in definition.get("parameter", ()) if p["use"] == use}


def value_name(type_name: str) -> str:
    """Return the property that carries a value of a type: ``valueString`` …"""
    return "value" + type_name[0].upper() + type_name[1:]


def _typed(name: str, type_name: str, text: str) -> Any:
    """Convert a query parameter's text to the JSON value of a primitive type."""
    try:
        if type_name == "boolean":
            return {"true": True, "false": False}[text]
        if type_name in ("integer", "unsignedInt", "positiveInt"):
            return int(text)
        if type_name == "decimal":
            return Decimal(text)
    except (KeyError, ValueError, InvalidOperation) as error:
        raise InvalidRequest(f"{name} must be a {type_name}, not '{text[:80]}'.", code="value") from error
    return text


def from_query(definition: Resource, query: Sequence[tuple[str, str]]) -> Resource:
    """Turn a query string into Parameters; only primitive parameters may travel there."""
    known = declared(definition, "in")
    out = []
    for name, text in query:
        if name in _NOT_PARAMETERS:
            continue
        parameter = known.get(name)
        if parameter is None:
            raise InvalidRequest(f"${definition['code']} has no parameter {name[:80]}.", code="not-supported")
        type_name = parameter.get("type", "")
        if type_name not in types() or types()[type_name].kind != "primitive":
            raise InvalidRequest(f"{name} is a {type_name or 'group'}; send it in a Parameters body.", code="invalid")
        out.append({"name": name, value_name(type_name): _typed(name, type_name, text)})
    return {"resourceType": "Parameters", **({"parameter": out} if out else {})}


def from_resource(definition: Resource, resource: Resource) -> Resource:
    """Take a Parameters resource as it is; wrap another one as the single resource parameter the operation has."""
    if resource["resourceType"] == "Parameters":
        return resource
    slots = [p for p in declared(definition, "in").values() if is_resource(p.get("type", ""))]
    if len(slots) != 1:
        raise InvalidRequest(
            f"${definition['code']} takes a Parameters resource, not a {resource['resourceType']}.", code="structure"
        )
    return {"resourceType": "Parameters", "parameter": [{"name": slots[0]["name"], "resource": resource}]}


def _check_value(given: dict[str, Any], parameter: dict[str, Any], where: str) -> Issue | None:
    type_name = parameter.get("type")
    if type_name is None:  # a group: its parts are checked by the caller
        return None if given.get("part") else Issue("error", "required", f"{given['name']} needs parts.", where)
    if is_resource(type_name):
        resource = given.get("resource")
        if resource is None:
            return Issue("error", "required", f"{given['name']} must be a resource.", where)
        if type_name not in _ABSTRACT and resource["resourceType"] != type_name:
            return Issue("error", "value", f"{given['name']} must be a {type_name}.", where)
        return None
    if value_name(type_name) not in given:
        return Issue("error", "value", f"{given['name']} must carry {value_name(type_name)}.", where)
    return None


def find_issues(parameters: Resource, definition: Resource, use: str) -> list[Issue]:
    """Return what is wrong with Parameters by an operation's definition: unknown names, counts, types."""
    known = declared(definition, use)
    issues: list[Issue] = []
    counts: Counter[str] = Counter()
    for number, given in enumerate(parameters.get("parameter", ())):
        where = f"Parameters.parameter[{number}]"
        counts[given["name"]] += 1
        parameter = known.get(given["name"])
        if parameter is None:
            issues.append(
                Issue("error", "not-supported", f"${definition['code']} has no parameter {given['name'][:80]}.", where)
            )
        elif (issue := _check_value(given, parameter, where)) is not None:
            issues.append(issue)
    for name, parameter in known.items():
        if counts[name] < parameter["min"]:
            issues.append(Issue("error", "required", f"${definition['code']} needs {name}.", "Parameters.parameter"))
        if parameter["max"] != "*" and counts[name] > int(parameter["max"]):
            issues.append(
                Issue("error", "structure", f"{name} may be given {parameter['max']} time(s).", "Parameters.parameter")
            )
    return issues


def check_output(output: Resource, definition: Resource) -> None:
    """Raise InvalidResource when an operation's output is not valid R4 or not what its definition promises."""
    check(output)
    promised = declared(definition, "out")
    only = promised.get("return") if len(promised) == 1 else None
    if only is not None and is_resource(only.get("type", "")):
        if only["type"] not in _ABSTRACT and output["resourceType"] != only["type"]:
            raise InvalidResource([Issue("fatal", "exception", f"the output is a {output['resourceType']}")])
        return
    if output["resourceType"] == "OperationOutcome":
        return
    issues = find_issues(output, definition, "out")
    if issues:
        raise InvalidResource(issues)
