"""From a chained parameter as written to its condition, https://hl7.org/fhir/R4/search.html#chaining.

A step whose reference may point to several types means any of them that can be searched by the rest of the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from conformance.definitions import resource_types
from fhir_server.search.chain import Chain, Target
from fhir_server.search.condition import Condition
from fhir_server.search.criteria import bind_criterion
from fhir_server.search.environment import Environment
from fhir_server.search.errors import Unsupported
from fhir_server.search.query import Criterion, Forward
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import slot

# Compilation nests some sixty Python frames for each step, out of a thousand.
MOST_STEPS = 8
MOST_SUBSELECTS = 200
_TYPES = frozenset(resource_types())
# A canonical leads to a resource by its ``url`` and an inline resource to itself, neither by ``Type/id``.
_FOLLOWED = frozenset(("Reference", "Extension"))


@dataclass(frozen=True, slots=True)
class _Lacking:
    """A type can't be searched by the rest of a chain; the reason names the parameter that is missing."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Found:
    """The condition for the rest of a chain, and how many subselects it takes."""

    condition: Condition
    subselects: int


@dataclass(frozen=True, slots=True)
class _Steps:
    """A chain being bound; ``known`` keeps what the rest of it, from a step on, means for a type."""

    criterion: Criterion
    path: tuple[Forward, ...]
    environment: Environment
    known: dict[tuple[str, int], _Found | _Lacking] = field(default_factory=dict)

    def bind(self, resource_type: str, number: int) -> _Found | _Lacking:
        """Return what the chain means from a step on, for a type."""
        place = resource_type, number
        if place not in self.known:
            last = number == len(self.path) - 1
            self.known[place] = self._last(resource_type) if last else self._follow(resource_type, number)
        return self.known[place]

    def _last(self, resource_type: str) -> _Found | _Lacking:
        code = self.path[-1].name
        if code not in self.environment.parameters.of(resource_type):
            return _Lacking(f"{resource_type} has no search parameter '{code}'")
        compared = Criterion(self.path[-1:], self.criterion.values, self.criterion.name, self.criterion.value)
        return _Found(bind_criterion(resource_type, compared, self.environment), 0)

    def _follow(self, resource_type: str, number: int) -> _Found | _Lacking:
        step = self.path[number]
        parameter = self.environment.parameters.of(resource_type).get(step.name)
        if parameter is None or parameter.type != "reference" or not parameter.indexed:
            return _Lacking(f"{resource_type} has no reference parameter '{step.name}' that can be used")
        if not _can_be_followed(parameter):
            return _Lacking(f"'{step.name}' of {resource_type} holds no references that a chain can follow")
        if step.modifier is not None and parameter.targets and step.modifier not in parameter.targets:
            return _Lacking(f"'{step.name}' of {resource_type} never refers to {step.modifier}")
        types = (step.modifier,) if step.modifier else parameter.targets or resource_types()
        return self._union(parameter, types, number + 1)

    def _union(self, parameter: Parameter, types: Sequence[str], number: int) -> _Found | _Lacking:
        targets: list[Target] = []
        lacking: list[_Lacking] = []
        subselects = 0
        for resource_type in types:
            rest = self.bind(resource_type, number)
            if isinstance(rest, _Lacking):
                lacking.append(rest)
                continue
            targets.append(Target(resource_type, rest.condition))
            subselects += 1 + rest.subselects
            if subselects > MOST_SUBSELECTS:
                raise Unsupported(
                    f"it can go more than {MOST_SUBSELECTS} ways; name the types, as in 'subject:Patient'"
                )
        if targets:
            return _Found(Chain(slot(self.environment.tenant, parameter).salt, tuple(targets)), subselects)
        if len(lacking) == 1:
            return lacking[0]
        rest_of_name = ".".join(step.name for step in self.path[number:])
        origin = f"{parameter.resource_type}.{parameter.code}"
        return _Lacking(f"none of the types that {origin} refers to has the search parameter '{rest_of_name}'")


def bind_chain(resource_type: str, criterion: Criterion, environment: Environment) -> Condition:
    """Return the condition of a criterion of several steps.

    Raises InvalidSearch for a bad value; Unsupported, naming the whole chain, for what the server can't use.
    """
    try:
        found = _Steps(criterion, _forward(criterion), environment).bind(resource_type, 0)
    except Unsupported as reason:
        raise _unusable(criterion, str(reason)) from reason
    if isinstance(found, _Lacking):
        raise _unusable(criterion, found.reason)
    return found.condition


def _unusable(criterion: Criterion, reason: str) -> Unsupported:
    return Unsupported(f"Chained parameter '{criterion.name}' can't be used: {reason.removesuffix('.')}.")


def _forward(criterion: Criterion) -> tuple[Forward, ...]:
    path = tuple(step for step in criterion.path if isinstance(step, Forward))
    if len(path) < len(criterion.path):
        raise Unsupported("'_has' can't be used yet")
    if len(path) > MOST_STEPS:
        raise Unsupported(f"it has more than {MOST_STEPS} steps")
    for step in path[:-1]:
        if step.modifier is not None and step.modifier not in _TYPES:
            raise Unsupported(f"':{step.modifier}' on '{step.name}' is no resource type")
    return path


def _can_be_followed(parameter: Parameter) -> bool:
    return any(b.element is None or _FOLLOWED.intersection(b.element.types) for b in parameter.branches)
