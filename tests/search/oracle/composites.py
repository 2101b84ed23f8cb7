"""Composite parameters, https://hl7.org/fhir/R4/search.html#combining: all components in the same element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance.definitions import SearchParameter
from tests.search.oracle.definitions import component_parameter, evaluate
from tests.search.oracle.written import split

if TYPE_CHECKING:
    from tests.search.oracle.plain_search import PlainSearch


def elements(resource: dict[str, Any], parameter: SearchParameter) -> list[tuple[str, dict[str, Any]]]:
    """Return (type, element) of each element that the components are looked for in."""
    resource_type = resource["resourceType"]
    found = []
    for branch in (parameter.expression or "").split("|"):
        path = branch.strip()
        if path == resource_type:
            found.append((resource_type, resource))
        elif path.startswith(resource_type + "."):
            found += [
                (path if "." in kind or kind == "BackboneElement" else kind, value)
                for kind, value in evaluate(path, resource_type, resource)
            ]
    return found


def holds(search: PlainSearch, number: int, parameter: SearchParameter, text: str) -> bool:
    """Tell whether an element of a resource fulfils all parts of one alternative, ``code$value``."""
    resource = search.resources[number]
    parts = split(text, "$")
    return any(
        all(
            any(
                search.holds(number, component_parameter(url), None, pair, part)
                for pair in evaluate(expression, type_name, element)
            )
            for (url, expression), part in zip(parameter.component, parts, strict=True)
        )
        for type_name, element in elements(resource, parameter)
    )
