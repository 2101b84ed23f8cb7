"""From a chained parameter as written to its condition, https://hl7.org/fhir/R4/search.html#chaining.

Steps lead along references or, as ``_has``, against them. A step whose reference may point to several types means any
of them that can be searched by the rest of the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field

from conformance.definitions import resource_types
from fhir_server.search.chain import Chain, Target
from fhir_server.search.condition import AllOf, AnyOf, Condition, Not
from fhir_server.search.criteria import bind_criterion
from fhir_server.search.environment import Environment
from fhir_server.search.errors import Unsupported
from fhir_server.search.listed import NAME as LIST
from fhir_server.search.listed import bind_list
from fhir_server.search.query import Criterion, Forward, Reverse
from fhir_server.search.registry import Parameter
from fhir_server.search.reverse import Has
from fhir_server.search.slot import slot

# Compilation nests some sixty Python frames for each step, out of a thousand.
MOST_STEPS = 8
MOST_SUBSELECTS = 200
_TYPES = frozenset(resource_types())
# A Reference leads to ``Type/id``, a canonical to the resource with that ``url``, an inline resource only to itself.
_REFERENCES = frozenset(("Reference", "Extension"))
_CANONICAL = "canonical"
BindLast = Callable[[str], Condition]
"""Binds the end of a path for one of the types that it leads to."""


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

    path: tuple[Forward | Reverse, ...]
    bind_last: BindLast
    environment: Environment
    known: dict[tuple[str, int], _Found | _Lacking] = field(default_factory=dict)

    def bind(self, resource_type: str, number: int) -> _Found | _Lacking:
        """Return what the chain means from a step on, for a type."""
        place = resource_type, number
        if place not in self.known:
            self.known[place] = self._bind(resource_type, number)
        return self.known[place]

    def _bind(self, resource_type: str, number: int) -> _Found | _Lacking:
        step = self.path[number]
        if isinstance(step, Reverse):
            return self._return(resource_type, step, number)
        return self._last(resource_type, step) if number == len(self.path) - 1 else self._follow(resource_type, number)

    def _last(self, resource_type: str, step: Forward) -> _Found | _Lacking:
        if step.name != LIST and step.name not in self.environment.parameters.of(resource_type):
            return _Lacking(f"{resource_type} has no search parameter '{step.name}'")
        try:
            condition = self.bind_last(resource_type)
        except Unsupported as reason:
            return _Lacking(str(reason))
        return _Found(condition, subselects(condition))

    def _return(self, resource_type: str, step: Reverse, number: int) -> _Found | _Lacking:
        """Bind a step against a reference, from a type to what refers to it."""
        parameter = self._reference(step.resource_type, step.reference)
        if isinstance(parameter, _Lacking):
            return parameter
        if not _element_types(parameter, _REFERENCES):
            return _Lacking(f"'{step.reference}' of {step.resource_type} holds no references that '_has' can follow")
        if parameter.targets and resource_type not in parameter.targets:
            return _Lacking(f"'{step.reference}' of {step.resource_type} never refers to {resource_type}")
        rest = self.bind(step.resource_type, number + 1)
        if isinstance(rest, _Lacking):
            return rest
        salt = slot(self.environment.tenant, parameter).salt
        return _Found(Has(salt, Target(step.resource_type, rest.condition)), rest.subselects + 1)

    def _reference(self, resource_type: str, code: str) -> Parameter | _Lacking:
        parameter = self.environment.parameters.of(resource_type).get(code) if resource_type in _TYPES else None
        if parameter is None or parameter.type != "reference" or not parameter.indexed:
            return _Lacking(f"{resource_type or 'no type'} has no reference parameter '{code}' that can be used")
        return parameter

    def _follow(self, resource_type: str, number: int) -> _Found | _Lacking:
        step = self.path[number]
        assert isinstance(step, Forward)  # noqa: S101 - as _bind has seen
        parameter = self._reference(resource_type, step.name)
        if isinstance(parameter, _Lacking):
            return parameter
        if not _element_types(parameter, _REFERENCES | {_CANONICAL}):
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
            ways = list(self._ways(parameter, resource_type, rest.condition))
            targets += ways
            subselects += len(ways) * (1 + rest.subselects)
            if subselects > MOST_SUBSELECTS:
                raise Unsupported(
                    f"it can go more than {MOST_SUBSELECTS} ways; name the types, as in 'subject:Patient'"
                )
        if targets:
            return _Found(Chain(slot(self.environment.tenant, parameter).salt, tuple(targets)), subselects)
        if len(lacking) == 1:
            return lacking[0]
        rest_of_name = ".".join(_written(step) for step in self.path[number:])
        origin = f"{parameter.resource_type}.{parameter.code}"
        return _Lacking(f"none of the types that {origin} refers to has the search parameter '{rest_of_name}'")

    def _ways(self, parameter: Parameter, resource_type: str, wanted: Condition) -> Iterator[Target]:
        """Yield how a reference gets to resources of a type: by their id, and if it can be canonical by their url."""
        if _element_types(parameter, _REFERENCES):
            yield Target(resource_type, wanted)
        url = self.environment.parameters.of(resource_type).get("url")
        if _element_types(parameter, {_CANONICAL}) and url is not None and url.type == "uri" and url.indexed:
            yield Target(resource_type, wanted, url_salt=slot(self.environment.tenant, url).salt)


def bind_path(
    resource_type: str, path: tuple[Forward | Reverse, ...], bind_last: BindLast, environment: Environment
) -> Condition:
    """Return the condition of a path, at whose end ``bind_last`` binds the last step for each type that it leads to.

    Raises Unsupported for what the server can't use.
    """
    if len(path) > MOST_STEPS:
        raise Unsupported(f"it has more than {MOST_STEPS} steps")
    for step in path[:-1]:
        if isinstance(step, Forward) and step.modifier is not None and step.modifier not in _TYPES:
            raise Unsupported(f"':{step.modifier}' on '{step.name}' is no resource type")
    found = _Steps(path, bind_last, environment).bind(resource_type, 0)
    if isinstance(found, _Lacking):
        raise Unsupported(found.reason)
    return found.condition


def bind_chain(resource_type: str, criterion: Criterion, environment: Environment) -> Condition:
    """Return the condition of a criterion of any number of steps.

    Raises InvalidSearch for a bad value; Unsupported, naming the whole chain, for what the server can't use.
    """
    compared = Criterion(criterion.path[-1:], criterion.values, criterion.name, criterion.value)

    def bind_last(resource_type: str) -> Condition:
        bind_one = bind_list if compared.last.name == LIST else bind_criterion
        return bind_one(resource_type, compared, environment)

    if len(criterion.path) == 1:
        return bind_last(resource_type)
    try:
        return bind_path(resource_type, criterion.path, bind_last, environment)
    except Unsupported as reason:
        text = str(reason).removesuffix(".")
        raise Unsupported(f"Chained parameter '{criterion.name}' can't be used: {text}.") from reason


def subselects(condition: Condition) -> int:
    """Return how many subselects on other types a condition takes."""
    match condition:
        case Chain():
            return sum(1 + subselects(target.wanted) for target in condition.targets)
        case Has():
            return 1 + subselects(condition.target.wanted)
        case AllOf() | AnyOf():
            return sum(map(subselects, condition.conditions))
        case Not():
            return subselects(condition.condition)
        case _:
            return 0


def _written(step: Forward | Reverse) -> str:
    return step.name if isinstance(step, Forward) else f"_has:{step.resource_type}:{step.reference}"


def _element_types(parameter: Parameter, wanted: Set[str]) -> bool:
    """Tell whether a parameter finds values of one of some types; where that isn't known, References are assumed."""
    return any(
        "Reference" in wanted if b.element is None else not wanted.isdisjoint(b.element.types)
        for b in parameter.branches
    )
