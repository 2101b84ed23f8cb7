"""In-parameters of an operation by name, https://hl7.org/fhir/R4/parameters.html."""

from __future__ import annotations

from typing import Any

from fhir_server.operations.contract import Context, Invocation, OperationError, Resource


def values_of(invocation: Invocation, name: str) -> list[Any]:
    """Return the values (or resources) of every parameter called ``name``; 400 for one without a value."""
    found = []
    for parameter in invocation.parameters.get("parameter", ()):
        if parameter.get("name") == name:
            value = parameter.get("resource") or next((v for k, v in parameter.items() if k.startswith("value")), None)
            if value is None:
                raise OperationError(400, "required", f"parameter {name} has no value", "Parameters.parameter.value")
            found.append(value)
    return found


def flag_of(invocation: Invocation, name: str) -> bool:
    """Return a boolean parameter, false when absent; 400 for anything but a boolean."""
    values = values_of(invocation, name)
    if not values:
        return False
    if len(values) > 1 or values[0] not in (True, False, "true", "false"):
        raise OperationError(400, "value", f"parameter {name} must be one boolean", "Parameters.parameter.value")
    return values[0] in (True, "true")


def count_of(invocation: Invocation, name: str, default: int, maximum: int) -> int:
    """Return a positive integer parameter up to ``maximum``; 400 for anything else."""
    values = values_of(invocation, name)
    if not values:
        return default
    text = str(values[0])
    if len(values) > 1 or not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= maximum:
        raise OperationError(400, "value", f"parameter {name} must be 1 to {maximum}", "Parameters.parameter.value")
    return int(text)


def reference_of(value: Any, resource_type: str) -> str:
    """Return ``Type/id`` of a Reference, a reference string or a bare id; 400 for another type or no id."""
    text = value.get("reference", "") if isinstance(value, dict) else str(value)
    parts = str(text).split("/_history/")[0].rstrip("/").split("/")
    kind = parts[-2] if len(parts) > 1 else resource_type
    if kind != resource_type or not parts[-1]:
        raise OperationError(400, "value", f"{text!r} is not a reference to one {resource_type}")
    return f"{kind}/{parts[-1]}"


async def read_required(context: Context, reference: str) -> Resource:
    """Read a resource; 404 when it is not there."""
    resource = await context.read(reference)
    if resource is None:
        raise OperationError(404, "not-found", f"{reference} is not known")
    return resource
