"""The operations a server offers, found by where they are called, https://hl7.org/fhir/R4/operations.html#executing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from conformance.decode import check
from fhir_server.operations.contract import Operation


def register(operations: Iterable[Operation]) -> Mapping[str, Operation]:
    """Return operations by code.

    Each definition must be a valid OperationDefinition with a code of its own and the url that it is known by. Raises
    InvalidResource or ValueError.
    """
    out: dict[str, Operation] = {}
    for operation in operations:
        check(operation.definition)
        code = operation.definition["code"]
        if code in out:
            raise ValueError(f"two operations are called ${code}")
        if "url" not in operation.definition:
            raise ValueError(f"${code} has no url")
        out[code] = operation
    return MappingProxyType(out)


def find(
    operations: Mapping[str, Operation], code: str, resource_type: str | None, id_: str | None
) -> Operation | None:
    """Return the operation that may be called with this code at this place, or None."""
    operation = operations.get(code)
    if operation is None:
        return None
    definition = operation.definition
    if resource_type is None:
        return operation if definition["system"] else None
    if not {resource_type, "Resource", "DomainResource"} & set(definition.get("resource", ())):
        return None
    return operation if definition["instance" if id_ is not None else "type"] else None
