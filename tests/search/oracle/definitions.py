"""The SearchParameters of a resource type as the specification lists them.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from conformance.definitions import SearchParameter, search_parameters, types
from conformance.fhirpath import compile_path

Pairs = list[tuple[str, Any]]
# Not DomainResources, so without ``_text``.
_PLAIN = frozenset(("Bundle", "Binary", "Parameters"))


@cache
def parameters_of(resource_type: str) -> Mapping[str, SearchParameter]:
    """Return the parameters of a type by code, those of every type included."""
    bases = {"Resource", resource_type} | (set() if resource_type in _PLAIN else {"DomainResource"})
    return {p.code: p for p in search_parameters() if bases & set(p.base)}


@cache
def by_url() -> Mapping[str, SearchParameter]:
    """Return all parameters by canonical URL."""
    return {p.url: p for p in search_parameters()}


@cache
def _path(expression: str, type_name: str) -> Callable[[dict[str, Any]], Pairs]:
    # ``value.as(DateTime)`` in Observation-code-value-date: no such type in R4, ``dateTime`` is meant.
    return compile_path(expression.replace("as(DateTime)", "as(dateTime)"), type_name)


def evaluate(expression: str, type_name: str, value: dict[str, Any]) -> Pairs:
    """Return the (FHIR type, JSON value) pairs of an expression; an extension stands for its value."""
    return [_unwrapped(pair) for pair in _path(expression, type_name)(value)]


def _unwrapped(pair: tuple[str, Any]) -> tuple[str, Any]:
    if pair[0] != "Extension":
        return pair
    names = dict(types()["Extension"].elements["value"].json_names)
    found = [(names[name], value) for name, value in pair[1].items() if name in names]
    return found[0] if found else ("Extension", None)


def component_parameter(url: str) -> SearchParameter:
    """Return the parameter that a component of a composite compares by."""
    return replace(by_url()[url])
