"""The operations a server offers, found by where they are called, https://hl7.org/fhir/R4/operations.html#executing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from conformance.decode import check
from fhir_server.operations.built_in import BuiltIn
from fhir_server.operations.contract import Operation, Resource

AnyOperation: TypeAlias = Operation | BuiltIn
Operations: TypeAlias = Mapping[str, AnyOperation]
"""Operations by the url of their definition."""

_EVERY_TYPE = frozenset(("Resource", "DomainResource"))


def register(operations: Iterable[AnyOperation]) -> Operations:
    """Return operations by url.

    Each definition must be a valid OperationDefinition with the url that it is known by; several may share a code, as
    $everything does, on different types. Raises InvalidResource or ValueError.
    """
    out: dict[str, AnyOperation] = {}
    places: set[tuple[str, str]] = set()
    for operation in operations:
        check(operation.definition)
        code = operation.definition["code"]
        if "url" not in operation.definition:
            raise ValueError(f"${code} has no url")
        for place in _places(operation.definition):
            if (code, place) in places:
                raise ValueError(f"two operations are called ${code}")
            places.add((code, place))
        out[operation.definition["url"]] = operation
    return MappingProxyType(out)


def _places(definition: Resource) -> Iterator[str]:
    if definition["system"]:
        yield ""
    if definition["type"] or definition["instance"]:
        yield from definition.get("resource", ())


def find(operations: Operations, code: str, resource_type: str | None, id_: str | None) -> AnyOperation | None:
    """Return the operation that may be called with this code at this place, or None."""
    for operation in operations.values():
        definition = operation.definition
        if definition["code"] == code and _is_offered(definition, resource_type, id_):
            return operation
    return None


def _is_offered(definition: Resource, resource_type: str | None, id_: str | None) -> bool:
    if resource_type is None:
        return bool(definition["system"])
    if _EVERY_TYPE.isdisjoint(definition.get("resource", ())) and resource_type not in definition.get("resource", ()):
        return False
    return bool(definition["instance" if id_ is not None else "type"])
