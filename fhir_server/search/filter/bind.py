"""From a ``_filter`` to the conditions of ordinary parameters, https://hl7.org/fhir/R4/search_filter.html#ops.

A filter that can't be used in whole is refused: without one of its parts it would find something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from conformance.definitions import resource_types
from conformance.issues import Issue
from conformance.primitives import date_range
from fhir_server.search.bind_chain import MOST_STEPS, MOST_SUBSELECTS, bind_path, subselects
from fhir_server.search.condition import AllOf, AnyOf, Condition, Not
from fhir_server.search.criteria import bind_criterion
from fhir_server.search.date import Compares
from fhir_server.search.environment import Environment
from fhir_server.search.errors import InvalidSearch, Unsupported, invalid_value
from fhir_server.search.filter.expression import Expression, Logical, Negation, Step, Test
from fhir_server.search.filter.parse import NAME, parse_filter
from fhir_server.search.filter.strings import compares_string
from fhir_server.search.parse import unescape
from fhir_server.search.query import Criterion, Forward
from fhir_server.search.registry import COLUMNS, Parameter
from fhir_server.search.slot import slot
from fhir_server.search.unequal import has_unequal

_ORDERED = frozenset(("date", "number", "quantity"))
_PREFIXES = frozenset(("gt", "lt", "ge", "le", "ap", "sa", "eb"))
# A value subsumes (``ss``) what is below it and is subsumed by (``sb``) what is above.
MODIFIERS: Mapping[str, str] = MappingProxyType(
    {"co": "contains", "ss": "below", "sb": "above", "in": "in", "ni": "not-in"}
)
_TYPES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        **dict.fromkeys(_PREFIXES, _ORDERED),
        **dict.fromkeys(("co", "sw", "ew"), frozenset(("string",))),
        "po": frozenset(("date",)),
        "re": frozenset(("reference",)),
        "ne": _ORDERED | {"string", "token", "reference", "uri", "phonetic", "near"},
    }
)
"""The parameter types that an operator is for; those that aren't here are for any."""


def bind_filter(resource_type: str, criterion: Criterion, environment: Environment) -> Condition:
    """Return the condition of a filter. Raises InvalidSearch, naming the place in its text, for what can't be used."""
    expression = parse_filter(criterion.value)
    found = _Filter(criterion.value, environment).bind(resource_type, expression, 0)
    if subselects(found) > MOST_SUBSELECTS:
        raise invalid_value(NAME, criterion.value, f"its chains can go more than {MOST_SUBSELECTS} ways")
    return found


@dataclass(frozen=True, slots=True)
class _Filter:
    """A filter being bound. ``steps`` below counts those that lead to the present type."""

    text: str
    environment: Environment

    def bind(self, resource_type: str, expression: Expression, steps: int) -> Condition:
        """Return what an expression means for a type."""
        match expression:
            case Negation():
                return Not(self.bind(resource_type, expression.part, steps))
            case Logical():
                parts = tuple(self.bind(resource_type, part, steps) for part in expression.parts)
                return AllOf(parts) if expression.operator == "and" else AnyOf(parts)
            case Test():
                try:
                    return self._path(resource_type, expression, expression.path, steps)
                except Unsupported as reason:
                    raise self._refused(expression, "not-supported", str(reason)) from reason

    def _refused(self, test: Test, code: str, reason: str) -> InvalidSearch:
        whole = invalid_value(NAME, self.text, f"at character {test.position} '{test}' can't be used: {reason}")
        return InvalidSearch([Issue("error", code, issue.diagnostics) for issue in whole.issues])

    def _path(self, resource_type: str, test: Test, path: tuple[Step, ...], steps: int) -> Condition:
        """Return what the rest of a test's path means for a type; it is bound in pieces that end at brackets."""
        end = next((n for n, step in enumerate(path) if step.within is not None), len(path) - 1)
        last = end == len(path) - 1
        piece = path if last else path[: end + 2]
        if steps + len(piece) > MOST_STEPS:
            raise Unsupported(f"it has more than {MOST_STEPS} steps")
        bind_last: Callable[[str], Condition]
        if last:

            def bind_last(target: str) -> Condition:
                return self._compared(target, test)
        else:
            within, rest, beyond = path[end].within, path[end + 1 :], steps + end + 1

            def bind_last(target: str) -> Condition:
                assert within is not None  # noqa: S101 - that is where the piece ends
                return AllOf((self.bind(target, within, beyond), self._path(target, test, rest, beyond)))

        return bind_path(resource_type, tuple(Forward(s.name, s.modifier) for s in piece), bind_last, self.environment)

    def _compared(self, resource_type: str, test: Test) -> Condition:
        parameter = self.environment.parameters.of(resource_type).get(test.path[-1].name)
        if parameter is None:
            raise Unsupported(f"{resource_type} has no search parameter '{test.path[-1].name}'")
        types = _TYPES.get(test.operator)
        if types is not None and parameter.type not in types:
            raise Unsupported(f"'{test.operator}' is not for parameters of type {parameter.type}")
        modifier = test.path[-1].modifier
        if modifier is not None and not _takes_modifier(parameter, test.operator, modifier):
            raise Unsupported(f"'{test.operator}' can't be used with ':{modifier}'")
        try:
            return self._condition(resource_type, parameter, test)
        except InvalidSearch as error:
            raise self._refused(test, "value", "; ".join(i.diagnostics for i in error.issues)) from error
        except ValueError as error:
            raise self._refused(test, "value", str(error)) from error

    def _condition(self, resource_type: str, parameter: Parameter, test: Test) -> Condition:
        operator, text = test.operator, test.value.text
        place = slot(self.environment.tenant, parameter)
        match operator:
            case "pr":
                if text not in ("true", "false"):
                    raise ValueError("'pr' takes true or false")
                return self._criterion(resource_type, test, "missing", "false" if text == "true" else "true")
            case "po":
                if not parameter.indexed:
                    raise Unsupported(f"'po' is not for '{parameter.code}'")
                return Compares(place.parameter, "ap", *date_range(text))
            case "eq" | "ne" | "ew" if parameter.type == "string":
                if not parameter.indexed:
                    raise Unsupported(f"'{parameter.code}' is not supported")
                return compares_string(place.parameter, text, operator)
            case "eq" | "ne" if parameter.type in _ORDERED:
                return self._criterion(resource_type, test, test.path[-1].modifier, operator + text)
            case "ne":
                modifier = test.path[-1].modifier
                equal = self._criterion(resource_type, test, modifier, text)
                if parameter.code in COLUMNS:  # each resource has just one id
                    return Not(equal)
                return has_unequal(place, equal, unescape(text) if modifier is None else None)
            case "eq" | "re" | "sw":
                return self._criterion(resource_type, test, test.path[-1].modifier, text)
            case _ if operator in _PREFIXES:
                return self._criterion(resource_type, test, test.path[-1].modifier, operator + text)
            case _:
                return self._criterion(resource_type, test, MODIFIERS[operator], text)

    def _criterion(self, resource_type: str, test: Test, modifier: str | None, value: str) -> Condition:
        path = (Forward(test.path[-1].name, modifier),)
        return bind_criterion(resource_type, Criterion(path, (value,), test.name, value), self.environment)


def _takes_modifier(parameter: Parameter, operator: str, modifier: str) -> bool:
    """Tell whether a comparison heeds a modifier of the last name: a type, or what ordinary searches have."""
    if operator == "ne":
        return modifier in parameter.targets or (not parameter.targets and modifier in resource_types())
    return parameter.type != "string" and operator in ("eq", "re", "sw", *_PREFIXES)
