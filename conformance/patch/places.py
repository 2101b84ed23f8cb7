"""Where in a resource a FHIRPath's elements lie, so that they can be changed, https://hl7.org/fhir/R4/fhirpatch.html.

The engine's elements don't know where they come from. So the steps of a path are walked here, and only the filters
between them (``where()``, ``[n]``, ``ofType()`` …), which let elements pass as they are, are left to the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from conformance.definitions import types
from conformance.fhirpath import Expression, FHIRPathError, parse
from conformance.fhirpath.compiler import compile_expression
from conformance.fhirpath.evaluation import evaluate_compiled
from conformance.fhirpath.items import Node
from conformance.fhirpath.model import ABSTRACT_RESOURCES, ancestors, json_children
from conformance.fhirpath.syntax import Binary, Indexer, Invocation, Member, TypeOperation, Variable
from conformance.walk import step

# Stands for the places that the left side of a filter has selected.
_REACHED = Variable("%reached by the path")
_ROOT = frozenset(("%resource", "%rootResource", "%context"))


class Place(Node):
    """An element and where it lies: in ``owner`` under the JSON property ``key``, at ``index`` of an array.

    ``element`` is its name in FHIRPath. The resource itself has no owner.
    """

    __slots__ = ("element", "index", "key", "owner")

    def __init__(
        self,
        value: Any,
        type_name: str | None,
        extra: Any = None,
        *,
        owner: Place | None = None,
        element: str = "",
        key: str = "",
        index: int | None = None,
    ) -> None:
        super().__init__(value, type_name, extra)
        self.owner = owner
        self.element = element
        self.key = key
        self.index = index

    @property
    def expression(self) -> str:
        """The FHIRPath of the element."""
        if self.owner is None:
            return self.type_name or ""
        here = step(self.owner.expression, self.element)
        return here if self.index is None else f"{here}[{self.index}]"

    def content(self) -> dict[str, Any] | None:
        """Return the JSON object that holds the element's children; that of a primitive may be absent."""
        held = self.value if isinstance(self.value, dict) else self.extra
        return held if isinstance(held, dict) else None


def find_places(path: str, resource: dict[str, Any]) -> list[Place]:
    """Return the places of the elements that ``path`` selects in the resource, in its order.

    Raises FHIRPathError (FHIRPathSyntaxError) for what is no FHIRPath, or one that computes values.
    """
    root = Place(resource, resource["resourceType"])
    return _Finder(root).select(parse(path), [root])


class _Finder:
    """Walks one path on one resource."""

    def __init__(self, root: Place) -> None:
        self._root = root

    def select(self, node: Expression, here: list[Place]) -> list[Place]:
        """Return the places that an expression selects from ``here``."""
        match node:
            case Variable("$this"):
                return here
            case Variable(name) if name in _ROOT:
                return [self._root]
            case Member(None, name):
                return [found for place in here for found in self._start(place, name)]
            case Member(target, name) if target is not None:
                return [found for place in self.select(target, here) for found in children(place, name)]
            case Invocation(target, "extension", (url,)):
                extensions = Member(Variable("$this") if target is None else target, "extension")
                return self.select(Invocation(extensions, "where", (Binary("=", Member(None, "url"), url),)), here)
            case Invocation(None, _, _):
                return self._filter(node, here, here)
            case Invocation(target, _, _) if target is not None:
                return self._filter(replace(node, target=_REACHED), here, self.select(target, here))
            case Indexer(target, _):
                return self._filter(replace(node, target=_REACHED), here, self.select(target, here))
            case TypeOperation("as", operand, _):
                return self._filter(replace(node, operand=_REACHED), here, self.select(operand, here))
        raise FHIRPathError("the path of a patch selects elements by steps and filters, it computes nothing")

    def _start(self, place: Place, name: str) -> Sequence[Place]:
        if name in types() and place.type_name is not None and name in ancestors(place.type_name):
            return (place,)
        return children(place, name)

    def _filter(self, node: Expression, here: list[Place], reached: list[Place]) -> list[Place]:
        """Let the engine choose among the places reached; what it makes itself lies nowhere."""
        environment = {_REACHED.name[1:]: reached}
        found = evaluate_compiled(compile_expression(node), self._root, context=here, environment=environment)
        chosen = [item for item in found if isinstance(item, Place)]
        if len(chosen) != len(found):
            raise FHIRPathError("the path of a patch selects elements by steps and filters, it computes nothing")
        return chosen


def children(place: Place, name: str) -> list[Place]:
    """Return the places of the child elements called ``name``."""
    content = place.content()
    if content is None:
        return []
    type_name = place.type_name if content is place.value else "Element"
    found: list[Place] = []
    for key, child_type in json_children(type_name or "").get(name, ()):
        value, extra = content.get(key), content.get("_" + key)
        if isinstance(value, list) or isinstance(extra, list):
            values, extras = value or [], extra or []
            for index in range(max(len(values), len(extras))):
                item = values[index] if index < len(values) else None
                beside = extras[index] if index < len(extras) else None
                found.append(_place(item, child_type, beside, place, name, key, index))
        elif value is not None or extra is not None:
            found.append(_place(value, child_type, extra, place, name, key, None))
    return found


def _place(value: Any, type_name: str, extra: Any, owner: Place, element: str, key: str, index: int | None) -> Place:
    if type_name in ABSTRACT_RESOURCES and isinstance(value, dict):
        type_name = value["resourceType"]
    return Place(value, type_name, extra, owner=owner, element=element, key=key, index=index)
