"""The state of one evaluation: focus, variables and what the caller provides.

https://hl7.org/fhirpath/N1/#environment-variables and https://hl7.org/fhir/R4/fhirpath.html#vars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.items import Collection, Item, Node, resource_node
from conformance.fhirpath.patterns import SECONDS
from conformance.fhirpath.temporal import Temporal

MAXIMUM_STEPS = 1_000_000
"""How often criteria and projections may run in one evaluation."""

Resolve: TypeAlias = Callable[[str], dict[str, Any] | None]

_CONSTANTS = {
    "%ucum": "http://unitsofmeasure.org",
    "%sct": "http://snomed.info/sct",
    "%loinc": "http://loinc.org",
}
_PREFIXES = {
    "%vs-": "http://hl7.org/fhir/ValueSet/",
    "%ext-": "http://hl7.org/fhir/StructureDefinition/",
}
FIXED_VARIABLES = frozenset({"%resource", "%rootResource", "%context", *_CONSTANTS})
"""The variables that no one can define otherwise."""


def is_fixed_variable(name: str) -> bool:
    """Tell whether ``%name`` means the same throughout an evaluation."""
    return name in FIXED_VARIABLES or name.startswith(tuple(_PREFIXES))


@dataclass(frozen=True, slots=True)
class Hooks:
    """What FHIRPath asks of the surrounding system; a function that needs an absent hook raises FHIRPathError.

    ``member_of(coded value as JSON, value set URL)``, ``subsumes(general, specific)`` (both coded values as JSON),
    ``conforms_to(resource, profile URL)``, ``trace(name, values)``.
    """

    member_of: Callable[[Any, str], bool] | None = None
    subsumes: Callable[[Any, Any], bool] | None = None
    conforms_to: Callable[[dict[str, Any], str], bool] | None = None
    trace: Callable[[str, list[Any]], None] | None = None


class Frame:
    """What an expression sees while it runs; ``focus`` is ``$this`` as a collection.

    ``as_filters`` lets ``as`` pick from several items, as R4's search parameters expect, where N1 has an error.
    ``decisive`` makes the order of two values that can't be compared false, where N1 leaves it empty.
    """

    __slots__ = (
        "_now",
        "as_filters",
        "context",
        "decisive",
        "defined",
        "environment",
        "focus",
        "hooks",
        "index",
        "kept",
        "patience",
        "resolve",
        "resource",
        "root",
        "steps",
        "total",
    )

    def __init__(
        self,
        root: Node,
        context: Collection,
        environment: Mapping[str, Any],
        resolve: Resolve | None,
        hooks: Hooks,
        *,
        as_filters: bool,
        resource: Node | None = None,
        decisive: bool = False,
    ) -> None:
        self.root = root
        self.resource = resource or root
        self.context = context
        self.environment = environment
        self.resolve = resolve
        self.hooks = hooks
        self.as_filters = as_filters
        self.decisive = decisive
        self.focus = context
        self.index: int | None = None
        self.total: Collection = []
        self.kept: dict[Any, Collection] = {}
        self.defined: Mapping[str, Collection] = {}
        self.patience = SECONDS
        self.steps = MAXIMUM_STEPS
        self._now: Temporal | None = None

    def apply(self, expression: Expr, item: Item, index: int) -> Collection:
        """Evaluate ``expression`` with ``item`` as ``$this`` and ``index`` as ``$index``."""
        self.steps -= 1
        if self.steps < 0:
            raise FHIRPathError(f"the expression takes more than {MAXIMUM_STEPS:,} steps")
        focus, at, defined = self.focus, self.index, self.defined
        self.focus, self.index = [item], index
        try:
            return expression(self)
        finally:
            self.focus, self.index, self.defined = focus, at, defined

    def now(self) -> Temporal:
        """Return the moment of evaluation, the same each time within one evaluation."""
        if self._now is None:
            self._now = Temporal.now()
        return self._now

    def define(self, name: str, value: Collection) -> None:
        """Make ``%name`` known to what follows in this scope; raises FHIRPathError when the name is taken."""
        taken = f"%{name}" in FIXED_VARIABLES or name in self.defined or name in self.environment
        if taken or f"%{name}".startswith(tuple(_PREFIXES)):
            raise FHIRPathError(f"the variable %{name} is defined already")
        self.defined = {**self.defined, name: value}

    def variable(self, name: str) -> Collection:
        """Return the value of ``%name``; raises FHIRPathError when it is not defined."""
        if name[1:] in self.defined:
            return self.defined[name[1:]]
        if name == "%resource":
            return [self.resource]
        if name == "%rootResource":
            return [self.root]
        if name == "%context":
            return self.context
        if name in _CONSTANTS:
            return [_CONSTANTS[name]]
        if name[1:] in self.environment:
            return as_collection(self.environment[name[1:]])
        for prefix, url in _PREFIXES.items():
            if name.startswith(prefix):
                return [url + name[len(prefix) :]]
        raise FHIRPathError(f"the variable {name} is not defined")


Expr: TypeAlias = Callable[[Frame], Collection]


def as_collection(value: Any) -> Collection:
    """Return a caller's value (JSON, a list of it, an item, or None) as a collection."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [item for entry in value for item in as_collection(entry)]
    if isinstance(value, Mapping):
        return [resource_node(value)]
    if isinstance(value, float):
        return [Decimal(repr(value))]
    return [value]
