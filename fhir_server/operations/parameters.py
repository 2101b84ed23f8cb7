"""In- and out-parameters of operations, https://hl7.org/fhir/R4/parameters.html and operations.html#executing.

The three input forms (query string, Parameters, a plain resource) become one Parameters resource, which is checked
against the definition.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from conformance.decode import check, encode
from conformance.definitions import resource_types, types
from conformance.issues import InvalidResource, Issue
from fhir_server.errors import InvalidRequest
from fhir_server.operations.contract import Resource

ANY_NAME = "*"
"""The name of a declared part that stands for parts of any name and content."""

_NOT_PARAMETERS = frozenset(("_format", "_pretty", "_summary", "_elements"))
_ABSTRACT = frozenset(("Any", "Resource", "DomainResource"))
_ANY_VALUE = frozenset(("Type", "Element"))
_WHOLE = frozenset(("integer", "unsignedInt", "positiveInt"))
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")


def is_resource(type_name: str) -> bool:
    """Tell whether a parameter's type is a resource type (or any resource)."""
    return type_name in _ABSTRACT or type_name in resource_types()


def declared(definition: Resource, use: str) -> dict[str, Any]:
    """Return the declared parameters of one direction (``in`` or ``out``) by name."""
    return {p["name"]: p for p in definition.get("parameter", ()) if p["use"] == use}


def value_name(type_name: str) -> str:
    """Return the property that carries a value of a type, such as ``valueString``."""
    return "value" + type_name[0].upper() + type_name[1:]


def _typed(type_name: str, text: str) -> Any:
    """Return a query parameter's text as the JSON value of a primitive type; as it is where it can't be one."""
    if type_name == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if type_name in _WHOLE and _INTEGER.fullmatch(text):
        return int(text)
    if type_name == "decimal" and _DECIMAL.fullmatch(text):
        return Decimal(text)
    return text


def from_query(definition: Resource, query: Sequence[tuple[str, str]]) -> Resource:
    """Turn a query string into Parameters; only primitive parameters may travel there.

    Raises InvalidRequest for others and for unknown ones, InvalidResource for values that are not of their type.
    """
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
        out.append({"name": name, value_name(type_name): _typed(type_name, text)})
    parameters = {"resourceType": "Parameters", **({"parameter": out} if out else {})}
    check(parameters)
    return parameters


def split(
    definition: Resource, query: Sequence[tuple[str, str]], allowed: frozenset[str] | None
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Part a query string into what may be declared parameters and what else is ``allowed`` (None: all that isn't declared)."""
    known = declared(definition, "in")
    own: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    for pair in query:
        name = pair[0]
        extra = name not in known and name not in _NOT_PARAMETERS and (allowed is None or name in allowed)
        (others if extra else own).append(pair)
    return own, others


def take_others(definition: Resource, parameters: Resource) -> tuple[Resource, list[tuple[str, str]]]:
    """Take what the definition doesn't declare out of Parameters, as (name, text) pairs; groups and resources stay."""
    known = declared(definition, "in")
    own: list[dict[str, Any]] = []
    others: list[tuple[str, str]] = []
    for given in parameters.get("parameter", ()):
        text = None if given.get("name") in known else _text(given)
        if text is None:
            own.append(given)
        else:
            others.append((given.get("name", ""), text))
    rest = {name: value for name, value in parameters.items() if name != "parameter"}
    return {**rest, "parameter": own} if own else rest, others


def _text(given: Mapping[str, Any]) -> str | None:
    """Return the text of a primitive value, as a query string would carry it."""
    value = next((v for name, v in given.items() if name.startswith("value")), None)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | Decimal) else None


def values(parameters: Resource, name: str) -> list[Any]:
    """Return the values of a parameter, in order: of whatever type, or the resource it carries."""
    return [
        value
        for given in parameters.get("parameter", ())
        if given.get("name") == name
        for key, value in given.items()
        if key.startswith("value") or key == "resource"
    ]


def value(parameters: Resource, name: str) -> Any:
    """Return the value of a parameter that may be given once, or None."""
    return next(iter(values(parameters, name)), None)


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
    if type_name is None:  # a group
        return None if given.get("part") else Issue("error", "required", f"{given['name']} needs parts.", where)
    if type_name in _ANY_VALUE:
        if any(name.startswith("value") for name in given):
            return None
        return Issue("error", "required", f"{given['name']} must carry a value.", where)
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
    owner, known = f"${definition['code']}", declared(definition, use)
    return list(_find_issues(parameters.get("parameter", ()), known, owner, "Parameters.parameter"))


def _find_issues(
    all_given: Sequence[dict[str, Any]], known: Mapping[str, dict[str, Any]], owner: str, path: str
) -> Iterator[Issue]:
    """Yield what is wrong with parameters, or with the parts of one, called ``owner``, at the FHIRPath ``path``."""
    counts: Counter[str] = Counter()
    for number, given in enumerate(all_given):
        where, name = f"{path}[{number}]", given.get("name", "")
        counts[name] += 1
        parameter = known.get(name)
        if parameter is None and ANY_NAME in known:
            continue
        if parameter is None:
            yield Issue("error", "not-supported", f"{owner} has no parameter '{name[:80]}'.", where)
            continue
        issue = _check_value(given, parameter, where)
        if issue is not None:
            yield issue
        elif "type" not in parameter:
            parts = {p["name"]: p for p in parameter.get("part", ())}
            yield from _find_issues(given["part"], parts, f"{owner}.{name}", f"{where}.part")
    for name, parameter in known.items():
        if counts[name] < parameter["min"]:
            yield Issue("error", "required", f"{owner} needs {name}.", path)
        if parameter["max"] != "*" and counts[name] > int(parameter["max"]):
            yield Issue("error", "structure", f"{name} may be given {parameter['max']} time(s).", path)


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


def encode_output(output: Resource, definition: Resource) -> bytes:
    """Return an operation's output as JSON. Raises RuntimeError when it isn't what the definition promises."""
    try:
        check_output(output, definition)
    except InvalidResource as broken:
        # The handler broke its promise: a defect of the server, not of the request.
        raise RuntimeError(f"${definition['code']} made invalid output: {broken}") from broken
    return encode(output)
