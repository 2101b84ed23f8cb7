"""What can be told from a SearchParameter's FHIRPath without a resource, https://hl7.org/fhir/R4/searchparameter.html.

An expression is a union of branches. Knowing which JSON properties a branch starts from lets indexing leave out all
parameters that a resource has nothing for; knowing the element a branch ends at tells its required binding and targets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.definitions import Element, resource_types, types

_ROOTS = frozenset(("Resource", "DomainResource"))
_EXTENSION = re.compile(r"\.extension\('[^']*'\)")
_CALL = re.compile(r"\.\w+\((?:[^()']|'[^']*'|\((?:[^()']|'[^']*')*\))*\)|\[\d+\]| as \w+")
_CAST = re.compile(r"^\(?\w+\.\w+(?: as |\.as\(|\.ofType\()(\w+)\)")
_RESOLVES_TO = re.compile(r"where\(resolve\(\) is (\w+)\)")
# One official expression uses this name, which FHIRPath for R4 doesn't define.
_HAS_EXTENSION = re.compile(r"hasExtension\(('[^']*')\)")
# So does an implementation guide write the value of an extension, by its name in JSON.
_JSON_VALUE = re.compile(r"\.(value[A-Z]\w*)(?![\w(])")
_PATH = re.compile(r"^\w+(?:\.\w+)*$")


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of the union, for one resource type.

    ``keys`` are the JSON properties of which one must be present for the branch to give anything; None when the branch
    isn't a path, so that absence counts too. ``targets`` are the types a reference can point to, empty when unknown.
    ``single`` says that a resource never has more than one value there.
    """

    expression: str
    keys: tuple[str, ...] | None
    element: Element | None
    targets: tuple[str, ...]
    single: bool = False


def branches(expression: str, resource_type: str) -> Iterator[Branch]:
    """Yield the branches of an expression that concern a resource type."""
    for text in split_union(as_fhirpath(expression)):
        root, _, rest = text.lstrip("(").partition(".")
        if root not in types():
            yield _branch(f"{resource_type}.{text}", resource_type)
        elif rest and (root == resource_type or root in _ROOTS):  # without a rest it is what composite parameters use
            yield _branch(text, resource_type)


def as_fhirpath(expression: str) -> str:
    """Return an expression with what authors of SearchParameters write, but FHIRPath for R4 doesn't know, replaced."""
    return _JSON_VALUE.sub(_typed_value, _HAS_EXTENSION.sub(r"extension(\1).exists()", expression))


def _typed_value(name: re.Match[str]) -> str:
    fhir_type = dict(types()["Extension"].elements["value"].json_names).get(name[1])
    return name[0] if fhir_type is None else f".value.ofType({fhir_type})"


def split_union(expression: str) -> Iterator[str]:
    """Split at the ``|`` that stand outside of parentheses and strings."""
    depth, quoted, start = 0, False, 0
    for position, character in enumerate(expression):
        if character == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif character == "|" and depth == 0:
            yield expression[start:position].strip()
            start = position + 1
        else:
            depth += (character == "(") - (character == ")")
    yield expression[start:].strip()


def _branch(text: str, resource_type: str) -> Branch:
    path = _CALL.sub("", _EXTENSION.sub(".extension", text)).replace("(", "").replace(")", "")
    if not _PATH.match(path):
        return Branch(text, None, None, ())
    names = path.split(".")[1:]
    elements = _walk(resource_type, names)
    element = elements[-1] if elements else None
    single = bool(elements) and not any(passed.is_list for passed in elements)
    resolved = _RESOLVES_TO.search(text)
    targets = (resolved[1],) if resolved else element.targets if element else ()
    return Branch(text, _keys(resource_type, names[0], _CAST.match(text)), element, targets, single)


def _walk(type_name: str, names: list[str]) -> list[Element]:
    """Return the elements along a path, none if one of them isn't known."""
    passed: list[Element] = []
    for name in names:
        element = types()[type_name].elements.get(name) if type_name in types() else None
        if element is None:
            return []
        passed.append(element)
        type_name = element.types[0]
    return passed


def _keys(resource_type: str, name: str, cast: re.Match[str] | None) -> tuple[str, ...]:
    element = types()[resource_type].elements.get(name)
    if element is None:
        return (name,)
    return tuple(key for key, type_name in element.json_names if cast is None or cast[1] == type_name) or (name,)


def narrow_targets(declared: tuple[str, ...], found: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the targets that both the SearchParameter and the elements it reads allow; empty means any type.

    A SearchParameter shared by many types declares the union of their targets, so the elements are often narrower.
    """
    known = frozenset(resource_types())
    reachable = {target for targets in found for target in targets}
    if not all(found) or not reachable <= known:
        return declared
    return tuple(target for target in declared if target in reachable) if declared else tuple(sorted(reachable))
