"""Constraints that hold of every element, recognised by their syntax tree, with closures of their own.

ele-1 is checked on each element and dom-3 looks at all of a resource's, so both have an equivalent here; a test compares
them with the general engine. https://hl7.org/fhir/R4/element.html#invs, https://hl7.org/fhir/R4/domainresource.html#invs.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from conformance.definitions import types
from conformance.fhirpath.model import is_primitive
from conformance.fhirpath.parser import parse
from conformance.fhirpath.static_paths import NeedsGeneral, Test
from conformance.fhirpath.syntax import Expression

if TYPE_CHECKING:
    from conformance.fhirpath.constraints import ConstraintScope

_ELE_1 = "hasValue() or (children().count() > id.count())"
_DOM_3 = (
    "contained.where((('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical)"
    " | %resource.descendants().as(uri) | %resource.descendants().as(url)))"
    " or descendants().where(reference = '#').exists() or descendants().where(as(canonical) = '#').exists()"
    " or descendants().where(as(canonical) = '#').exists()).not()).trace('unmatched', id).empty()"
)
_NO_CHILDREN = frozenset({"id", "_id", "resourceType"})


@cache
def _trees() -> tuple[Expression, Expression]:
    return parse(_ELE_1), parse(_DOM_3)


def find_shortcut(tree: Expression, type_name: str) -> Test | None:
    """Return the test whether a constraint is surely broken, for the constraints that have one here, else None."""
    ele_1, dom_3 = _trees()
    if tree == ele_1 and type_name in types():
        return _primitive_is_empty if is_primitive(type_name) else _element_is_empty
    if tree == dom_3 and types()[type_name].kind == "resource":
        return _contained_is_unused
    return None


def _primitive_is_empty(_v: Any, _scope: ConstraintScope) -> bool:
    return False  # it has a value, else the general engine would have been asked


def _element_is_empty(v: Any, _scope: ConstraintScope) -> bool:
    for key in v:
        if key not in _NO_CHILDREN:
            if v[key] is None or v[key] == []:
                raise NeedsGeneral
            return False
    return True


def _contained_is_unused(v: Any, scope: ConstraintScope) -> bool:
    """Tell whether a contained resource is neither referred to nor refers to its container.

    A text ``#id`` under ``reference`` surely is a reference; elsewhere its element's type matters, which the general
    engine knows. One without an id can't be told unused.
    """
    contained = v.get("contained")
    if not contained:
        return False
    if scope.hooks.trace is not None:
        raise NeedsGeneral
    referred, others = set[str](), set[str]()
    _collect(scope.resource, referred, others, at_root=True)
    for resource in contained:
        name = resource.get("id")
        if name is None or "#" + name in referred:
            if "_id" in resource:
                raise NeedsGeneral
            continue
        back, unclear = set[str](), set[str]()
        _collect(resource, back, unclear, at_root=True)
        if "#" in back:
            continue
        if "#" + name in others or "#" in unclear or "_id" in resource:
            raise NeedsGeneral
        return True
    return False


def _collect(value: Any, referred: set[str], others: set[str], *, at_root: bool = False) -> None:
    """Gather the texts that start with ``#`` below ``value``: those under ``reference`` and all others."""
    if type(value) is list:
        for entry in value:
            _collect(entry, referred, others)
    elif type(value) is dict:
        for key, child in value.items():
            if type(child) is str:
                if child[:1] == "#":
                    (referred if key == "reference" and not at_root else others).add(child)
            elif type(child) is dict or type(child) is list:
                _collect(child, referred, others)
    elif type(value) is str and value[:1] == "#":
        others.add(value)
