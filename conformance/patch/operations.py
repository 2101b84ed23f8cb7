"""The operations of a FHIRPath Patch, read from its Parameters, https://hl7.org/fhir/R4/fhirpatch.html#concept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from conformance.decode import check, decode
from conformance.definitions import types
from conformance.issues import InvalidResource, Issue
from conformance.patch.errors import MalformedPatch, malformed
from conformance.xml import from_xml

MAX_OPERATIONS = 1_000

# What each type of operation needs beside its path.
_PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "add": ("name", "value"),
        "insert": ("value", "index"),
        "delete": (),
        "replace": ("value",),
        "move": ("source", "destination"),
    }
)
_PROPERTIES = {"name": "valueString", "index": "valueInteger", "source": "valueInteger", "destination": "valueInteger"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; which of the fields it has depends on its type. ``value`` is the Parameters' part that holds it."""

    type: str
    path: str
    expression: str
    name: str = ""
    value: Mapping[str, Any] | None = None
    index: int = 0
    source: int = 0
    destination: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """A value from the Parameters: its FHIR type, its JSON, and the object beside it where it is a primitive."""

    type: str
    value: Any
    extra: Any = None


def read_json(body: bytes) -> dict[str, Any]:
    """Return the checked Parameters of a JSON body."""
    return _refuse_malformed(lambda: decode(body, "Parameters"))


def read_xml(body: bytes) -> dict[str, Any]:
    """Return the checked Parameters of an XML body."""

    def read() -> dict[str, Any]:
        resource = from_xml(body)
        if resource["resourceType"] != "Parameters":
            raise malformed(f"A FHIRPath Patch is a Parameters resource, found {resource['resourceType']}.")
        check(resource)
        return resource

    return _refuse_malformed(read)


def _refuse_malformed(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except InvalidResource as error:
        raise MalformedPatch(error.issues) from error


def parse_operations(parameters: dict[str, Any]) -> list[Operation]:
    """Return the operations in order. Raises MalformedPatch with all issues, placed in the Parameters."""
    given = parameters.get("parameter", [])
    if len(given) > MAX_OPERATIONS:
        raise malformed(f"The patch has more than {MAX_OPERATIONS} operations.", code="too-long")
    operations: list[Operation] = []
    issues: list[Issue] = []
    for number, parameter in enumerate(given):
        try:
            operations.append(_parse(parameter, f"Parameters.parameter[{number}]"))
        except MalformedPatch as error:
            issues += error.issues
    if issues:
        raise MalformedPatch(issues)
    return operations


def _parse(parameter: Mapping[str, Any], expression: str) -> Operation:
    if parameter["name"] != "operation":
        raise malformed(f"Every parameter is an 'operation', found '{parameter['name'][:40]}'.", expression)
    parts: dict[str, Mapping[str, Any]] = {}
    for number, part in enumerate(parameter.get("part", ())):
        if part["name"] in parts:
            here = f"{expression}.part[{number}]"
            raise malformed(f"The part '{part['name'][:40]}' occurs more than once.", here)
        parts[part["name"]] = part
    kind, path = parts.pop("type", {}), parts.pop("path", {})
    code = kind.get("valueCode", kind.get("valueString"))
    if code not in _PARTS:
        raise malformed(f"The part 'type' is a valueCode, one of {', '.join(_PARTS)}.", expression, code="value")
    if "valueString" not in path:
        raise malformed(f"{code} needs a part 'path' with a valueString.", expression, code="required")
    if unknown := parts.keys() - set(_PARTS[code]):
        raise malformed(f"{code} has no part '{min(unknown)[:40]}'.", expression)
    found: dict[str, Any] = {}
    for name in _PARTS[code]:
        key = _PROPERTIES.get(name)
        if name not in parts or (key is not None and key not in parts[name]):
            needed = f"{code} needs a part '{name}'" + (f" with a {key}." if key else ".")
            raise malformed(needed, expression, code="required")
        found[name] = parts[name] if key is None else parts[name][key]
    return Operation(code, path["valueString"], expression, **found)


@cache
def _value_types() -> Mapping[str, str]:
    """Return the FHIR type of each property that ``Parameters.parameter.value[x]`` may be."""
    return MappingProxyType(dict(types()["Parameters.parameter"].elements["value"].json_names))


def read_value(part: Mapping[str, Any]) -> Given | None:
    """Return the value that a part holds; None when it holds parts, which stand for the elements of a value."""
    if "resource" in part:
        return Given(part["resource"]["resourceType"], part["resource"])
    for key in part:
        type_name = _value_types().get(key.removeprefix("_"))
        if type_name is not None:
            name = key.removeprefix("_")
            return Given(type_name, part.get(name), part.get("_" + name))
    return None
