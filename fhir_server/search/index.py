"""From a resource to its index entries, https://hl7.org/fhir/R4/search.html#Introduction.

Pure and quick, since every write runs it: a plan made once per tenant and type says, for each JSON property of the
resource, which branches of which parameters to evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

from conformance.definitions import types
from conformance.fhirpath import FHIRPathError, compile_path
from fhir_server.search.composite import extractions
from fhir_server.search.composite_definition import Tuples
from fhir_server.search.kinds import KINDS
from fhir_server.search.registry import Parameter, SearchParameters, standard
from fhir_server.search.slot import Extract, Slot, Wider, slot
from fhir_server.search.unequal import add_common
from fhir_server.store.entries import IndexEntries
from fhir_server.store.index_state import INDEX_FORMAT

__all__ = ["INDEX_FORMAT", "index", "values_of"]

_MOST_PLANS = 4096

Evaluate = Callable[[dict[str, Any]], list[tuple[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Step:
    evaluate: Evaluate
    extract: Extract
    slot: Slot
    marked: bool
    wider: Wider | None = None
    # Whether other steps read values of the same parameter.
    shared: bool = False


_Listed = dict[int, list[tuple[_Step, list[tuple[str, Any]], list[int]]]]
"""By a parameter's mark of presence, where it may have several values: what steps found, and between which of the tokens
each value's own are."""


@dataclass(frozen=True, slots=True)
class _Plan:
    always: tuple[_Step, ...]
    by_key: Mapping[str, tuple[_Step, ...]]


def index(
    resource_type: str,
    resource: dict[str, Any],
    tenant: int,
    parameters: SearchParameters | None = None,
    base_url: str = "",
    container: str = "",
) -> IndexEntries:
    """Return a resource's index entries. A value that no index can hold is left out; nothing is raised for it.

    References below ``base_url`` count as those to ``Type/id``. ``container`` is the ``Type/id`` of what contains the
    resource; without, it stands by itself.
    """
    plan = _known_plan(resource_type, tenant, parameters or standard())
    if not container and "id" in resource:
        container = f"{resource_type}/{resource['id']}"
    entries = IndexEntries(base=f"{base_url}/" if base_url else "", container=container)
    listed: _Listed = {}
    for step in plan.always:
        _run(step, resource, entries, listed)
    by_key = plan.by_key
    for key in resource:
        for step in by_key.get(key, ()):
            _run(step, resource, entries, listed)
    for runs in listed.values():
        _add_common(runs, entries)
    entries.tokens = list(dict.fromkeys(entries.tokens))
    entries.strings = list(dict.fromkeys(entries.strings))
    entries.dates = list(dict.fromkeys(entries.dates))
    entries.numbers = list(dict.fromkeys(entries.numbers))
    return entries


def _run(step: _Step, resource: dict[str, Any], entries: IndexEntries, listed: _Listed) -> None:
    try:
        found = step.evaluate(resource)
    except (FHIRPathError, ArithmeticError):
        return  # the expression of a tenant's own parameter, which doesn't suit this resource
    if found and step.marked:
        entries.tokens.append(step.slot.present)
    bounds: list[int] | None = None
    if step.wider is not None and found and (step.shared or len(found) > 1):
        bounds = []
        listed.setdefault(step.slot.present, []).append((step, found, bounds))
    for fhir_type, value in found:
        if bounds is not None:
            bounds.append(len(entries.tokens))
        if fhir_type == "Extension":
            typed = _extension_value(value)
            if typed is None:
                continue
            fhir_type, value = typed  # noqa: PLW2901 - the parameter means the extension's value
        try:
            step.extract(step.slot, fhir_type, value, entries)
        except (ValueError, FHIRPathError, ArithmeticError):
            continue  # an odd date or an unpaired surrogate: stored as it is, but not findable by it
    if bounds is not None:
        bounds.append(len(entries.tokens))


def _add_common(runs: Sequence[tuple[_Step, list[tuple[str, Any]], list[int]]], entries: IndexEntries) -> None:
    """Add what all values of one parameter have in common, if there are several."""
    if sum(len(found) for _, found, _ in runs) > 1:
        each = [
            [*entries.tokens[start:end], *_wider(step, *pair, entries.base)]
            for step, found, bounds in runs
            for pair, (start, end) in zip(found, pairwise(bounds), strict=True)
        ]
        add_common(runs[0][0].slot, each, entries.tokens)


def _wider(step: _Step, fhir_type: str, value: Any, base: str) -> Sequence[int]:
    assert step.wider is not None  # noqa: S101 - else nothing of it is listed
    typed = _extension_value(value) if fhir_type == "Extension" else (fhir_type, value)
    try:
        return step.wider(step.slot, *typed, base) if typed else ()
    except ValueError:
        return ()  # an unpaired surrogate


def _known_plan(resource_type: str, tenant: int, parameters: SearchParameters) -> _Plan:
    """Return the plan of a type; it is kept with the set of parameters, so that it goes when they go."""
    plans: dict[tuple[str, int], _Plan] = parameters.plans
    plan = plans.get((resource_type, tenant))
    if plan is None:
        if len(plans) >= _MOST_PLANS:
            plans.clear()
        plan = plans[resource_type, tenant] = _plan(resource_type, tenant, parameters)
    return plan


def _plan(resource_type: str, tenant: int, parameters: SearchParameters) -> _Plan:
    always: list[_Step] = []
    by_key: dict[str, list[_Step]] = {}

    def add(step: _Step, keys: Sequence[str] | None) -> None:
        if keys is None:
            always.append(step)
        for key in keys or ():
            by_key.setdefault(key, []).append(step)

    combined: set[str] = set()
    for parameter in parameters.of(resource_type).values():
        if not parameter.indexed:
            continue
        if parameter.type == "composite":
            for context, extract, own in extractions(parameter, tenant, parameters):
                if context.name not in combined:
                    combined.add(context.name)
                    add(_Step(_elements(context, resource_type), extract, own, marked=False), context.keys or None)
            continue
        place, kind = slot(tenant, parameter), KINDS[parameter.type]
        for branch in parameter.branches:
            evaluate = _evaluate(branch.expression, resource_type)
            several = len(parameter.branches) > 1
            add(_Step(evaluate, kind.extract, place, kind.present is None, kind.wider, several), branch.keys)
    return _Plan(tuple(always), {key: tuple(steps) for key, steps in by_key.items()})


def _elements(context: Tuples, resource_type: str) -> Evaluate:
    if context.expression is None:
        return lambda resource: [(resource_type, resource)]
    return _evaluate(context.expression, resource_type)


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
