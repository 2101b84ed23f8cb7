"""What a FHIR type says beyond structure: its invariants, bindings, references, extensions and rules in prose.

https://hl7.org/fhir/R4/validation.html. Structure itself (properties, cardinality, formats) is checked before, by
:mod:`conformance.decode`. A type becomes one closure per property that has something left to check; the other
properties cost a lookup. Nothing here relies on sound structure: what is of the wrong shape is passed by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from conformance.definitions import Element, types
from conformance.shape import Property, is_primitive, properties
from conformance.validation.bindings import compile_bindings
from conformance.validation.extensions import check_extensions
from conformance.validation.invariants import RULED, STRUCTURAL, Invariant, check_invariants, compile_invariants
from conformance.validation.references import check_target_type
from conformance.validation.rules import RULES, Rule
from conformance.validation.run import Item, Run, Where

if TYPE_CHECKING:
    from conformance.validation.plans import Plans

Handler = Callable[[Any, Where, Run], None]
"""Checks the value of a property, ``where`` being the place of the object that has it."""
_ItemCheck = Callable[[Item, Run], None]

_KNOWN = STRUCTURAL | RULED


class TypePlan:
    """A complex, backbone or resource type, compiled. Its handlers are made when the first value is checked."""

    __slots__ = ("_handlers", "_invariants", "_plans", "_rules", "name")

    def __init__(self, name: str, plans: Plans) -> None:
        self.name = name
        self._plans = plans
        self._handlers: Mapping[str, Handler] | None = None
        self._invariants: list[Invariant] = []
        self._rules: tuple[Rule, ...] = RULES.get(name, ())

    def check(self, value: Any, where: Where, run: Run) -> None:
        """Report what is wrong with a value of this type, and with all it holds."""
        if type(value) is not dict:
            return
        handlers = self._handlers
        if handlers is None:
            handlers = self._compile()
        if self._invariants:
            check_invariants(self._invariants, (value, None, self.name, where), run)
        for rule in self._rules:
            rule(value, where, run)
        for name, content in value.items():
            handler = handlers.get(name)
            if handler is not None:
                handler(content, where, run)

    def _compile(self) -> Mapping[str, Handler]:
        element = self._plans.base_element(self.name)
        self._invariants = compile_invariants(element.get("constraint", ()), self.name, _KNOWN)
        handlers: dict[str, Handler] = {}
        for child in types()[self.name].elements.values():
            for p in properties(self.name)[child.name]:
                handlers.update(_compile_property(self.name, child, p, self._plans))
        self._handlers = handlers
        return handlers


def _compile_property(owner: str, child: Element, p: Property, plans: Plans) -> dict[str, Handler]:
    """Return the handlers of a property and of its sibling, as far as there is something to check."""
    if p.type == "Extension":
        modifier = child.name == "modifierExtension"
        return {p.name: lambda value, where, run: check_extensions(value, where, run, modifier=modifier)}
    if p.type == "Resource":
        return {p.name: _resources(child, plans)}
    definition = plans.base_element(owner, child.name)
    checks: list[_ItemCheck] = []
    known = _KNOWN | {c.get("key", "") for c in plans.base_element(p.type).get("constraint", ())}
    if invariants := compile_invariants(definition.get("constraint", ()), p.type, known):
        checks.append(lambda item, run: check_invariants(invariants, item, run))
    # The models hold codes to their required bindings.
    if not (p.type == "code" and definition.get("binding", {}).get("strength") == "required"):
        checks += compile_bindings(definition.get("binding"), (p.type,), plans.terminology)
    if p.type == "Reference" and child.targets:
        checks.append(_target_check(child))
    for type_ in definition.get("type", ()):
        # Profiles on types in the base definitions: SimpleQuantity and its like.
        if type_.get("code") == p.type and type_.get("profile"):
            checks.append(_profile_check(type_["profile"]))
    if is_primitive(p.type):
        handlers: dict[str, Handler] = {}
        if p.sibling:
            handlers[p.sibling] = _plain(child, plans.type_plan("Element"), ())
        if checks:
            handlers[p.name] = _primitives(child, p, checks)
        return handlers
    return {p.name: _plain(child, plans.type_plan(p.type), tuple(checks))}


def _plain(child: Element, plan: TypePlan, checks: tuple[_ItemCheck, ...]) -> Handler:
    """Return the handler of objects of one type."""
    name, type_name, run_plan = child.name, plan.name, plan.check

    def check_list(value: Any, where: Where, run: Run) -> None:
        if type(value) is not list:
            return
        for index, item in enumerate(value):
            if type(item) is dict:
                here = (where, name, index)
                run_plan(item, here, run)
                for check in checks:
                    check((item, None, type_name, here), run)

    def check_one(value: Any, where: Where, run: Run) -> None:
        if type(value) is dict:
            here = (where, name, None)
            run_plan(value, here, run)
            for check in checks:
                check((value, None, type_name, here), run)

    return check_list if child.is_list else check_one


def _primitives(child: Element, p: Property, checks: list[_ItemCheck]) -> Handler:
    """Return the handler of primitive values; the objects beside them are the sibling's."""
    name, type_name = child.name, p.type

    def check_list(value: Any, where: Where, run: Run) -> None:
        for index, item in enumerate(value if type(value) is list else ()):
            if item is not None:
                for check in checks:
                    check((item, None, type_name, (where, name, index)), run)

    def check_one(value: Any, where: Where, run: Run) -> None:
        if type(value) not in (list, dict):
            for check in checks:
                check((value, None, type_name, (where, name, None)), run)

    return check_list if child.is_list else check_one


def _resources(child: Element, plans: Plans) -> Handler:
    """Return the handler of whole resources inside others: contained, a Bundle's, or in Parameters."""
    name, contained = child.name, child.name == "contained"

    def check(value: Any, where: Where, run: Run) -> None:
        if child.is_list:
            for index, item in enumerate(value if type(value) is list else ()):
                check_resource(item, (where, name, index), run)
        else:
            check_resource(value, (where, name, None), run)

    def check_resource(value: Any, where: Where, run: Run) -> None:
        if type(value) is dict:
            with run.inside(value, where, contained=contained):
                plans.check_resource(value, where, run)

    return check


def _target_check(child: Element) -> _ItemCheck:
    targets = frozenset(child.targets)

    def check(item: Item, run: Run) -> None:
        check_target_type(item[0], targets, run, item[3])

    return check


def _profile_check(canonicals: list[str]) -> _ItemCheck:
    def check(item: Item, run: Run) -> None:
        run.plans.check_any_profile(item, canonicals, run)

    return check
