"""From a resource to its index entries, https://hl7.org/fhir/R4/search.html#Introduction.

Pure and quick, since every write runs it: a plan made once per tenant and type says, for each JSON property of the
resource, which branches of which parameters to evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from conformance.definitions import types
from conformance.fhirpath import compile_path
from fhir_server.search.kinds import KINDS
from fhir_server.search.registry import Parameter, SearchParameters, standard
from fhir_server.search.slot import Extract, Slot, slot
from fhir_server.store.entries import IndexEntries

Evaluate = Callable[[dict[str, Any]], list[tuple[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Step:
    evaluate: Evaluate
    extract: Extract
    slot: Slot
    marked: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    always: tuple[_Step, ...]
    by_key: Mapping[str, tuple[_Step, ...]]


def index(
    resource_type: str, resource: dict[str, Any], tenant: int, parameters: SearchParameters | None = None
) -> IndexEntries:
    """Return a resource's index entries. A value that no index can hold is left out; nothing is raised for it."""
    plan = _plan(resource_type, tenant, parameters or standard())
    entries = IndexEntries()
    for step in plan.always:
        _run(step, resource, entries)
    by_key = plan.by_key
    for key in resource:
        for step in by_key.get(key, ()):
            _run(step, resource, entries)
    entries.tokens = list(dict.fromkeys(entries.tokens))
    entries.strings = list(dict.fromkeys(entries.strings))
    entries.dates = list(dict.fromkeys(entries.dates))
    entries.numbers = list(dict.fromkeys(entries.numbers))
    return entries


def _run(step: _Step, resource: dict[str, Any], entries: IndexEntries) -> None:
    found = step.evaluate(resource)
    if found and step.marked:
        entries.tokens.append(step.slot.present)
    for fhir_type, value in found:
        if fhir_type == "Extension":
            typed = _extension_value(value)
            if typed is None:
                continue
            fhir_type, value = typed  # noqa: PLW2901 - the parameter means the extension's value
        try:
            step.extract(step.slot, fhir_type, value, entries)
        except ValueError:
            continue  # an odd date or an unpaired surrogate: stored as it is, but not findable by it


@lru_cache(maxsize=4096)
def _plan(resource_type: str, tenant: int, parameters: SearchParameters) -> _Plan:
    always: list[_Step] = []
    by_key: dict[str, list[_Step]] = {}
    for parameter in parameters.of(resource_type).values():
        if not parameter.indexed:
            continue
        place, kind = slot(tenant, parameter), KINDS[parameter.type]
        for branch in parameter.branches:
            evaluate = _evaluate(branch.expression, resource_type)
            step = _Step(evaluate, kind.extract, place, kind.present is None)
            if branch.keys is None:
                always.append(step)
            for key in branch.keys or ():
                by_key.setdefault(key, []).append(step)
    return _Plan(tuple(always), {key: tuple(steps) for key, steps in by_key.items()})


@lru_cache(maxsize=8192)
def _evaluate(expression: str, resource_type: str) -> Evaluate:
    return compile_path(expression, resource_type)


def values_of(parameter: Parameter, resource: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the (FHIR type, JSON value) pairs that a parameter finds in a resource."""
    for branch in parameter.branches:
        yield from _evaluate(branch.expression, parameter.resource_type)(resource)


@cache
def _value_properties() -> Mapping[str, str]:
    return dict(types()["Extension"].elements["value"].json_names)


def _extension_value(extension: dict[str, Any]) -> tuple[str, Any] | None:
    for name, value in extension.items():
        if name.startswith("value") and name in _value_properties():
            return _value_properties()[name], value
    return None
